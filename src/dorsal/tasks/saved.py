"""Models of any task as folders; see `weights.saved`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dorsal.annotations.labels import Labels
from dorsal.language.files import PathLike
from dorsal.recipes.recipe import Recipe
from dorsal.spec.preprocessing import Preprocessing
from dorsal.spec.task import Classify
from dorsal.tasks.detect.checkpoints import DetectorInFile
from dorsal.tasks.detect.detector import Detector
from dorsal.tasks.method import method_of
from dorsal.weights.card import Card
from dorsal.weights.saved import CLASSIFIER, Builder, load_built, make_card, read_card, save_state


def builder_of(card: Card) -> Builder:
    """How the module of a card is made, whatever its task."""
    return CLASSIFIER if isinstance(card.task, Classify) else Builder(_build, _output)


def load_model(folder: PathLike) -> tuple[nn.Module, Card]:
    """The model in `folder`, of any task, in evaluation mode, on torch's default device, and its card.

    Raises ValueError if there is no model, the card cannot be read or has another schema, or the weights are damaged,
    are not the card's, or are not finite.
    """
    return load_built(folder, builder_of(read_card(folder)))


def _build(card: Card) -> nn.Module:
    with torch.device("meta"):  # nothing is initialised that the file overwrites
        return method_of(card.task, card.known).build(card.network, Recipe(), None)


def _output(model: nn.Module, images: Tensor) -> Tensor:
    """All that the model says of images, in one row. Of a detector it is what its heads say of fixed boxes, as what it
    finds may change altogether by a rounding."""
    if not isinstance(model, Detector):
        found: Tensor = model(images)
        return found.flatten()
    height, width = images.shape[-2:]
    boxes = torch.tensor([[0.0, 0.0, width, height], [width / 4, height / 4, width / 2, height / 2]])
    return torch.cat([part.flatten() for part in model.judged(images, boxes.expand(len(images), -1, -1))])


def save_detector(
    found: DetectorInFile, folder: PathLike, classes: tuple[str, ...], *, license: str, source: str, origin: str
) -> Card:
    """Writes a detector of another package as a model's folder. `classes` are the names of its classes, in its order;
    their categories are numbered from 1.

    Raises ValueError for another number of names, and as `weights.saved.save_state` does.
    """
    if len(classes) != found.classes:
        raise ValueError(f"classes: {len(classes)} names for a detector of {found.classes} classes")
    size = found.size or 800
    card = make_card(
        found.network,
        task=found.task,
        labels=Labels(classes=classes),
        category_ids=tuple(range(1, len(classes) + 1)),
        classes=(),
        preprocessing=Preprocessing(
            image_size=size, resize=size, mean=found.normalization.mean, std=found.normalization.std
        ),
        metrics={},
        license=license,
        source=source,
        origin=origin,
    )
    return save_state(folder, found.state, card, builder_of(card))
