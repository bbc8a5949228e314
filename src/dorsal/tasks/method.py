"""How a task is done: the contract between the training loop and a task.

The loop knows no loss and no metric. A task supplies them as a `Method`; `method_of` is the one place that knows which.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from torch import Tensor, nn

from dorsal.annotations.labels import Labels
from dorsal.data.split import Split
from dorsal.language.reader import wrong_type
from dorsal.recipes.recipe import Recipe
from dorsal.spec.metric import Metric
from dorsal.spec.task import AnyTask, Classify, Detect, Semantic, any_task, at
from dorsal.spec.timm import AnyNetwork
from dorsal.tasks.classify.method import ClassifyMethod
from dorsal.tasks.data import AnyData
from dorsal.tasks.detect.method import DetectMethod
from dorsal.tasks.maps import Maps
from dorsal.tasks.model import Trainable
from dorsal.tasks.score import Scorer
from dorsal.tasks.semantic.method import SemanticMethod
from dorsal.tasks.training import Training
from dorsal.weights.start import StartingWeights


class Validation(Protocol):
    """Images to score a model on, in batches (images [N, C, H, W], what is known of them); the same every time."""

    def __len__(self) -> int:
        """The number of batches."""

    def batch(self, number: int) -> tuple[Tensor, Any]:
        """A batch by its number, from 0."""

    def indices(self, number: int) -> Sequence[int]:
        """The places in their split of the images of a batch."""


class Method(Protocol):
    """A task's part in training and evaluation."""

    metric: Metric

    def build(self, network: AnyNetwork, recipe: Recipe, start: StartingWeights | None) -> Trainable:
        """The model with what the recipe adds to it in training, on torch's default device: freshly initialised, or
        with the weights of `start` in its trunk."""

    def training(self, recipe: Recipe, data: AnyData, seed: int) -> Training:
        """The training images of the data. Raises ValueError where the recipe does not suit them."""

    def validation(self, data: AnyData, batch: int) -> Validation:
        """The validation images of the data, `batch` of them at a time. Raises ValueError where no score could come of
        them."""

    def losses(self, model: nn.Module, images: Tensor, targets: Any, recipe: Recipe) -> dict[str, Tensor]:
        """The terms of the loss, each a scalar, and a mean over the images, or over their pixels or boxes; their sum is
        descended."""

    def predict(self, model: nn.Module, images: Tensor, seen: Any) -> Any:
        """What the model says of images [N, C, H, W], for `Scorer.add`. `seen` is what `validation` gave with them; of
        it only where the images lie in their files is looked at."""

    def scorer(self) -> Scorer:
        """A scorer that has taken nothing yet."""


def task_model(task: AnyTask | str, labels: Labels, maps: Maps, image_size: int = 800) -> nn.Module:
    """The model of a task on anyone's pyramid: neck and heads, freshly initialised, on a trunk that is used as it is.

    `maps` is a module with `info`, which describes the maps that it returns for images [N, C, H, W], fine to coarse:
    for each a `dorsal.spec.layers.Feature` with name, channels and stride. What the task leaves open is filled in for
    images with a short side of `image_size` pixels. See `tasks.semantic.segmenter.Segmenter` and
    `tasks.detect.detector.Detector` for what the model takes and returns; `dorsal.evaluate` scores it.

    Raises ValueError for a pyramid that the heads cannot be built on, naming its strides, and for a task without heads.
    """
    if not isinstance(labels, Labels):
        raise wrong_type("labels", labels, "a Labels: Labels(classes=('cat', 'dog'))")
    if not hasattr(maps, "info"):
        raise wrong_type("maps", maps, "a module whose `info` describes its maps, as a Backbone's does")
    if image_size < 1:
        raise ValueError(f"image_size={image_size} is below 1; nearest valid: 1")
    task = at(any_task(task), image_size)
    match task:
        case Classify():
            raise ValueError("task classify has no heads on a pyramid; a network of dorsal.build classifies")
        case Semantic():
            return SemanticMethod(task, labels).on(maps)
        case Detect():
            return DetectMethod(task, labels).on(maps)


def method_of(task: AnyTask, labels: Labels, train: Split | None = None) -> Method:
    """How a task in which nothing is left open, see `spec.task.at`, is done on data with these labels. `train` are the
    training images of a classification, whose labels may weigh the loss."""
    match task:
        case Classify():
            known = np.zeros(0, np.int64) if train is None else train.labels
            return ClassifyMethod(known, len(labels.classes))
        case Semantic():
            return SemanticMethod(task, labels)
        case Detect():
            return DetectMethod(task, labels)
