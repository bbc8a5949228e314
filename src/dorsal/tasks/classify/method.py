"""Image classification: cross entropy, and accuracy as the score."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from dorsal.recipes.recipe import Recipe
from dorsal.spec.metric import ACCURACY
from dorsal.spec.timm import AnyNetwork
from dorsal.tasks.classify.score import ClassifyScorer
from dorsal.tasks.model import Trainable, make_model
from dorsal.weights.start import StartingWeights


class ClassifyMethod:
    """See `tasks.method.Method`. Targets are labels int64 [N], or mixed ones float [N, K] of MixUp and CutMix."""

    metric = ACCURACY

    def __init__(self, train_labels: NDArray[np.int64], classes: int) -> None:
        counts = np.bincount(train_labels, minlength=classes)
        self._classes = classes
        # A class without training images takes part in no loss; 1 keeps its weight finite.
        self._balance = torch.from_numpy(len(train_labels) / (classes * counts.clip(min=1))).float()

    def build(self, network: AnyNetwork, recipe: Recipe, start: StartingWeights | None = None) -> Trainable:
        """See `Method.build`."""
        return make_model(network, recipe, start)

    def losses(self, model: nn.Module, images: Tensor, targets: Tensor, recipe: Recipe) -> dict[str, Tensor]:
        """See `Method.losses`: mean cross entropy.

        With `class_weights="balanced"` an image counts in inverse proportion to its class's share of the training
        images (n / (classes x n_class), scikit-learn's "balanced"), a mixed one by the mean of its classes.
        """
        logits = model(images)
        if recipe.class_weights == "none":
            return {"cross entropy": cross_entropy(logits, targets, recipe.label_smoothing)}
        balance = self._balance.to(logits.device)
        weight = balance[targets] if targets.ndim == 1 else (targets * balance).sum(1)
        each = F.cross_entropy(logits, targets, label_smoothing=recipe.label_smoothing, reduction="none")
        return {"cross entropy": (each * weight).mean()}

    def predict(self, model: nn.Module, images: Tensor) -> Tensor:
        """Logits [N, K]."""
        logits: Tensor = model(images)
        return logits

    def scorer(self) -> ClassifyScorer:
        """See `Method.scorer`."""
        return ClassifyScorer(self._classes)


def cross_entropy(logits: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Mean cross entropy, a scalar, of logits [N, K] and labels int64 [N] or mixed targets float [N, K].

    `label_smoothing` eps gives eps / K to every class (arXiv 1512.00567 section 7), of mixed targets too.
    """
    return F.cross_entropy(logits, targets, label_smoothing=label_smoothing)
