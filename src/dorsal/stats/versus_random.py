"""One search against random search of equal count: did it find a better network than luck would?"""

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

    - `best`: the search's. `expected`: of the best of k random networks, with the interval for the space's own
      expectation; no interval where k is above a quarter of the `n` random networks. `missing` had no result.
    - `lucky`, `unlucky`: 10 % and 90 % quantiles of the best of k over random searches.
    - `curve`: the expected best of random searches of other lengths.
    - `p_better`, `p_worse`: exact chances that k more random networks would have done at least as well, or as badly.
      `verdict` is at 1 - confidence for both together.
    - `needed`: so many random networks, all worse than the search's best, would show it to be better.
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
    """Compares a search, its errors in the order found, with a population of random draws; NaN is no result.

    Where the population is smaller than the search, as many networks of the search are compared, its first. Were the
    search random, its k networks and the n others would be equally likely in any order, so the chance that none of the
    best m would be its own is C(n, m) / C(n + k, m). That is exact whatever the distribution. Equal errors count for
    neither verdict. One search is judged, not the sampler: another seed is another search.

    Raises ValueError for no error, infinite ones, fewer than 2 random results, or a confidence not between 0 and 1.
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
    """Chance that none of `k` networks is in the first `places` of all n + k in random order."""
    return comb(n, places) / comb(n + k, places)
