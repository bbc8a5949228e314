"""The score of a model on a split."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Literal

import torch
from accelerate.utils import gather_object
from torch import nn

from dorsal.data.dataset import Evaluation, ImageData, Split, open_data
from dorsal.data.spec import DataSpec
from dorsal.language.fields import check_word
from dorsal.language.files import PathLike
from dorsal.language.reader import wrong_type
from dorsal.spec.task import Classify, Task
from dorsal.tasks.method import Method, method_of
from dorsal.tasks.score import Score, Scorer


def evaluate(
    model: nn.Module,
    split: Split | Literal["train", "val"],
    data: ImageData | DataSpec | PathLike,
    device: str | torch.device = "cpu",
    batch: int = 256,
    task: Task = Classify(),
) -> Score:
    """The score on one split of `data`, or on images prepared as its are. The model is moved to `device`; its training
    mode is kept.

    `dorsal evaluate FOLDER` prepares images as the card of a saved model says; this function as the data say.
    """
    if not isinstance(model, nn.Module):
        raise wrong_type("model", model, "a torch module, such as dorsal.load_model(folder)[0]")
    data = open_data(data)
    if isinstance(split, str):
        check_word("split", split, ("train", "val"))
        split = data.train if split == "train" else data.val
    batches = Evaluation(split, data.size, data.normalization, batch)
    method = method_of(task, data.train.labels, len(data.classes))
    return scored(method, model.to(device), batches, torch.device(device)).score()


def scored(
    method: Method,
    model: nn.Module,
    batches: Evaluation,
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
        for number, (images, targets) in islice(enumerate(batches), rank, None, world):
            first = number * batches.batch_size
            indices = range(first, first + len(targets))
            scorer.add(indices, method.predict(model, images.to(device)), targets.to(device))
            on_batch(number + 1)
    model.train(training)
    return scorer if world == 1 else scorer.merged(gather_object([scorer]))
