"""The score of a model on a split."""

from itertools import islice

import torch
from torch import nn

from dorsal.data.dataset import Evaluation, ImageData, Split
from dorsal.tasks.classify.metric import Score, Scorer


def evaluate(
    model: nn.Module, split: Split, data: ImageData, device: str | torch.device = "cpu", batch: int = 256
) -> Score:
    """The score on one split of `data`. The model is moved to `device`; its training mode is kept."""
    batches = Evaluation(split, data.size, data.normalization, batch)
    return score(model.to(device), batches, len(data.classes), torch.device(device))


def score(
    model: nn.Module, batches: Evaluation, classes: int, device: torch.device, rank: int = 0, world: int = 1
) -> Score:
    """The score over batches that are shared out among `world` processes; the same in each of them."""
    scorer = Scorer(classes, device)
    training = model.training
    model.eval()
    with torch.inference_mode():
        for images, labels in islice(batches, rank, None, world):
            scorer.update(model(images.to(device)), labels.to(device))
    model.train(training)
    return scorer.score()
