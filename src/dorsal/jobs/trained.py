"""A model that was trained here, saved as a folder that every verb takes."""

from __future__ import annotations

from pathlib import Path

import msgspec
from torch.nn import Module

from dorsal.data.dataset import ImageData
from dorsal.recipes.text import Recipe, recipe_text
from dorsal.spec.metric import ACCURACY
from dorsal.spec.network import Network
from dorsal.spec.start import Start
from dorsal.weights.card import Card
from dorsal.weights.saved import make_card, save_model

DRAWN_ANEW = "of which its seed drew those to learn from"
"""Said of data in a card where any image may be one that the model has learnt from."""


def trained_card(network: Network, data: ImageData, origin: str, recipe: Recipe, start: Start | None = None) -> Card:
    """The card of a network that is trained on these data, without its score. `origin` says how it comes to be."""
    data = data if start is None else data.prepared_as(start.preprocessing)
    before = f"{start.trained_on or 'data that nobody names'}, then " if start else ""
    return make_card(
        network,
        classes=data.classes,
        preprocessing=data.preprocessing,
        metrics={},
        license="not stated",
        source="trained here",
        origin=origin,
        trained_on=f"{before}{data.summary}",
        recipe=recipe_text(recipe),
    )


def save_trained(folder: Path, model: Module, card: Card, score: float) -> None:
    """Writes the model with its card and score in percent into `folder`. Raises OSError when it cannot be written."""
    save_model(folder, model, msgspec.structs.replace(card, metrics={ACCURACY.short: score}))
