"""Image classification: cross entropy, and accuracy as the score."""

from __future__ import annotations

import functools

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from dorsal.data.dataset import EvaluationBatches
from dorsal.data.orders import balanced_order
from dorsal.data.sampling import SeededItems, order
from dorsal.data.split import ImageData, Split
from dorsal.recipes.recipe import Recipe
from dorsal.spec.metric import ACCURACY
from dorsal.spec.timm import AnyNetwork
from dorsal.tasks.classify.augment import train_transform
from dorsal.tasks.classify.score import ClassifyScorer
from dorsal.tasks.colors import Transform
from dorsal.tasks.data import AnyData
from dorsal.tasks.model import Trainable, make_model
from dorsal.tasks.score import check_output
from dorsal.tasks.training import Training
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

    def training(self, recipe: Recipe, data: AnyData, seed: int) -> Training:
        """See `Method.training`."""
        assert isinstance(data, ImageData)
        images = len(data.train)
        orders = functools.partial(order, images, seed)
        if recipe.sampling == "balanced":
            orders = functools.partial(balanced_order, data.train.labels, seed)
        return Training(
            SeededItems(LabelledItems(data.train, train_transform(recipe, data)), images, seed), images, orders
        )

    def validation(self, data: AnyData, batch: int) -> EvaluationBatches:
        """See `Method.validation`."""
        assert isinstance(data, ImageData)
        return EvaluationBatches(data.val, data.size, data.normalization, batch, data.resize, data.interpolation)

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

    def predict(self, model: nn.Module, images: Tensor, _: Tensor) -> Tensor:
        """Logits [N, K]. Raises ValueError for anything else."""
        logits: Tensor = model(images)
        check_output(logits, (len(images), self._classes))
        return logits

    def scorer(self) -> ClassifyScorer:
        """See `Method.scorer`."""
        return ClassifyScorer(self._classes)


class LabelledItems:
    """Item `i` is (transform(image i), label i) of a split."""

    def __init__(self, split: Split, transform: Transform) -> None:
        self._split, self._transform, self._labels = split, transform, split.labels

    def __call__(self, index: int) -> tuple[Tensor, int]:
        """The item; the transform may draw from torch's global generator."""
        return self._transform(self._split.image(index)), int(self._labels[index])


def cross_entropy(logits: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Mean cross entropy, a scalar, of logits [N, K] and labels int64 [N] or mixed targets float [N, K].

    `label_smoothing` eps gives eps / K to every class (arXiv 1512.00567 section 7), of mixed targets too.
    """
    return F.cross_entropy(logits, targets, label_smoothing=label_smoothing)
