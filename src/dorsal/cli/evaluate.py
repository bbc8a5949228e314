"""`dorsal evaluate`: a model's score on images of a data set."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Annotated, Literal

from dorsal.cli.folders import Model
from dorsal.cli.options import AsJson
from dorsal.jobs.resources import Device
from dorsal.language.options import option
from dorsal.study.question import Data

if TYPE_CHECKING:
    from dorsal.data.dataset import Images, Split
    from dorsal.data.spec import DataSpec
    from dorsal.spec.preprocessing import Preprocessing
from dorsal.weights.card import Card


def evaluate(
    model: Model,
    data: Data = "scenes",
    split: Annotated[
        Literal["val", "train", "all"] | None,
        option("val, train, or all (default: val where the data have splits, else all)."),
    ] = None,
    image_size: Annotated[
        int | None, option("Image size instead of the card's; the resize is scaled to match.", least=1)
    ] = None,
    batch: Annotated[int, option("Images at a time.", least=1)] = 128,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Score a model: accuracy, top-5, loss, and accuracy by class.

    Images are prepared as the model's card says: size, crop, interpolation, normalization, order of colours. The
    classes of the data must be among the model's. A folder without splits is scored whole.

    Examples:
        dorsal evaluate runs/train --data photos --split val
        dorsal evaluate weights/resnet50.torchvision_v2 --data imagenet/val
    """
    import json

    import msgspec
    import numpy as np
    import torch

    from dorsal.data.dataset import Evaluation, open_for_scoring
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
    spec = _in_channels_of(card, spec)
    opened = open_for_scoring(spec, split, levels=card.preprocessing.levels)
    prepared = card.preprocessing if image_size is None else card.preprocessing.at(image_size)
    images = _in_order_of(card, opened)
    sys.stderr.write(f"scoring on {device}: {opened.summary}\n")
    for note in (*opened.notes, *_notes(card.preprocessing, image_size, spec), *_data_notes(opened, split, card)):
        sys.stderr.write(f"note: {note}\n")
    batches = Evaluation(
        images,
        prepared.image_size,
        prepared.normalization,
        batch,
        resize_to=prepared.resize,
        interpolation=prepared.interpolation,
    )
    method = method_of(Classify(), np.zeros(0, np.int64), len(card.classes))  # training labels are for losses alone
    found = scored(method, net.to(device), batches, torch.device(device)).score()
    if found.loss is None or not math.isfinite(found.loss):
        raise ValueError(f"{model}: the loss on these images is {found.loss}, so its outputs mean nothing")
    if as_json:
        shown = {"data": opened.summary, "preprocessing": prepared, "classes": card.classes}
        whole = {"network": card.text, **msgspec.to_builtins(found), **msgspec.to_builtins(shown)}
        print(json.dumps(whole, allow_nan=False))
        return
    others = ", ".join(f"{name} {value:.2f} %" for name, value in found.scores.items())
    print(f"{method.metric.short} {found.score:.2f} %, {others}, loss {found.loss:.4f} on {found.images} images")
    for name, value in zip(card.class_names or card.classes, found.per_class, strict=True):
        print(f"  {name:20} {'no images' if value is None else f'{value:6.2f} %'}")


def _in_channels_of(card: Card, spec: DataSpec) -> DataSpec:
    """The data in as many channels as the model takes."""
    import msgspec

    wanted = card.network.in_channels
    if spec.channels not in (3, wanted):
        raise ValueError(f"channels={spec.channels} of the data, but the model takes {wanted}; leave it out")
    return msgspec.structs.replace(spec, channels=wanted)


def _in_order_of(card: Card, opened: Images) -> Split:
    """The images, labelled in the order of the model's classes."""
    from dorsal.data.dataset import Joined
    from dorsal.data.spec import nearest

    known = card.class_names if set(opened.classes) <= set(card.class_names) else card.classes
    strange = [name for name in opened.classes if name not in known]
    if strange:
        more = ", ..." if len(strange) > 5 else ""
        raise ValueError(
            f"{len(strange)} of the data's {len(opened.classes)} classes are not among the model's {len(known)}: "
            f"{', '.join(strange[:5])}{more}{nearest(strange[0], known)}"
        )
    if opened.classes == known:
        return opened.images
    return Joined([opened.images], [known.index(name) for name in opened.classes])


def _data_notes(opened: Images, split: str | None, card: Card) -> list[str]:
    """What the score does not say by itself: classes without images, and images that the model has learnt from."""
    notes = []
    absent = len(card.classes) - len(opened.classes)
    if absent:
        verb = "has" if absent == 1 else "have"
        notes.append(f"{absent} of the model's {len(card.classes)} classes {verb} no images here and no accuracy")
    if split != "val" and opened.fingerprint and opened.fingerprint[:16] in card.origin:
        notes.append("the model was trained on a part of these images; --split val scores those it has not seen")
    return notes


def _notes(card: Preprocessing, image_size: int | None, spec: DataSpec) -> list[str]:
    """What the user asked for that is not what the weights were published or trained with."""
    import msgspec

    from dorsal.data.spec import Folder
    from dorsal.spec.preprocessing import IMAGENET

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
