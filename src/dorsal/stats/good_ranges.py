"""Good values of an axis by the empirical bootstrap of the RegNet paper, with a test of whether the axis matters."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from dorsal.stats.bootstrap import DRAWS, permuted, start
from dorsal.stats.checks import Index, Numbers, categories, last_of_ties, parallel
from dorsal.stats.interval import Array, check_confidence

SHARE = 0.25


class GoodRange(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the best networks lie on a numeric axis.

    - `low` to `high`: the range that holds the best network of a draw with probability `confidence`. `median` is the
      median of its value.
    - `inside`: the share of all networks in that range. `inside_if_irrelevant` is the median of that share over
      permutations, for an axis that does not matter. It is below 1 too.
    - `p`: the permutation p value that the best networks lie on the axis as all networks do.
    - `effective_n`: the number of networks on which the range effectively rests.
    """

    low: float
    median: float
    high: float
    inside: float
    inside_if_irrelevant: float
    p: float
    n: int
    effective_n: float
    missing: int
    confidence: float


class GoodValue(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A value of a categorical axis, the share of draws it wins, and the share of networks that have it."""

    value: str
    wins: float
    share: float
    good: bool


class GoodValues(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Values of a categorical axis, the likeliest first. The good ones together win `confidence` of the draws.

    `inside` is the share of networks with a good value. Other fields are as in GoodRange.
    """

    values: tuple[GoodValue, ...]
    inside: float
    p: float
    n: int
    effective_n: float
    missing: int
    confidence: float


def good_range(
    axis: Numbers, errors: Numbers, *, confidence: float = 0.95, draws: int = DRAWS, seed: int = 0
) -> GoodRange:
    """The good range of a numeric axis, from the axis value and the error (percent) of each network.

    The empirical bootstrap (Radosavovic et al. 2020, section 3.2; Efron and Tibshirani 1994) draws a quarter of the
    networks with replacement, keeps the axis value of the best one, and repeats this 10,000 times. The chance of each
    network to be kept is known: ((n - r + 1) / n)^m - ((n - r) / n)^m for rank r and draws of m. The range here uses
    it, which equals infinitely many repetitions. Networks of equal error share their chances.

    The chance falls by a factor e in about four ranks, for any n. So the range rests on about 8 networks, does not
    narrow as the population grows, and is narrower than the axis even if the axis does not matter. This is why `p` is
    there. It compares the distributions of the best and of all networks on the axis by a distance, against `draws`
    permutations of the axis values. The distance is that of Cramer and von Mises plus three times Watson's U², the part
    of it that no shift explains. Without that part it has hardly any power if the best lie in the middle of the axis.
    The test looks at the few best networks only, so it may miss a weak influence on all networks.

    Networks without an error or an axis value (None or NaN; the axis is not active there) are left out and counted.

    Raises ValueError without a complete network, for columns of unequal length, infinite values, a confidence not
    between 0 and 1, or fewer than 100 draws.
    """
    check_confidence(confidence)
    random = start(draws, seed)
    (values, results), missing = parallel({"axis": axis, "errors": errors})
    order = np.argsort(values, kind="stable")
    values, chances = values[order], best_chances(results[order])
    last = last_of_ties(values)
    distinct, networks = values[last], np.append(0, last + 1) / values.size
    levels = np.array([(1 - confidence) / 2, 0.5, (1 + confidence) / 2])
    observed = chances.cumsum()[last]
    low, median, high = _crossed(observed[None], levels)[0]
    distance = _distance(observed[None], networks)[0]
    exceeded, insides = 0, []
    for shuffled in permuted(chances, draws, random):
        curves = shuffled.cumsum(axis=1)[:, last]
        ends = _crossed(curves, levels)
        insides.append(networks[ends[:, 2] + 1] - networks[ends[:, 0]])
        # Results that differ only by rounding count as equal.
        exceeded += int((_distance(curves, networks) >= distance - 1e-12).sum())
    return GoodRange(
        low=float(distinct[low]),
        median=float(distinct[median]),
        high=float(distinct[high]),
        inside=float(networks[high + 1] - networks[low]),
        inside_if_irrelevant=float(np.median(np.concatenate(insides))),
        p=(1 + exceeded) / (1 + draws),
        n=values.size,
        effective_n=float(1 / (chances @ chances)),
        missing=missing,
        confidence=confidence,
    )


def good_values(
    axis: Sequence[str | None], errors: Numbers, *, confidence: float = 0.95, draws: int = DRAWS, seed: int = 0
) -> GoodValues:
    """The good values of a categorical axis: `good_range` for values without an order.

    The good values are the smallest set that wins `confidence` of the draws. The distance behind `p` is chi-square: the
    squared difference between the shares of wins and of networks, over the latter, summed over values. None marks a
    network in which the axis is not active.

    Raises ValueError as `good_range` does.
    """
    check_confidence(confidence)
    random = start(draws, seed)
    values, index, results, missing = categories(axis, errors)
    chances = best_chances(results)
    counts = np.bincount(index)
    networks = counts / index.size
    members = np.eye(len(values))[index]
    wins = chances @ members
    distance = float(((wins - networks) ** 2 / networks).sum())
    exceeded = 0
    for shuffled in permuted(chances, draws, random):
        distances = ((shuffled @ members - networks) ** 2 / networks).sum(axis=1)
        exceeded += int((distances >= distance - 1e-12).sum())
    ranked = np.argsort(-wins, kind="stable")
    good = ranked[: int(np.searchsorted(wins[ranked].cumsum(), confidence - 1e-12)) + 1]
    return GoodValues(
        values=tuple(
            GoodValue(value=values[i], wins=float(wins[i]), share=float(networks[i]), good=bool(i in good))
            for i in ranked
        ),
        inside=float(counts[good].sum() / index.size),
        p=(1 + exceeded) / (1 + draws),
        n=index.size,
        effective_n=float(1 / (chances @ chances)),
        missing=missing,
        confidence=confidence,
    )


def best_chances(errors: Array) -> Array:
    """The probability that each network is the best of a quarter of them (at least one) drawn with replacement."""
    n = errors.size
    drawn = max(1, int(n * SHARE))
    by_rank = -np.diff(((n - np.arange(n + 1)) / n) ** drawn)
    _, index, counts = np.unique(errors, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    up_to = np.append(0, by_rank.cumsum())
    chances: Array = ((up_to[ends] - up_to[ends - counts]) / counts)[index]
    return chances


def _crossed(curves: Array, levels: Array) -> Index:
    """Index of the first value at which each row of distribution functions reaches each level: [rows, levels]."""
    return np.stack([(curves >= level - 1e-12).argmax(axis=1) for level in levels], axis=1)


def _distance(curves: Array, networks: Array) -> Array:
    """The distance of each row from the distribution function of all networks.

    With d the difference of the two functions, over the networks: the mean square of d, plus three times its variance.
    """
    apart, weights = curves - networks[1:], np.diff(networks)
    squares, means = apart**2 @ weights, apart @ weights
    distances: Array = 4 * squares - 3 * means**2
    return distances
