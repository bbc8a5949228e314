"""A model as a folder: its weights `model.safetensors`, its card `model.json`, and its output for known images.

`reference.safetensors` holds the network's `output` for `reference_images` (float32, computed on a CPU). With it
`verify_model` finds out whether the same weights still make the same network.

How the module of a card is made is a `Builder`: of classifiers `CLASSIFIER`, of all tasks `tasks.saved.builder_of`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryFile
from typing import NamedTuple

import msgspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from dorsal.annotations.labels import Labels
from dorsal.language.files import PathLike, absence, as_path
from dorsal.language.reader import wrong_type
from dorsal.nn.backbone import Classifier
from dorsal.nn.build import build
from dorsal.spec.network import Network, network_hash
from dorsal.spec.preprocessing import Preprocessing
from dorsal.spec.task import AnyTask, Classify, task_text
from dorsal.weights.card import MODEL_FILE, READ, Card
from dorsal.weights.formats import from_ours
from dorsal.weights.read import check_finite
from dorsal.zoo import network as read_network
from dorsal.zoo import text_of

WEIGHTS, CARD, REFERENCE = "model.safetensors", MODEL_FILE, "reference.safetensors"
TOLERANCE = 1e-4
"""How far an output may be from the reference, as a share of the largest output. Machines and versions of torch differ
by about 1e-6; a wrong layer by far more than this."""


class Builder(NamedTuple):
    """How a card's module is made, and what of its outputs for some images is kept as reference, a tensor."""

    build: Callable[[Card], nn.Module]
    output: Callable[[nn.Module, Tensor], Tensor]


def _build_classifier(card: Card) -> nn.Module:
    if not isinstance(card.task, Classify):
        raise ValueError(f"the model is of task {task_text(card.task)}, and a classifier is needed here")
    with torch.device("meta"):  # nothing is initialised that the file overwrites
        return build(card.network)


CLASSIFIER = Builder(_build_classifier, lambda model, images: model(images))


def make_card(
    network: Network,
    *,
    task: AnyTask = Classify(),
    labels: Labels | None = None,
    category_ids: tuple[int, ...] = (),
    classes: tuple[str, ...],
    preprocessing: Preprocessing,
    metrics: dict[str, float],
    license: str,
    source: str,
    origin: str,
    class_names: tuple[str, ...] = (),
    source_sha256: str = "",
    trained_on: str = "",
    recipe: str = "",
) -> Card:
    """The card of a network's weights; see `Card` for the fields.

    Raises ValueError if the network has another number of classes.
    """
    if isinstance(task, Classify) and len(classes) != network.head.classes:
        raise ValueError(f"classes: {len(classes)} names for a network of {network.head.classes} classes")
    return Card(
        network=network,
        text=text_of(network),
        network_hash=network_hash(network),
        task=task,
        labels=labels,
        category_ids=category_ids,
        classes=classes,
        class_names=class_names,
        preprocessing=preprocessing,
        metrics=metrics,
        license=license,
        source=source,
        source_sha256=source_sha256,
        trained_on=trained_on,
        recipe=recipe,
        origin=origin,
    )


def check_savable(folder: PathLike, card: Card) -> None:
    """Makes the folder, and finds out before training whether `save_model` could write into it after training.

    Raises ValueError for text on the card that is not UTF-8, such as the name of a class folder in another encoding,
    and OSError if the folder cannot be made or written.
    """
    fields = msgspec.structs.asdict(card)
    for name, value in fields.items():
        for text in value if isinstance(value, tuple) else (value,):
            if isinstance(text, str) and not _is_utf8(text):
                raise ValueError(f"{name}: {text!r} is not UTF-8 text and cannot be written to {CARD}; rename it")
    folder = as_path("folder", folder)
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryFile(dir=folder):
        pass


def save_model(folder: PathLike, model: torch.nn.Module, card: Card, builder: Builder = CLASSIFIER) -> Card:
    """Writes a model's weights and card into `folder`; see `save_state`."""
    if not isinstance(model, torch.nn.Module):
        raise wrong_type("model", model, "a torch module, such as dorsal.create makes")
    return save_state(folder, model.state_dict(), card, builder)


def save_state(folder: PathLike, state: Mapping[str, Tensor], card: Card, builder: Builder = CLASSIFIER) -> Card:
    """Writes weights, reference output and card into `folder`, each file atomically, the card last.

    Returns the card with the sha256 of the weights. Raises ValueError if the state is not one of the card's network, or
    if a value in it or in the network's output is not finite.
    """
    folder = as_path("folder", folder)
    if isinstance(card.task, Classify):
        state = from_ours(state, card.network, "dorsal")
    state = {key: value.detach().cpu().contiguous() for key, value in state.items()}
    check_finite(state, "the model")
    output = _output(card, state, builder)
    if not output.isfinite().all():
        raise ValueError(
            "the weights are finite, but the network's output is not: some are far too large, or a variance is below 0"
        )
    content = save(state)
    card = msgspec.structs.replace(card, sha256=hashlib.sha256(content).hexdigest())
    check_savable(folder, card)
    _write(folder / WEIGHTS, content)
    _write(folder / REFERENCE, save({"output": output}))
    _write(folder / CARD, msgspec.json.format(msgspec.json.encode(card)))
    return card


