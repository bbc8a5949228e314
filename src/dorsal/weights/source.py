"""Reads what a caller gives as weights: an entry of the table, its id or tag, or a path."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
from torch import Tensor

from dorsal.language.files import PathLike, at_home, sha256_of
from dorsal.language.reader import suggest, wrong_type
from dorsal.spec.adapt import deformable_stages, with_deformable
from dorsal.spec.network import Network
from dorsal.spec.start import Start
from dorsal.spec.task import Classify
from dorsal.spec.text import choices_of, difference, edit
from dorsal.weights.convert import preprocessing_in_ours
from dorsal.weights.fetch import fetch
from dorsal.weights.formats import adopt, to_ours
from dorsal.weights.published import PublishedWeights, find_published, published, published_as
from dorsal.weights.read import SUFFIXES, find_state, read_state
from dorsal.weights.saved import load_state, read_card
from dorsal.zoo import network as read_network

_FREE = ("classes", "in_channels", "strides", "dilations")


class Weights(msgspec.Struct, frozen=True, eq=False):
    """Weights that exist. `network` is their own; `load` fetches them and returns their state under Dorsal's names, and
    `about` what is known of them, with the sha256 of the file. `license` is "" where nobody says. `left` says what a
    file holds beside the network, or is ""."""

    network: Network
    load: Callable[[], dict[str, Tensor]]
    about: Callable[[], Start]
    license: str
    left: str = ""


def find_weights(
    weights: PublishedWeights | PathLike, asked: Network, state: str | None = None, prefix: str | None = None
) -> Weights:
    """Finds weights: a model's folder, a checkpoint file, or the entry, id or tag of a published checkpoint. A tag is
    what follows the network's name in an id, as `torchvision_v1`.

    Their network is `asked` with the weights' own classes, input channels, strides, dilations and offsets of deformable
    convolutions. `state` and `prefix` choose in a file, as in `find_state`. Local files are read at once; nothing is
    fetched before `load` or `about`.

    Raises ValueError if there is nothing of this name, or if it is of another network.
    """
    if not isinstance(weights, (str, os.PathLike, PublishedWeights)):
        raise wrong_type("weights", weights, "an id of `dorsal weights list`, a model's folder, or a checkpoint file")
    path = None if isinstance(weights, PublishedWeights) else Path(at_home(os.fspath(weights)))
    if path is not None and path.is_file():
        return _of_file(path, asked, state, prefix)
    if state is not None or prefix is not None:
        raise ValueError(f"state and prefix choose in a checkpoint file, and weights={str(weights)!r} is none")
    if path is not None and path.is_dir():
        return _of_folder(path, asked)
    if path is not None and (path.name != str(weights) or path.suffix in SUFFIXES):
        raise ValueError(f"weights={str(weights)!r}: there is no such file or folder")
    try:
        entry = find_published(weights if isinstance(weights, PublishedWeights) else _id_of(str(weights), asked))
    except ValueError as error:
        raise ValueError(f"{error}; nor is there such a file or folder") from None
    network = read_network(entry.network)
    _check_same(asked, network, f"weights={entry.id!r}")
    return Weights(
        network,
        lambda: to_ours(read_state(fetch(entry)), network, entry.format),
        lambda: _published_start(entry, entry.id, fetch(entry)),
        entry.license,
    )


def tags_of(asked: Network) -> tuple[str, ...]:
    """The tags of all published checkpoints of this network, whatever its classes and input channels."""
    return tuple(entry.tag for entry in published() if not _differences(asked, read_network(entry.network)))


def _of_file(path: Path, asked: Network, state: str | None, prefix: str | None) -> Weights:
    found = find_state(path, state, prefix)
    network, matched = adopt(found.tensors, asked)
    found = msgspec.structs.replace(found, others=found.others + matched.differences.surplus)
    known = published_as(path.name)

    def about() -> Start:
        place = str(path.resolve())
        return _published_start(known, place, path) if known else Start(weights=place, sha256=sha256_of(path))

    left = f"{path}: {found.note}" if found.others else ""
    return Weights(network, lambda: matched.state, about, known.license if known else "", left)


def _of_folder(path: Path, asked: Network) -> Weights:
    card = read_card(path)
    _check_same(asked, card.network, f"weights={str(path)!r}")

    def about() -> Start:
        return Start(
            weights=str(path.resolve()),
            sha256=card.sha256,
            preprocessing=card.preprocessing,
            trained_on=card.trained_on,
            recipe=card.recipe,
            metrics=card.metrics,
            source=card.source,
            license=card.license,
        )

    return Weights(card.network, lambda: _trunk(path), about, card.license)


def _trunk(folder: Path) -> dict[str, Tensor]:
    """The tensors of a classifier, or of the trunk of a model of another task."""
    state, card = load_state(folder)
    if isinstance(card.task, Classify):
        return state
    return {name.removeprefix("trunk."): tensor for name, tensor in state.items() if name.startswith("trunk.")}


def _published_start(entry: PublishedWeights, weights: str, file: Path) -> Start:
    return Start(
        weights=weights,
        sha256=sha256_of(file),
        preprocessing=preprocessing_in_ours(entry.preprocessing, entry.format, read_network(entry.network)),
        trained_on=entry.trained_on,
        recipe=entry.recipe,
        metrics=entry.metrics,
        source=entry.source,
        license=entry.license,
    )


def _id_of(weights: str, asked: Network) -> str:
    """The id where `weights` is a tag of the asked network; else `weights`. Raises ValueError for a tag of others."""
    tagged = [entry for entry in published() if entry.tag == weights]
    for entry in tagged:
        if not _differences(asked, read_network(entry.network)):
            return entry.id
    if tagged:
        raise ValueError(
            f"weights={weights!r} are published for other networks, not for this one{suggest('', tags_of(asked))}"
        )
    return weights


def _check_same(asked: Network, own: Network, what: str) -> None:
    """Raises ValueError if weights are of another network than `asked`."""
    if differs := _differences(asked, own):
        listed = "; ".join(f"{key} is {a} and in the weights {b}" for key, (a, b) in differs.items())
        raise ValueError(f"{what} are of another network: {listed}")


def _differences(asked: Network, own: Network) -> dict[str, tuple[str, str]]:
    """The choices in which a network differs from that of weights, but for those that change none of their tensors:
    classes, input channels, strides, dilations, and deformable convolutions, whose offsets are new."""
    if len(asked.stages) != len(own.stages):
        return difference(asked, own)
    if not deformable_stages(own):
        own = with_deformable(own, deformable_stages(asked))
    return difference(edit(asked, {choice: choices_of(own)[choice] for choice in _FREE}), own)
