"""The module that a recipe trains, of any network."""

from __future__ import annotations

from torch import nn

from dorsal.nn.build import build
from dorsal.nn.timm import build_timm
from dorsal.recipes.recipe import Recipe
from dorsal.spec.timm import AnyNetwork, TimmNetwork


def make_model(network: AnyNetwork, recipe: Recipe) -> nn.Module:
    """The network freshly initialised, with what the recipe adds to it in training, on torch's default device.

    A network of timm is initialised by timm; `zero_init` does not reach it. Raises ValueError when timm does not know
    the network, or it has no use for something that the recipe asks for; ModuleNotFoundError without timm.
    """
    if isinstance(network, TimmNetwork):
        return build_timm(network, drop_path=recipe.drop_path, drop_block=recipe.drop_block, dropout=recipe.dropout)
    return build(
        network,
        drop_path=recipe.drop_path,
        drop_block=recipe.drop_block,
        dropout=recipe.dropout,
        zero_init=recipe.zero_init,
    )
