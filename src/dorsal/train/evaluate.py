"""The score of a model on a split."""

from __future__ import annotations

from collections.abc import Callable

import torch
from accelerate.utils import gather_object
from torch import nn

from dorsal.tasks.method import Method, Validation
from dorsal.tasks.score import Scorer


def scored(
    method: Method,
    model: nn.Module,
    batches: Validation,
    device: torch.device,
    rank: int = 0,
    world: int = 1,
    on_batch: Callable[[int], None] = lambda _: None,
) -> Scorer:
    """A scorer that has taken all batches, which are shared out among `world` processes; the same in each of them.

    `on_batch` is called with the number of each batch that was taken, from 1.
    """
    scorer = method.scorer()
    training = model.training
    model.eval()
    with torch.inference_mode():
        for number in range(rank, len(batches), world):
            images, seen = batches.batch(number)
            scorer.add(batches.indices(number), method.predict(model, images.to(device), seen), seen)
            on_batch(number + 1)
    model.train(training)
    return scorer if world == 1 else scorer.merged(gather_object([scorer]))
