"""Random search: the expected error of the best of k networks."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from scipy.special import gammaln

from dorsal.stats.bootstrap import resamples, start, studentised
from dorsal.stats.checks import Index, Numbers, measured, parallel
from dorsal.stats.interval import Array, Estimate, check_confidence

BEST_OF_QUANTILES = (0.1, 0.5, 0.9)
# With k above this share of the population, an interval would rest on the few best networks alone.
LARGEST_SHARE = 0.25


class BestOf(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The best of `k` networks: the expected error, and its 10 %, 50 % and 90 % quantiles over searches.

    The interval of `expected` is pointwise and for the space's own expectation; None if k is above a quarter of the
    networks. `chosen` is the expected test error of the network with the lowest error; None without test errors.
    """

    k: int
    expected: Estimate
    lucky: float
    median: float
    unlucky: float
    chosen: float | None


class SearchCurve(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The best of k for rising k, from `n` networks. `missing` networks have no error, or no test error if those are
    given.
    """

    points: tuple[BestOf, ...]
    n: int
    missing: int
    confidence: float


def search_curve(
    errors: Numbers,
    ks: Sequence[int] | None = None,
    tests: Numbers | None = None,
    *,
    confidence: float = 0.95,
    draws: int = 1_000,
    seed: int = 0,
) -> SearchCurve:
    """Error of the best of k networks drawn without replacement, for each of `ks` (default: about 20 up to n).

    The values are exact, where NDS (Radosavovic et al. 2019) simulates them: of n networks the one of rank r is the
    best of k with probability C(n - r, k - 1) / C(n, k). The expectation is also an unbiased estimate of that of the
    space. `errors` (percent) decide which network is chosen. `tests` are errors of the same networks on other images,
    which the choice cannot flatter. Networks of equal error are equally likely to be chosen.

    The interval is a bootstrap-t with jackknife standard errors. Measured coverage: docs/statistics.md.

    Raises ValueError for fewer than 2 networks, a k not from 1 to n, tests not parallel to errors, infinite values, a
    confidence not between 0 and 1, or fewer than 100 draws.
    """
    check_confidence(confidence)
    random = start(draws, seed)
    if tests is None:
        results, missing = measured(errors, fewest=2)
        held_out = results
    else:
        (results, held_out), missing = parallel({"errors": errors, "tests": tests}, fewest=2)
    n = results.size
    sizes = _sizes(ks, n)
    order = np.argsort(results, kind="stable")
    ordered = results[order]
    chances = rank_chances(n, sizes)
    chosen = None if tests is None else chances @ _tie_means(ordered, held_out[order])
    reached = chances.cumsum(axis=1)
    places = [(reached >= level - 1e-12).argmax(axis=1) for level in BEST_OF_QUANTILES]
    estimates = _estimates(ordered, sizes, confidence, draws, random)
    return SearchCurve(
        points=tuple(
            BestOf(
                k=int(k),
                expected=estimates[i],
                lucky=float(ordered[places[0][i]]),
                median=float(ordered[places[1][i]]),
                unlucky=float(ordered[places[2][i]]),
                chosen=None if chosen is None else float(chosen[i]),
            )
            for i, k in enumerate(sizes)
        ),
        n=n,
        missing=missing,
        confidence=confidence,
    )


def _sizes(ks: Sequence[int] | None, n: int) -> Index:
    """`ks` in order, by default about 20 up to n. Raises ValueError for one that is out of range."""
    if ks is None:
        return np.unique(np.geomspace(1, n, 20).round().astype(np.intp))
    sizes = np.array(sorted(ks), dtype=np.intp)
    if sizes.size == 0 or sizes[0] < 1 or sizes[-1] > n:
        raise ValueError(f"ks={sizes.tolist()}: each k must lie from 1 to the {n} networks with a result")
    return sizes


def rank_chances(n: int, ks: Index) -> Array:
    """Probability [ks, n] that the network of each rank is the best of k drawn from `n` without replacement."""
    k, worse = ks[:, None], n - np.arange(n + 1)[None]
    possible = worse >= k
    left = np.where(possible, worse, k)
    all_worse = gammaln(left + 1) - gammaln(left - k + 1) - gammaln(n + 1) + gammaln(n - k + 1)
    chances: Array = -np.diff(np.where(possible, np.exp(all_worse), 0.0), axis=1)
    return chances


def _estimates(
    ordered: Array,
    ks: Index,
    confidence: float,
    draws: int,
    random: np.random.Generator,
) -> list[Estimate]:
    """Expected error of the best of each k, with bootstrap-t intervals up to LARGEST_SHARE."""
    n = ordered.size
    values = rank_chances(n, ks) @ ordered
    small = ks[ks <= LARGEST_SHARE * n]
    chances, chances_without = rank_chances(n, small), rank_chances(n - 1, small)
    errors = _jackknife(ordered[None], chances_without)[0]
    samples = [np.sort(sample, axis=1) for sample in resamples(ordered, draws, random)]
    drawn = np.concatenate([sample @ chances.T for sample in samples])
    drawn_errors = np.concatenate([_jackknife(sample, chances_without) for sample in samples])
    return [
        studentised(float(values[i]), float(errors[i]), drawn[:, i], drawn_errors[:, i], confidence)
        for i in range(small.size)
    ] + [Estimate(value=float(value), low=None, high=None) for value in values[small.size :]]


def _jackknife(samples: Array, chances_without: Array) -> Array:
    """Jackknife standard error [rows, ks] of the expected best of k, for ordered samples [rows, n]."""
    rows, n = samples.shape
    errors = np.empty((rows, chances_without.shape[0]))
    for i, chances in enumerate(chances_without):
        # Without rank j, the ranks below it stay and those above it move down by one.
        below = np.zeros((rows, n))
        np.cumsum(samples[:, :-1] * chances, axis=1, out=below[:, 1:])
        above = np.zeros((rows, n))
        np.cumsum((samples[:, 1:] * chances)[:, ::-1], axis=1, out=above[:, 1:])
        errors[:, i] = np.sqrt((n - 1) * (below + above[:, ::-1]).var(axis=1))
    return errors


def _tie_means(ordered: Array, values: Array) -> Array:
    """`values`, averaged over networks that are equal in `ordered`."""
    _, index, counts = np.unique(ordered, return_inverse=True, return_counts=True)
    means: Array = (np.bincount(index, values) / counts)[index]
    return means
