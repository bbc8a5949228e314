"""What each test image contributes to the score of a task, from what a run kept of it. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dorsal.spec.task import AnyTask, Classify, Detect, Semantic
from dorsal.stats import Contribution, Ranked, Ratios

LARGE = ("logits",)
"""The arrays of a file of predictions that no score rests on."""


def contributions(task: AnyTask, said: Mapping[str, NDArray[Any]]) -> Contribution:
    """The score of the task as a fold over images. `said` is what `jobs.kept.read_predictions` returns; of a detector,
    it has what `tasks.detect.score.DetectScorer.evidence` returns."""
    match task:
        case Classify():
            return accuracy_contributions(said)
        case Semantic():
            return iou_contributions(said)
        case Detect():
            return Ranked(
                image=said["image"],
                label=said["label"],
                scores=said["scores"],
                hit=said["hit"],
                ignored=said["ignored"],
                truths=said["truths"].astype(np.float64),
                groups=said.get("group"),
            )


def accuracy_contributions(said: Mapping[str, NDArray[Any]]) -> Ratios:
    """The accuracy of a classification: each image is right or wrong."""
    right = (said["predicted"] == said["label"]).astype(np.float64)[:, None]
    return Ratios(top=right, bottom=np.ones_like(right), groups=said.get("group"))


def iou_contributions(said: Mapping[str, NDArray[Any]]) -> Ratios:
    """The mean IoU of a semantic segmentation: the IoU of each class over the pixels of all images together.

    The mean is over classes that occur in the truth, as in detectron2. `said` has what
    `tasks.semantic.score.SemanticScorer.evidence` returns, and `group` where images are not independent.
    """
    top, bottom, present = (said[name].astype(np.float64) for name in ("intersection", "union", "truth"))
    return Ratios(top=top, bottom=bottom, present=present, groups=said.get("group"))
