"""A model that was trained here, saved as a folder that every verb takes."""

from __future__ import annotations

from pathlib import Path

import msgspec
from torch.nn import Module

from dorsal.data.annotated import AnnotatedData
from dorsal.recipes.text import Recipe, recipe_text
from dorsal.spec.network import Network
from dorsal.spec.start import Start
from dorsal.spec.task import AnyTask, Classify, at, metric_of
from dorsal.tasks.data import AnyData
from dorsal.tasks.saved import builder_of
from dorsal.weights.card import Card
from dorsal.weights.saved import make_card, save_model

DRAWN_ANEW = "of which its seed drew those to learn from"
"""Said of data in a card where any image may be one that the model has learnt from."""


def trained_card(
    network: Network,
    data: AnyData,
    origin: str,
    recipe: Recipe,
    start: Start | None = None,
    task: AnyTask = Classify(),
) -> Card:
    """The card of a network that is trained on these data, without its score. `origin` says how it comes to be."""
    data = data if start is None else data.prepared_as(start.preprocessing)
    before = f"{start.trained_on or 'data that nobody names'}, then " if start else ""
    annotated = data if isinstance(data, AnnotatedData) else None
    return make_card(
        network,
        task=at(task, data.size),
        labels=annotated.labels if annotated else None,
        category_ids=annotated.category_ids if annotated else (),
        classes=() if annotated else data.classes,
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
    metrics = {metric_of(card.task).short: score}
    save_model(folder, model, msgspec.structs.replace(card, metrics=metrics), builder_of(card))
