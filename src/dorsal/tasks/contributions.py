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
