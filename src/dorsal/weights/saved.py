"""A trained network as a folder: `model.safetensors` and `model.json`, the card that says what the weights are."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import msgspec
import torch
from safetensors.torch import load, save

from dorsal.nn.build import Backbone, build
from dorsal.spec.network import Network, network_hash
from dorsal.zoo import text_of

WEIGHTS, CARD = "model.safetensors", "model.json"
SCHEMA = 1


class Card(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a set of weights is: the network, its classes, and how an image must be prepared for it.

    `mean` and `std` are of RGB values in 0..1; `image_size` is the side in pixels of the centre crop. `metrics` are in
    percent. `origin` says how the weights came about: the command, or where they were published.
    """

    network: Network
    text: str
    network_hash: str
    classes: tuple[str, ...]
    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    metrics: dict[str, float]
    origin: str
    sha256: str = ""
    schema: int = SCHEMA


def make_card(
    network: Network,
    classes: tuple[str, ...],
    image_size: int,
    normalisation: tuple[tuple[float, float, float], tuple[float, float, float]],
    metrics: dict[str, float],
    origin: str,
) -> Card:
    """The card of a network's weights. `normalisation` is (mean, std)."""
    mean, std = normalisation
    return Card(
        network=network,
        text=text_of(network),
        network_hash=network_hash(network),
        classes=classes,
        image_size=image_size,
        mean=mean,
        std=std,
        metrics=metrics,
        origin=origin,
    )


def save_model(folder: Path, model: torch.nn.Module, card: Card) -> Card:
    """Writes weights and card into `folder`, each atomically, the weights first. Returns the card with their sha256."""
    folder.mkdir(parents=True, exist_ok=True)
    content = save({key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()})
    card = msgspec.structs.replace(card, sha256=hashlib.sha256(content).hexdigest())
    _write(folder / WEIGHTS, content)
    _write(folder / CARD, msgspec.json.format(msgspec.json.encode(card)))
    return card


def load_model(folder: Path) -> tuple[Backbone, Card]:
    """The model in evaluation mode, on torch's default device, and its card.

    Raises ValueError when there is no model, the card cannot be read or is of another schema, or the weights are not
    those the card was written for.
    """
    card = _read_card(folder)
    try:
        content = (folder / WEIGHTS).read_bytes()
    except FileNotFoundError:
        raise ValueError(f"{folder / WEIGHTS} is missing beside {CARD}") from None
    if hashlib.sha256(content).hexdigest() != card.sha256:
        raise ValueError(f"{folder / WEIGHTS} is damaged or of another model: its sha256 is not the one in {CARD}")
    device = torch.get_default_device()
    with torch.device("meta"):  # nothing is initialised that the file overwrites
        model = build(card.network)
    state = {key: value.to(device) for key, value in load(content).items()}
    model.load_state_dict(state, assign=True)
    return model.eval(), card


class _Schema(msgspec.Struct):
    schema: int


def _read_card(folder: Path) -> Card:
    path = folder / CARD
    if not path.is_file():
        raise ValueError(f"{str(folder)!r} holds no model: there is no {CARD} in it; `dorsal train` makes one")
    content = path.read_bytes()
    try:
        schema = msgspec.json.decode(content, type=_Schema).schema
        if schema != SCHEMA:
            raise ValueError(f"{path} has schema {schema} and this version of dorsal reads {SCHEMA}")
        return msgspec.json.decode(content, type=Card)
    except msgspec.DecodeError as error:
        raise ValueError(f"{path} cannot be read: {error}") from None


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