def load_model(folder: PathLike) -> tuple[Classifier, Card]:
    """A classifier in evaluation mode, on torch's default device, and its card.

    Raises ValueError if there is no model, it is of another task, the card cannot be read or has another schema, or the
    weights are damaged, are not the card's, or are not finite.
    """
    model, card = load_built(folder, CLASSIFIER)
    assert isinstance(model, Classifier)
    return model, card


def load_built(folder: PathLike, builder: Builder) -> tuple[nn.Module, Card]:
    """As `load_model`, of a model that the builder makes."""
    state, card = load_state(folder)
    return _model(card, state, builder, torch.get_default_device()), card


def load_state(folder: PathLike) -> tuple[dict[str, Tensor], Card]:
    """The tensors of the model in `folder`, and its card. Raises ValueError as `load_model` does."""
    folder = as_path("folder", folder)
    card = read_card(folder)
    content = _read(folder / WEIGHTS)
    if hashlib.sha256(content).hexdigest() != card.sha256:
        raise ValueError(f"{folder / WEIGHTS} is damaged or of another model: its sha256 is not the one in {CARD}")
    state = load(content)
    check_finite(state, str(folder / WEIGHTS))
    return state, card


class Check(msgspec.Struct, frozen=True):
    """A check, whether it holds, and what was found."""

    name: str
    holds: bool
    found: str


def verify_model(folder: PathLike, builder: Builder = CLASSIFIER) -> tuple[Check, ...]:
    """Checks the weights against the card, the card against its network, and the output against the reference.

    Raises ValueError if there is no model, or a file of it cannot be read.
    """
    folder = as_path("folder", folder)
    card, content, reference = read_card(folder), _read(folder / WEIGHTS), _read(folder / REFERENCE)
    sha256 = hashlib.sha256(content).hexdigest()
    try:
        same = network_hash(card.network) == card.network_hash and read_network(card.text) == card.network
    except ValueError:
        same = False
    checks = [
        Check("sha256", sha256 == card.sha256, f"{sha256[:16]}…, the card says {card.sha256[:16] or 'nothing'}…"),
        Check("network", same, f"{card.text} ({card.network_hash})"),
    ]
    try:
        state, expected = load(content), load(reference)["output"]
        check_finite(state, WEIGHTS)
        output = _output(card, state, builder)
    except (SafetensorError, RuntimeError, KeyError, ValueError) as error:
        return (*checks, Check("output", False, f"cannot be computed: {str(error).splitlines()[0]}"))
    if output.shape != expected.shape:
        return (*checks, Check("output", False, f"{tuple(output.shape)}, the reference {tuple(expected.shape)}"))
    distance = float((output - expected).abs().max() / expected.abs().max().clamp(min=1e-12))
    found = f"{distance:.1e} of the largest output from the reference; at most {TOLERANCE:.0e} is allowed"
    return (*checks, Check("output", distance <= TOLERANCE, found))


def reference_images(in_channels: int, side: int) -> Tensor:
    """Two images that anyone can make: float32 [2, in_channels, side, side] in -1..1.

    Value i in row-major order is byte / 127.5 - 1, where byte is (i * 2654435761 mod 2**32) >> 24 (Knuth's
    multiplicative hash).
    """
    count = 2 * in_channels * side * side
    values = (torch.arange(count, device="cpu") * 2654435761 & 0xFFFFFFFF) >> 24
    return (values.to(torch.float32) / 127.5 - 1).view(2, in_channels, side, side)


def _output(card: Card, state: Mapping[str, Tensor], builder: Builder) -> Tensor:
    side = max(64, card.network.total_stride)
    with torch.inference_mode():
        output = builder.output(_model(card, state, builder), reference_images(card.network.in_channels, side))
    return output.contiguous()


def _model(
    card: Card, state: Mapping[str, Tensor], builder: Builder, device: torch.device = torch.device("cpu")
) -> nn.Module:
    model = builder.build(card)
    model.load_state_dict({key: value.to(device) for key, value in state.items()}, assign=True)
    return model.eval()


class _Schema(msgspec.Struct):
    schema: int


def read_card(folder: PathLike) -> Card:
    """The card of the model in `folder`.

    Raises ValueError if there is none, it cannot be read, or it has another schema.
    """
    folder = as_path("folder", folder)
    path = folder / CARD
    if not path.is_file():
        raise ValueError(
            f"{str(folder)!r} holds no model: {absence(folder, CARD)}; `dorsal train` and `dorsal weights` make them"
        )
    content = path.read_bytes()
    try:
        schema = msgspec.json.decode(content, type=_Schema).schema
        if schema not in READ:
            known = " and ".join(map(str, READ))
            raise ValueError(f"{path} has schema {schema} and this version of dorsal reads {known}")
        return msgspec.json.decode(content, type=Card)
    except msgspec.DecodeError as error:
        raise ValueError(f"{path} cannot be read: {error}") from None


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ValueError(f"{path} is missing beside {CARD}") from None


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
