"""What each test image contributes to the score of a task, from what a run kept of it. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dorsal.spec.task import Classify, Task
from dorsal.stats import Ratios

ARRAYS = ("label", "predicted", "group")
"""The arrays of a file of predictions that a score rests on."""


def contributions(task: Task, said: Mapping[str, NDArray[Any]]) -> Ratios:
    """The score of the task as a fold over images. `said` is what `jobs.kept.read_predictions` returns."""
    match task:
        case Classify():
            right = (said["predicted"] == said["label"]).astype(np.float64)[:, None]
            return Ratios(top=right, bottom=np.ones_like(right), groups=said.get("group"))


def iou_contributions(said: Mapping[str, NDArray[Any]]) -> Ratios:
    """The mean IoU of a semantic segmentation: the IoU of each class over the pixels of all images together.

    The mean is over classes that occur in the truth, as in detectron2. `said` has what
    `tasks.semantic.score.SemanticScorer.evidence` returns, and `group` where images are not independent.
    """
    top, bottom, present = (said[name].astype(np.float64) for name in ("intersection", "union", "truth"))
    return Ratios(top=top, bottom=bottom, present=present, groups=said.get("group"))
