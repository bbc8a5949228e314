"""Converts checkpoints of other packages to model folders, and back."""

from __future__ import annotations

from pathlib import Path

import msgspec
import torch
from safetensors.torch import save_file

from dorsal.language.files import sha256_of
from dorsal.nn.build import build
from dorsal.spec.network import Network
from dorsal.spec.preprocessing import Preprocessing
from dorsal.weights.card import Card
from dorsal.weights.class_names import read_labels
from dorsal.weights.formats import from_ours, match, recognise, to_ours
from dorsal.weights.formats.compare import sentence
from dorsal.weights.formats.packages import naming_of
from dorsal.weights.formats.table import make_table
from dorsal.weights.published import PublishedWeights
from dorsal.weights.read import find_state
from dorsal.weights.saved import load_model, make_card, save_state
from dorsal.zoo import network as read_network


def convert(
    file: str | Path,
    entry: PublishedWeights,
    out: str | Path,
    *,
    origin: str,
    partial: bool = False,
    state: str | None = None,
    prefix: str | None = None,
) -> tuple[Card, tuple[str, ...]]:
    """Converts a checkpoint file to a model folder `out`. Returns the card, and notes on what was taken and left.

    - `entry`: what the file is. For a file that is not published make one; an empty `format` is recognised.
    - `state`, `prefix`: which network of a file that holds several; see `find_state`.
    - `partial`: take what fits and initialise the rest. Otherwise everything must fit.

    Half-precision weights become float32. If the format takes images as BGR, the first convolution is turned to RGB,
    and so is the card. The published metrics are kept if everything fits.

    Raises ValueError if the file cannot be read, holds values that are not finite, or does not fit.
    """
    network = read_network(entry.network)
    labels = read_labels(entry.classes, network.head.classes)
    found = find_state(file, state, prefix)
    name = entry.format or recognise(found.tensors)
    try:
        ours = to_ours(found.tensors, network, name, partial)
    except ValueError as error:
        whole = "; a whole detector is converted with --detector" if found.prefix.startswith("backbone.") else ""
        raise ValueError(f"{error}{whole}") from None
    misfits = sentence(match(found.tensors, network, name).differences) if partial else ""
    if misfits:
        ours = build(network).state_dict() | ours
    ours = {key: value.float() if value.is_floating_point() else value for key, value in ours.items()}
    card = make_card(
        network,
        classes=labels.classes,
        class_names=labels.names,
        preprocessing=preprocessing_in_ours(entry.preprocessing, name, network),
        metrics={} if misfits else entry.metrics,
        license=entry.license,
        source=entry.source or f"file {entry.file}",
        source_sha256=sha256_of(Path(file)),
        trained_on=entry.trained_on,
        recipe=entry.recipe,
        origin=origin,
    )
    note = "" if entry.source else found.note  # how a published file is wrapped is no news
    return save_state(out, ours, card), tuple(filter(None, (note, misfits)))


def preprocessing_in_ours(given: Preprocessing, format: str, network: Network) -> Preprocessing:
    """The preprocessing of a file of this format for its weights under Dorsal's names, which take RGB images."""
    return msgspec.structs.replace(given, color_order="rgb") if takes_bgr(format, network) else given


def takes_bgr(format: str, network: Network) -> bool:
    """Whether files of this format take BGR images, so that conversion flips the first convolution."""
    return any(entry.change == "flip" for entry in make_table(network, naming_of(format, network)).entries)


def export(folder: str | Path, format: str, file: str | Path) -> None:
    """Writes the model in `folder` as another package's checkpoint: .safetensors, or a state dict as .pth.

    Raises ValueError if there is no model, the format has no such network, or the file's suffix is unknown.
    """
    model, _ = load_model(folder)
    state = from_ours(model.state_dict(), model.network, format)
    file = Path(file)
    temporary = file.with_name(file.name + ".tmp")
    match file.suffix:
        case ".safetensors":
            save_file({key: value.contiguous() for key, value in state.items()}, temporary)
        case ".pth" | ".pt" | ".th" | ".pyth":
            torch.save(state, temporary)
        case suffix:
            raise ValueError(f"--out {file.name!r} ends in {suffix!r}; valid: .safetensors, .pth, .pt, .th, .pyth")
    temporary.replace(file)
