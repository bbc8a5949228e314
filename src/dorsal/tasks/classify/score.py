"""The score of a classifier, and what it said of each image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from dorsal.tasks.score import Evidence, Score

TOP = 5


class ClassifyScorer:
    """See `tasks.method.Scorer`. What is found are logits [N, K], targets labels int64 [N].

    Nothing is read from the device before a score is asked for, so that evaluation does not wait for it.
    """

    def __init__(self, classes: int) -> None:
        self._classes = classes
        self._indices: list[int] = []
        self._parts: list[tuple[Tensor, Tensor, Tensor]] = []
        self._loss: Tensor | float = 0.0

    def add(self, indices: Sequence[int], found: Tensor, targets: Tensor) -> None:
        """See `Scorer.add`."""
        targets = targets.to(found.device)
        top = found.topk(min(TOP, self._classes), dim=1).indices
        predicted = torch.cat([found.argmax(1, keepdim=True), (top == targets[:, None]).any(1, keepdim=True)], dim=1)
        self._indices += indices
        self._parts.append((predicted, targets, found.half()))
        self._loss = self._loss + F.cross_entropy(found, targets).float() * len(targets)

    def merged(self, parts: Sequence[ClassifyScorer]) -> ClassifyScorer:
        """See `Scorer.merged`."""
        whole = ClassifyScorer(self._classes)
        for part in parts:
            whole._indices += part._indices
            whole._parts += part._parts
            whole._loss = whole._loss + part._loss
        return whole

    def score(self) -> Score:
        """Accuracy in percent; with more than five classes top-5, and the mean of the classes' accuracies."""
        found = self._columns()
        labels = found["label"]
        right, images = (
            np.bincount(labels, weights, minlength=self._classes) for weights in (found["predicted"] == labels, None)
        )
        per_class = tuple(100 * r / n if n else None for r, n in zip(right.tolist(), images.tolist(), strict=True))
        present = [value for value in per_class if value is not None]
        top = {"top-5 accuracy": 100 * int(found["in_top"].sum()) / len(labels)} if self._classes > TOP else {}
        return Score(
            score=100 * int(right.sum()) / len(labels),
            scores={**top, "mean accuracy of classes": sum(present) / len(present)},
            loss=float(self._loss) / len(labels),
            images=len(labels),
            per_class=per_class,
        )

    def evidence(self) -> Evidence:
        """`label` and `predicted` int32 [n], `logits` float16 [n, K]: see `score_of` for the way back."""
        return {name: column for name, column in self._columns().items() if name != "in_top"}

    def _columns(self) -> dict[str, NDArray[np.int32]]:
        order = np.argsort(np.array(self._indices, dtype=np.int64), kind="stable")
        predicted, labels, logits = (torch.cat(column).cpu().numpy() for column in zip(*self._parts, strict=True))
        columns = {
            "label": labels.astype(np.int32),
            "predicted": predicted[:, 0].astype(np.int32),
            "in_top": predicted[:, 1].astype(np.int32),
            "logits": logits,
        }
        return {name: column[order] for name, column in columns.items()}


def score_of(evidence: Evidence) -> float:
    """The accuracy in percent that `ClassifyScorer.score` gave, from its evidence."""
    return 100 * int((evidence["predicted"] == evidence["label"]).sum()) / len(evidence["label"])
