"""`dorsal evaluate`: a model's score on images of a data set."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Annotated, Literal

from dorsal.cli.options import AsJson, Model
from dorsal.jobs.resources import Device
from dorsal.language.options import option
from dorsal.study.question import Data

if TYPE_CHECKING:
    from dorsal.data.dataset import ImageData, Split
    from dorsal.data.spec import DataSpec
    from dorsal.weights.card import Card, Preprocessing


def evaluate(
    model: Model,
    data: Data = "scenes",
    split: Annotated[Literal["val", "train", "all"], option("val, train, or all: every image there is.")] = "val",
    image_size: Annotated[
        int | None, option("Image size instead of the card's; the resize is scaled to match.", least=1)
    ] = None,
    batch: Annotated[int, option("Images at a time.", least=1)] = 128,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Score a model: accuracy, top-5, loss, and accuracy by class.

    Images are prepared as the model's card says: size, crop, interpolation, normalization, order of colours. The data
    must have the model's classes.

    Examples:
        dorsal evaluate runs/train --data photos
        dorsal evaluate weights/resnet50.torchvision_v2 --data imagenet/val --split all
    """
    import json

    import msgspec
    import torch

    from dorsal.cli.prepared import normalization_of
    from dorsal.data.dataset import Evaluation, open_data
    from dorsal.data.spec import parse_data
    from dorsal.jobs.train import choose_device
    from dorsal.spec.task import Classify
    from dorsal.tasks.method import method_of
    from dorsal.train.evaluate import scored
    from dorsal.weights.saved import load_model

    spec = parse_data(data)
    device = choose_device(device)
    net, card = load_model(model)
    if not card.classes:
        raise ValueError(f"{model} has no classifier, so there is no accuracy to measure")
    opened = open_data(spec)
    prepared = card.preprocessing if image_size is None else card.preprocessing.at(image_size)
    for note in _notes(card.preprocessing, image_size, spec):
        sys.stderr.write(f"note: {note}\n")
    batches = Evaluation(
        _images(opened, split, card),
        prepared.image_size,
        normalization_of(prepared),
        batch,
        resize_to=prepared.resize,
        interpolation=prepared.interpolation,
    )
    method = method_of(Classify(), opened.train.labels, len(card.classes))
    found = scored(method, net.to(device), batches, torch.device(device)).score()
    if found.loss is None or not math.isfinite(found.loss):
        raise ValueError(f"{model}: the loss on these images is {found.loss}, so its outputs mean nothing")
    if as_json:
        shown = {"preprocessing": prepared, "classes": card.classes}
        whole = {"network": card.text, **msgspec.to_builtins(found), **msgspec.to_builtins(shown)}
        print(json.dumps(whole, allow_nan=False))
        return
    others = ", ".join(f"{name} {value:.2f} %" for name, value in found.scores.items())
    print(f"{method.metric.short} {found.score:.2f} %, {others}, loss {found.loss:.4f} on {found.images} images")
    for name, value in zip(card.class_names or card.classes, found.per_class, strict=True):
        print(f"  {name:20} {'no images' if value is None else f'{value:6.2f} %'}")


def _images(data: ImageData, split: str, card: Card) -> Split:
    """The images of `data` that are asked for, labelled in the order of the model's classes."""
    from dorsal.data.dataset import Joined

    known = card.class_names if set(data.classes) == set(card.class_names) else card.classes
    if set(data.classes) != set(known):
        missing = sorted(set(known) ^ set(data.classes))
        raise ValueError(f"the data's classes are not the model's; not in both: {', '.join(missing[:10])}")
    splits = {"val": [data.val], "train": [data.train], "all": [data.train, data.val]}[split]
    order = [known.index(name) for name in data.classes]
    if len(splits) == 1 and order == list(range(len(order))):
        return splits[0]
    return Joined(splits, order)


def _notes(card: Preprocessing, image_size: int | None, spec: DataSpec) -> list[str]:
    """What the user asked for that is not what the weights were published or trained with."""
    import msgspec

    from dorsal.data.dataset import IMAGENET
    from dorsal.data.spec import Folder

    notes = []
    unset = next(field.default for field in msgspec.structs.fields(spec) if field.name == "size")
    if image_size not in (None, card.image_size):
        notes.append(f"--image-size {image_size} is not the model's: its card says {card.describe()}; leave it out")
    if image_size is None and spec.size not in (card.image_size, unset):
        notes.append(
            f"size={spec.size} of the data is not used: the card says {card.describe()}; --image-size {spec.size} "
            "would set it"
        )
    differs = (card.mean, card.std) != (IMAGENET.mean, IMAGENET.std)
    if isinstance(spec, Folder) and spec.normalization == "imagenet" and differs:
        notes.append(f"normalization=imagenet of the data is not used: the card says {card.describe()}; leave it out")
    return notes
