"""The score of a segmenter, and what it got right of each image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dorsal.annotations.annotation import IGNORE
from dorsal.tasks.contributions import iou_contributions
from dorsal.tasks.score import Evidence, Score

COUNTS = ("intersection", "union", "truth")


class SemanticScorer:
    """See `tasks.method.Scorer`. What is found are maps of classes [H, W], targets too, one of each for every image.

    Pixels whose target is `ignored` count nowhere. Nothing is read from the device before a score is asked for.
    """

    def __init__(self, classes: int, ignored: int = IGNORE) -> None:
        self._classes, self._ignored = classes, ignored
        self._indices: list[int] = []
        self._parts: list[Tensor] = []

    def add(self, indices: Sequence[int], found: Iterable[Tensor], targets: Iterable[Tensor]) -> None:
        """See `Scorer.add`. Images may differ in size.

        Raises ValueError for a map that has not the size of its target.
        """
        for index, said, target in zip(indices, found, targets, strict=True):
            if said.shape != target.shape:
                raise ValueError(
                    f"image {index} of the split: the map found is {list(said.shape)}, its target {list(target.shape)}"
                )
            self._indices.append(index)
            self._parts.append(self._counts(said.long(), target.long()))

    def _counts(self, said: Tensor, target: Tensor) -> Tensor:
        """Pixels of each class [3, K], in the order of COUNTS."""
        valid = target != self._ignored
        chosen = (valid & (said == target), valid, valid)
        intersection, truth, found = (
            self._histogram(torch.where(pixels, classes, self._classes))
            for pixels, classes in zip(chosen, (target, target, said), strict=True)
        )
        return torch.stack([intersection, truth + found - intersection, truth])

    def _histogram(self, values: Tensor) -> Tensor:
        """How often 0 … K - 1 occur, [K]. K stands for pixels that do not count. Unlike bincount this does not wait."""
        counts = torch.zeros(self._classes + 1, dtype=torch.int64, device=values.device)
        values = values.flatten()
        return counts.scatter_add_(0, values, torch.ones_like(values))[:-1]

    def merged(self, parts: Sequence[SemanticScorer]) -> SemanticScorer:
        """See `Scorer.merged`."""
        whole = SemanticScorer(self._classes, self._ignored)
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
        counts: NDArray[np.int32] = torch.stack(self._parts).cpu().numpy().astype(np.int32)[order]
        return {name: counts[:, index] for index, name in enumerate(COUNTS)}
