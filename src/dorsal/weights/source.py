"""Reads what a caller gives as weights: an entry of the table, its id, or a path."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
from torch import Tensor

from dorsal.language.files import PathLike, at_home
from dorsal.language.reader import wrong_type
from dorsal.spec.network import Network
from dorsal.spec.text import difference, edit
from dorsal.weights.fetch import fetch
from dorsal.weights.formats import adopt, to_ours
from dorsal.weights.published import PublishedWeights, find_published
from dorsal.weights.read import SUFFIXES, find_state, read_state
from dorsal.weights.saved import load_model, read_card
from dorsal.zoo import network as read_network


class Weights(msgspec.Struct, frozen=True, eq=False):
    """Weights that exist. `network` is their own; `load` fetches them and returns their state under Dorsal's names.
    `left` says what a file holds beside the network, or is ""."""

    network: Network
    load: Callable[[], dict[str, Tensor]]
    left: str = ""


def find_weights(
    weights: PublishedWeights | PathLike, asked: Network, state: str | None = None, prefix: str | None = None
) -> Weights:
    """Finds weights: a model's folder, a checkpoint file, or the id or entry of a published checkpoint.

    Their network is `asked` with the weights' own classes and input channels. `state` and `prefix` choose in a file, as
    in `find_state`. Local files are read at once; nothing is fetched before `load`.

    Raises ValueError if there is nothing of this name, or if it is of another network.
    """
    if not isinstance(weights, (str, os.PathLike, PublishedWeights)):
        raise wrong_type("weights", weights, "an id of `dorsal weights list`, a model's folder, or a checkpoint file")
    path = None if isinstance(weights, PublishedWeights) else Path(at_home(os.fspath(weights)))
    if path is not None and path.is_file():
        found = find_state(path, state, prefix)
        network, matched = adopt(found.tensors, asked)
        found = msgspec.structs.replace(found, others=found.others + matched.differences.surplus)
        return Weights(network, lambda: matched.state, f"{path}: {found.note}" if found.others else "")
    if state is not None or prefix is not None:
        raise ValueError(f"state and prefix choose in a checkpoint file, and weights={str(weights)!r} is none")
    if path is not None and path.is_dir():
        network = read_card(path).network
        _check_same(asked, network, f"weights={str(path)!r}")
        return Weights(network, load_model(path)[0].state_dict)
    if path is not None and (path.name != str(weights) or path.suffix in SUFFIXES):
        raise ValueError(f"weights={str(weights)!r}: there is no such file or folder")
    entry = find_published(weights)
    network = read_network(entry.network)
    _check_same(asked, network, f"weights={entry.id!r}")
    return Weights(network, lambda: to_ours(read_state(fetch(entry)), network, entry.format))


def _check_same(asked: Network, own: Network, what: str) -> None:
    """Raises ValueError if weights are of another network than `asked`, whose classes and channels may differ."""
    differs = difference(edit(asked, {"classes": own.head.classes, "in_channels": own.in_channels}), own)
    if differs:
        listed = "; ".join(f"{key} is {a} and in the weights {b}" for key, (a, b) in differs.items())
        raise ValueError(f"{what} are of another network: {listed}")
