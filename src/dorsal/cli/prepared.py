"""How a model's card says that images are prepared, in the words of the data room."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dorsal.data.dataset import Normalization
    from dorsal.weights.card import Preprocessing


def normalization_of(preprocessing: Preprocessing) -> Normalization:
    """The card's mean, standard deviation and order of channels."""
    from dorsal.data.dataset import Normalization

    return Normalization(
        mean=preprocessing.mean, std=preprocessing.std, source="the model's card", color_order=preprocessing.color_order
    )
