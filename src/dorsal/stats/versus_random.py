"""One search against random search of equal length: did it find a better network than luck would?"""

from __future__ import annotations

from math import ceil, comb
from typing import Literal

import msgspec
import numpy as np

from dorsal.stats.best_of import SearchCurve, search_curve
from dorsal.stats.checks import Numbers, measured
from dorsal.stats.interval import Estimate, check_confidence


class AgainstRandom(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The best of the first `k` of a search's `found` networks against the best of `k` random ones. Errors in percent.

    - `best`: the lowest error of the search.
    - `expected`: the expected lowest error of k random networks, with the interval for the space's own expectation. No
      interval if k is above a quarter of the `n` random networks. `missing` random networks had no result.
    - `lucky`, `unlucky`: 10 % and 90 % quantiles of the best of k over random searches.
    - `curve`: the expected best of random searches of other lengths.
    - `p_better`, `p_worse`: the exact probability that k more random networks would do at least as well, or as badly.
      `verdict` is at 1 - confidence for both together.
    - `needed`: the number of random networks, all worse than the search's best, that would show it to be better.
    """

    k: int
    found: int
    n: int
    missing: int
    best: float
    expected: Estimate
    lucky: float
    unlucky: float
    curve: SearchCurve
    p_better: float
    p_worse: float
    verdict: Literal["better", "worse", "not shown"]
    needed: int
    confidence: float


def against_random(found: Numbers, random: Numbers, *, confidence: float = 0.95) -> AgainstRandom:
    """Compare a search with a population of random draws. Errors are in the order found; NaN is no result.

    If the population is smaller than the search, only as many networks of the search are compared, the first ones. If
    the search were random, its k networks and the n others would be equally likely in any order. So the probability
    that none of the best m is the search's own is C(n, m) / C(n + k, m), exact for any distribution. Equal errors count
    for neither verdict. The test judges one search, not the sampler: another seed gives another search.

    Raises ValueError without an error, for infinite ones, fewer than 2 random results, or a confidence not between 0
    and 1.
    """
    check_confidence(confidence)
    errors, missing = measured(random, "random", fewest=2)
    mine, _ = measured(found, "found")
    n, k = errors.size, min(mine.size, errors.size)
    best = float(mine[:k].min())
    lengths = np.unique([*np.geomspace(1, n, 20).round(), k]).astype(int)
    curve = search_curve(errors, lengths.tolist(), confidence=confidence)
    here = next(point for point in curve.points if point.k == k)
    better = 1 - _none_in_best(n, k, int((errors <= best).sum()) + 1)
    worse = _none_in_best(n, k, int((errors < best).sum()))
    level = (1 - confidence) / 2
    return AgainstRandom(
        k=k,
        found=mine.size,
        n=n,
        missing=missing,
        best=best,
        expected=here.expected,
        lucky=here.lucky,
        unlucky=here.unlucky,
        curve=curve,
        p_better=better,
        p_worse=worse,
        verdict="better" if better <= level else "worse" if worse <= level else "not shown",
        needed=ceil(k / level - k - 1e-6),
        confidence=confidence,
    )


def _none_in_best(n: int, k: int, places: int) -> float:
    """The probability that none of `k` networks is in the first `places` of all n + k in random order."""
    return comb(n, places) / comb(n + k, places)
