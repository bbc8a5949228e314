"""How a model's card says that images are prepared, in the words of the data room."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dorsal.data.dataset import Normalisation
    from dorsal.weights.card import Preprocessing


def normalisation_of(preprocessing: Preprocessing) -> Normalisation:
    """The card's mean, standard deviation and order of channels."""
    from dorsal.data.dataset import Normalisation

    return Normalisation(
        mean=preprocessing.mean, std=preprocessing.std, source="the model's card", colours=preprocessing.colours
    )
