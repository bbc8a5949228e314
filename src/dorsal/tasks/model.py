"""The module that a recipe trains, of any network."""

from __future__ import annotations

import torch

from dorsal.nn.backbone import Classifier
from dorsal.nn.build import build
from dorsal.nn.timm import TimmBackbone, build_timm
from dorsal.recipes.recipe import Recipe
from dorsal.spec.timm import AnyNetwork, TimmNetwork
from dorsal.tasks.trunk import OnTrunk
from dorsal.weights.start import StartingWeights, begin

Trunked = Classifier | TimmBackbone
"""A network as a module, with its classifier."""
Trainable = Trunked | OnTrunk
"""A module whose parameters belong to levels, some of which may be frozen."""


def make_model(network: AnyNetwork, recipe: Recipe, start: StartingWeights | None = None) -> Trunked:
    """The network with what the recipe adds to it in training, on torch's default device: freshly initialised, or with
    the weights of `start` and a new classifier. The levels that the recipe freezes do not learn.

    A network of timm is initialised by timm; `zero_init` does not reach it. Raises ValueError when timm does not know
    the network, it has no use for something that the recipe asks for, or the weights are of another network;
    ModuleNotFoundError without timm.
    """
    model = _make(network, recipe, start)
    if recipe.freeze:
        model.freeze(model.level_count if recipe.freeze == "all" else recipe.freeze)
    if recipe.level_decay != 1 and model.level_count < 2:
        raise ValueError(f"level_decay={recipe.level_decay:g} does nothing in a network of one level; leave it out")
    return model


def _make(network: AnyNetwork, recipe: Recipe, start: StartingWeights | None) -> Trunked:
    model: Trunked
    if isinstance(network, TimmNetwork):
        model = build_timm(
            network,
            drop_path=recipe.drop_path,
            drop_block=recipe.drop_block,
            dropout=recipe.dropout,
            norm_policy=recipe.norm,
        )
    else:
        with torch.device("meta" if start else torch.get_default_device()):
            model = build(
                network,
                drop_path=recipe.drop_path,
                drop_block=recipe.drop_block,
                dropout=recipe.dropout,
                zero_init=recipe.zero_init,
                norm_policy=recipe.norm,
            )
    if start is not None:
        begin(model, start)
    return model
