"""What classification is judged by."""

import msgspec
import torch
from torch import Tensor

from dorsal.tasks.classify.loss import loss


class Score(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a model does on a split.

    accuracy   top-1, percent of images
    top5       percent of images with the label among the 5 highest logits (all of them where there are fewer classes)
    loss       mean cross entropy over images, without label smoothing
    images     how many there were
    per_class  top-1 in percent of the images of each class; None for a class without images
    """

    accuracy: float
    top5: float
    loss: float
    images: int
    per_class: tuple[float | None, ...]


class Scorer:
    """Collects logits batch by batch. With several processes `score` sums over all of them: call it in each."""

    def __init__(self, classes: int, device: torch.device) -> None:
        # Slow to import, with signal processing and plots, and of no use to what plans, times or only waits.
        from torchmetrics import SumMetric
        from torchmetrics.classification import MulticlassAccuracy, MulticlassStatScores

        top = min(5, classes)
        self._counts = MulticlassStatScores(classes, average=None, validate_args=False).to(device)
        self._top5 = MulticlassAccuracy(classes, top_k=top, average="micro", validate_args=False).to(device)
        # Not MeanMetric: torchmetrics 1.9 ignores weights where it is told to keep NaN, which is the caller's news.
        self._loss = SumMetric(nan_strategy="disable").to(device)

    def update(self, logits: Tensor, labels: Tensor) -> None:
        """Takes logits [N, K] and labels int64 [N]."""
        self._counts.update(logits, labels)
        self._top5.update(logits, labels)
        self._loss.update(loss(logits, labels) * len(labels))

    def score(self) -> Score:
        """The score of everything taken so far."""
        counts = self._counts.compute()  # [K, 5]: true and false positives, true and false negatives, images
        right, images = counts[:, 0].tolist(), counts[:, 4].tolist()
        return Score(
            accuracy=100 * sum(right) / sum(images),
            top5=100 * float(self._top5.compute()),
            loss=float(self._loss.compute()) / sum(images),
            images=sum(images),
            per_class=tuple(100 * r / n if n else None for r, n in zip(right, images, strict=True)),
        )
