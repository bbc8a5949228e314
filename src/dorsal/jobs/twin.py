"""A small network of the same grammar as another one, with random weights: what fails with it fails with both."""

from __future__ import annotations

from pathlib import Path

import torch
from msgspec.structs import replace

from dorsal.recipes.recipe import Recipe
from dorsal.spec.network import Network, network_hash
from dorsal.tasks.method import method_of
from dorsal.tasks.saved import builder_of
from dorsal.weights.saved import read_card, save_state
from dorsal.zoo import text_of

_SIDE = 64


def write_twin(model: Path, folder: Path) -> None:
    """Writes a small twin of the saved model in folder `model` as a saved model: its task, classes and preparation of
    images, which are smaller."""
    card = read_card(model)
    network = small(card.network)
    size = min(card.preprocessing.image_size, max(_SIDE, 2 * network.total_stride))
    card = replace(
        card,
        network=network,
        text=text_of(network),
        network_hash=network_hash(network),
        preprocessing=card.preprocessing.at(size),
        metrics={},
        origin="a small twin with random weights",
    )
    torch.manual_seed(0)
    made = method_of(card.task, card.known).build(network, Recipe(), None)
    save_state(folder, made.state_dict(), card, builder_of(card))


def small(network: Network) -> Network:
    """The network with one block in each stage, and as narrow as its grammar allows."""
    for divisor in (8, 4, 2):
        for depth in (1, None):
            stages = tuple(
                replace(stage, depth=depth or stage.depth, width=stage.width // divisor) for stage in network.stages
            )
            try:
                return replace(network, stages=stages)
            except ValueError:
                continue
    return network
