"""Settings of a recipe to try, from one list for all arms, and which of them is best. No torch."""

from __future__ import annotations

import math
from collections.abc import Sequence

from dorsal.jobs.records import Try
from dorsal.recipes.recipe import Recipe

_FIELDS = ("lr", "weight_decay", "level_decay")
_LIST_SEED = 0
_DIGITS = 3


def ranges_of(recipe: Recipe, started: bool) -> dict[str, tuple[float, float]]:
    """From where to where each field is varied, for an arm that begins from weights (`started`) or not.

    The learning rate by factors of 4, and the weight decay, if there is any, by factors of 10; the decay by level from
    half of its value to 1, where there are weights to keep and levels that learn.
    """
    found = {"lr": (max(_rounded(recipe.lr / 4), 1e-8), min(_rounded(recipe.lr * 4), 1e8))}  # as recipes allow
    if recipe.weight_decay:
        found["weight_decay"] = (_rounded(recipe.weight_decay / 10), min(_rounded(recipe.weight_decay * 10), 1.0))
    if started and recipe.freeze != "all":
        found["level_decay"] = (max(_rounded(recipe.level_decay / 2), 0.01), 1.0)
    return found


def settings(recipe: Recipe, started: bool, count: int) -> tuple[dict[str, float], ...]:
    """The first `count` settings of the list: the recipe's own, then a scrambled Halton sequence over the ranges.

    It is one list for all arms: whatever an arm has no use for is left out, and the rest is the same. More settings
    begin with fewer. A sequence covers a range more evenly than draws at random do (Bergstra and Bengio, JMLR 2012,
    section 4.3), and unlike a grid it has another rate in every setting.
    """
    from scipy.stats import qmc  # half a second, for those who tune

    ranges = ranges_of(recipe, started)
    places = qmc.Halton(len(_FIELDS), rng=_LIST_SEED).random(count - 1)
    listed = [
        {
            field: _value(field, share, *ranges[field])
            for field, share in zip(_FIELDS, row, strict=True)
            if field in ranges
        }
        for row in places.tolist()
    ]
    return ({field: getattr(recipe, field) for field in ranges}, *listed)


def best_of(tries: Sequence[Try]) -> int | None:
    """The place of the best score, of equals that of the lowest learning rate; None where no try finished."""
    finished = [(-each.score, each.fields["lr"], place) for place, each in enumerate(tries) if each.score is not None]
    return min(finished)[2] if finished else None


def _value(field: str, share: float, low: float, high: float) -> float:
    """The value at a share of the way from low to high: for rates and decays of weights in equal factors."""
    if field == "level_decay":
        return _rounded(low + share * (high - low))
    return _rounded(math.exp(math.log(low) + share * math.log(high / low)))


def _rounded(value: float) -> float:
    """To three significant digits, as a reader would write it."""
    return float(f"{value:.{_DIGITS}g}")
