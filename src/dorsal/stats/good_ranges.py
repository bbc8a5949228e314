"""Good values of an axis by the empirical bootstrap of the RegNet paper, and whether they mean anything."""

from collections.abc import Sequence

import msgspec
import numpy as np

from dorsal.stats.bootstrap import DRAWS, permuted, start
from dorsal.stats.checks import Index, Numbers, categories, last_of_ties, parallel
from dorsal.stats.interval import Array, check_confidence

SHARE = 0.25


class GoodRange(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the best networks lie on a numeric axis.

    `low` to `high` is the range that holds the best network of a draw with probability `confidence`, `median`
    its likely best value. `inside` is the share of all networks in that range; were the axis irrelevant, it
    would be about `inside_if_irrelevant` (median over permutations), which is less than 1 as well. `p` is
    the permutation p value of the best networks lying no differently on the axis from all networks.
    `effective_n` is the number of networks the range really rests on.
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
    """A value of a categorical axis: the share of draws it wins, and the share of networks that have it."""

    value: str
    wins: float
    share: float
    good: bool


class GoodValues(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Values of a categorical axis, the likeliest first; the good ones win `confidence` of the draws together.

    `inside` is the share of networks with a good value. Other fields as in GoodRange.
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
    """Good range of a numeric axis, from the axis value and the error (percent) of each network.

    The empirical bootstrap (Radosavovic et al. 2020, section 3.2; Efron and Tibshirani 1994) draws a quarter
    of the networks with replacement, keeps the axis value of the best, and repeats 10,000 times. The chance
    of each network to be kept is known, ((n - r + 1) / n)^m - ((n - r) / n)^m for the one of rank r and draws
    of m, so the range here is that of infinitely many repetitions. Networks of equal error share theirs.

    The chance falls by a factor e in about four ranks whatever n is: the range rests on some 8 networks, does
    not narrow as the population grows, and is narrower than the axis for one that does not matter. Hence
    `p`: the distance between the distributions on the axis of the best and of all networks, against
    permutations (`draws` of them) of the axis values. The distance is that of Cramer and von Mises plus three
    times Watson's U², which is the part of it that no shift explains: the former alone has next to no power
    where the best lie in the middle of the axis. It looks at the best few only, so a weak influence on all
    networks may escape it.

    A network whose error or axis value is None or NaN (an axis not active in it) is left out and counted.

    Raises ValueError for no complete network, columns of unequal length, infinite values, a confidence not
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
        # What differs by rounding only is the same result.
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
    """Good values of a categorical axis: `good_range` where values have no order.

    The good values are the fewest that win `confidence` of the draws. `p` is by the squared difference of the
    share of wins and the share of networks, in units of the latter, summed over values (chi-square). None is a
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
    """Probability of each network to be the best of a quarter of them drawn with replacement, at least one."""
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
    """Of each row from the distribution function of all networks: mean square, plus three times the variance of what
    lies between them, over the networks."""
    apart, weights = curves - networks[1:], np.diff(networks)
    squares, means = apart**2 @ weights, apart @ weights
    distances: Array = 4 * squares - 3 * means**2
    return distances
