"""A model that was trained here, saved as a folder that every verb takes."""

from __future__ import annotations

from pathlib import Path

import msgspec
from torch.nn import Module

from dorsal.data.dataset import ImageData
from dorsal.data.transform import usual_resize
from dorsal.spec.metric import ACCURACY
from dorsal.spec.network import Network
from dorsal.spec.preprocessing import Preprocessing
from dorsal.weights.card import Card
from dorsal.weights.saved import make_card, save_model


def trained_card(network: Network, data: ImageData, origin: str) -> Card:
    """The card of a network that is trained on these data, without its score. `origin` says how it comes to be."""
    norm = data.normalization
    return make_card(
        network,
        classes=data.classes,
        preprocessing=Preprocessing(
            image_size=data.size,
            resize=usual_resize(data.size),
            mean=norm.mean,
            std=norm.std,
            color_order=norm.color_order,
            levels=data.levels,
        ),
        metrics={},
        license="not stated",
        source="trained here",
        origin=origin,
    )


def save_trained(folder: Path, model: Module, card: Card, score: float) -> None:
    """Writes the model with its card and score in percent into `folder`. Raises OSError when it cannot be written."""
    save_model(folder, model, msgspec.structs.replace(card, metrics={ACCURACY.short: score}))
