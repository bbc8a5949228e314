"""The score of a segmenter, and what it got right of each image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from dorsal.annotations.annotation import Annotation
from dorsal.data.geometry import LabelMap
from dorsal.data.view import Seen
from dorsal.tasks.contributions import iou_contributions
from dorsal.tasks.score import Evidence, Score

Counts = NDArray[np.int64]
COUNTS = ("intersection", "union", "truth")


class SemanticScorer:
    """See `tasks.method.Scorer`. What is found are annotations with a map of classes at the size of the file.

    Pixels whose class is not known (255, or 65535 in maps of uint16) count nowhere.
    """

    def __init__(self, classes: int) -> None:
        self._classes = classes
        self._indices: list[int] = []
        self._parts: list[Counts] = []

    def add(self, indices: Sequence[int], found: Iterable[Annotation], seen: Iterable[Seen]) -> None:
        """See `Scorer.add`. Images may differ in size.

        Raises ValueError for a map that has not the size of its target, or is not there.
        """
        for index, said, each in zip(indices, found, seen, strict=True):
            target = each.truth.semantic
            if said.semantic is None or target is None or said.semantic.shape != target.shape:
                shapes = [None if map_ is None else list(map_.shape) for map_ in (said.semantic, target)]
                raise ValueError(f"image {index} of the split: the map found is {shapes[0]}, its target {shapes[1]}")
            self._indices.append(index)
            self._parts.append(self._counts(said.semantic, target))

    def _counts(self, said: LabelMap, target: LabelMap) -> Counts:
        """Pixels of each class [3, K], in the order of COUNTS."""
        known = target != np.iinfo(target.dtype).max
        said, target = said[known], target[known]
        right, truth, found = (
            np.bincount(classes, minlength=self._classes)[: self._classes]
            for classes in (target[said == target], target, said)
        )
        return np.stack([right, truth + found - right, truth])

    def merged(self, parts: Sequence[SemanticScorer]) -> SemanticScorer:
        """See `Scorer.merged`."""
        whole = SemanticScorer(self._classes)
        for part in parts:
            whole._indices += part._indices
            whole._parts += part._parts
        return whole

    def score(self) -> Score:
        """Mean IoU in percent over classes in the truth, the IoU of each, and three more scores.

        - pixel accuracy: the share of pixels that are right;
        - mean accuracy of classes: the mean of the shares of each class's pixels that are right;
        - frequency-weighted IoU: the mean IoU, each class weighted with its share of the pixels.

        All as detectron2 defines them. Raises ValueError if no image was scored, or no pixel has a class.
        """
        evidence = self.evidence()
        right, union, truth = (evidence[name].sum(axis=0, dtype=np.float64) for name in COUNTS)
        present = truth > 0
        if not present.any():
            raise ValueError(f"in {len(self._indices)} images no pixel has a class: there is no score")
        right, union, truth = right[present], union[present], truth[present]
        iou = np.full(self._classes, np.nan)
        iou[present] = right / union
        return Score(
            score=iou_contributions(evidence).score(),
            scores={
                "pixel accuracy": 100 * float(right.sum() / truth.sum()),
                "mean accuracy of classes": 100 * float((right / truth).mean()),
                "frequency-weighted IoU": 100 * float((right / union * truth).sum() / truth.sum()),
            },
            loss=None,
            images=len(self._indices),
            per_class=tuple(None if np.isnan(value) else 100 * value for value in iou.tolist()),
        )

    def evidence(self) -> Evidence:
        """`intersection`, `union` and `truth` int32 [n, K]: pixels of each class in each image; see
        `tasks.contributions.iou_contributions` for the way back to the score."""
        if not self._parts:
            raise ValueError("no image was scored")
        order = np.argsort(np.array(self._indices, dtype=np.int64), kind="stable")
        counts: NDArray[np.int32] = np.stack(self._parts).astype(np.int32)[order]
        return {name: counts[:, index] for index, name in enumerate(COUNTS)}
