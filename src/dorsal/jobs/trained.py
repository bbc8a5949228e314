"""A model that was trained here, saved as a folder that every verb takes."""

from __future__ import annotations

from pathlib import Path

from torch.nn import Module

from dorsal.data.dataset import ImageData
from dorsal.data.transform import usual_resize
from dorsal.spec.metric import ACCURACY
from dorsal.spec.network import Network
from dorsal.weights.card import Card, Preprocessing
from dorsal.weights.saved import make_card, save_model


def save_trained(folder: Path, network: Network, model: Module, data: ImageData, score: float, origin: str) -> Card:
    """Writes the model with its card into `folder`, and returns the card. `origin` says how it came to be.

    Raises ValueError for what cannot be on a card, OSError when it cannot be written.
    """
    norm = data.normalization
    card = make_card(
        network,
        classes=data.classes,
        preprocessing=Preprocessing(image_size=data.size, resize=usual_resize(data.size), mean=norm.mean, std=norm.std),
        metrics={ACCURACY.short: score},
        license="not stated",
        source="trained here",
        origin=origin,
    )
    return save_model(folder, model, card)
