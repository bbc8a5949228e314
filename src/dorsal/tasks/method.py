"""How a task is done: the contract between the training loop and a task.

The loop knows no loss and no metric. A task supplies them as a `Method`; `method_of` is the one place that knows which.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from dorsal.recipes.recipe import Recipe
from dorsal.spec.metric import Metric
from dorsal.spec.task import Classify, Task
from dorsal.spec.timm import AnyNetwork
from dorsal.tasks.classify.method import ClassifyMethod
from dorsal.tasks.model import Trainable
from dorsal.tasks.score import Scorer
from dorsal.weights.start import StartingWeights


class Method(Protocol):
    """A task's part in training and evaluation."""

    metric: Metric

    def build(self, network: AnyNetwork, recipe: Recipe, start: StartingWeights | None) -> Trainable:
        """The model with what the recipe adds to it in training, on torch's default device: freshly initialised, or
        with the weights of `start` in its trunk."""

    def losses(self, model: nn.Module, images: Tensor, targets: Tensor, recipe: Recipe) -> dict[str, Tensor]:
        """The terms of the loss, each a scalar mean over the images; their sum is descended."""

    def predict(self, model: nn.Module, images: Tensor) -> Tensor:
        """What the model says of images [N, C, H, W], one row an image, for `Scorer.add`."""

    def scorer(self) -> Scorer:
        """A scorer that has taken nothing yet."""


def method_of(task: Task, train_labels: NDArray[np.int64], classes: int) -> Method:
    """How this task is done on data with so many classes; `train_labels` are those of the training images."""
    match task:
        case Classify():
            return ClassifyMethod(train_labels, classes)
