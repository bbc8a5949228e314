"""The empirical distribution function of a population's errors, with confidence bands."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import msgspec
import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv
from scipy.stats import kstwo

from dorsal.stats.bootstrap import start
from dorsal.stats.checks import Index, Numbers, column, last_of_ties, measured, same_length
from dorsal.stats.interval import Array, check_confidence


class Edf(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An empirical distribution function: `share[i]` of the weight has an error of at most `values[i]`.

    - `values`: the distinct errors in rising order.
    - `mean`: weighted as the shares are. `minimum` is not weighted.
    - `n`: networks with a result. `missing` networks have none and are left out.
    - `effective_n`: the number of equally weighted networks with the same variance (Kish). n without weights, less with
      them.
    """

    values: tuple[float, ...]
    share: tuple[float, ...]
    mean: float
    minimum: float
    n: int
    effective_n: float
    missing: int


class Band(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Bounds of the true share from each of `values` up to the next.

    Below all values the bounds are 0 and `high_below`. A pointwise band contains the share at any one error with
    probability `confidence`; a simultaneous band contains the whole curve with that probability.
    """

    values: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    high_below: float
    simultaneous: bool
    confidence: float
    method: str


def edf(errors: Numbers, weights: Numbers | None = None) -> Edf:
    """The distribution function of `errors` (percent, one for each network, None or NaN without a result).

    It counts errors of at most e. The paper (Radosavovic et al. 2020, section 3.1) counts errors below e; the curves
    differ only at the jumps. Give a diverged network the error it reached. As a missing value it would flatter its
    population.

    Raises ValueError without a result, for infinite values, or for weights that are negative, missing, all zero or not
    parallel to `errors`.
    """
    ordered, share_of, missing = _ordered(errors, weights)
    last = last_of_ties(ordered)
    return Edf(
        values=tuple(ordered[last].tolist()),
        share=tuple(_steps(share_of)[last].tolist()),
        mean=float(share_of @ ordered),
        minimum=float(ordered[0]),
        n=ordered.size,
        effective_n=float(1 / (share_of @ share_of)),
        missing=missing,
    )


def normalized_weights(complexity: Numbers, bins: int | Sequence[float]) -> Array:
    """Weights that give each level of `complexity` equal influence: 1 / (networks in the bin x bins that are not
    empty).

    `bins` is a number of bins of equal width from the smallest to the largest complexity, or their edges. Two
    populations can only be compared with the same edges. NDS (Radosavovic et al. 2019) takes 5 to 40 bins. Give only
    networks with a result, since any network takes weight from its bin. The weights sum to 1.

    Raises ValueError for a missing complexity or one outside the edges, without networks, or for fewer than one bin.
    """
    levels = column(complexity, "complexity")
    if levels.size == 0 or np.isnan(levels).any():
        raise ValueError(f"complexity has {np.isnan(levels).sum()} missing of {levels.size} values: all are needed")
    if isinstance(bins, int) and bins < 1:
        raise ValueError(f"bins={bins}: at least 1 is needed")
    edges = np.histogram_bin_edges(levels, bins)
    outside = levels[(levels < edges[0]) | (levels > edges[-1])]
    if outside.size:
        raise ValueError(f"complexity {outside[0]:g} lies outside the bins, {edges[0]:g} to {edges[-1]:g}")
    index = bin_of(levels, edges)
    counts = np.bincount(index)
    weights: Array = 1 / (counts[index] * np.count_nonzero(counts))
    return weights


def bin_of(levels: Array, edges: npt.ArrayLike) -> Index:
    """The index of the bin between `edges` that holds each level. The last bin includes both its edges."""
    index: Index = np.searchsorted(np.asarray(edges)[1:-1], levels, side="right")
    return index


def pointwise_band(
    errors: Numbers, weights: Numbers | None = None, confidence: float = 0.95, draws: int = 2_000, seed: int = 0
) -> Band:
    """A band that covers the true share at any one error, by the Bayesian bootstrap (Rubin 1981).

    Each bound counts one more network of the largest weight on its unfavourable side. Without it the band would have no
    width beyond the extreme errors, where a percentile bootstrap may have any coverage down to 0. For equal weights the
    result is known in closed form, the exact interval of Clopper and Pearson (1934), and nothing is drawn.

    A weighted band is for the reweighted population. With `normalized_weights` that is a population in which every bin
    that occurred has equal weight. Measured coverage: docs/statistics.md. Memory for a weighted band grows with draws x
    networks.

    Raises ValueError as `edf` does, and for a confidence not between 0 and 1 or fewer than 100 draws.
    """
    check_confidence(confidence)
    random = start(draws, seed)
    ordered, share_of, _ = _ordered(errors, weights)
    last = last_of_ties(ordered)
    tail = (1 - confidence) / 2
    counts = np.append(0, last + 1)
    if np.ptp(share_of) == 0:
        n = ordered.size
        low = np.where(counts == 0, 0.0, betaincinv(np.maximum(counts, 1), n - counts + 1, tail))
        high = np.where(counts == n, 1.0, betaincinv(counts + 1, np.maximum(n - counts, 1), 1 - tail))
        return _band(ordered[last], low, high, False, confidence, "Clopper-Pearson, exact")
    partial, extra = _bayesian_draws(share_of, draws, random)
    partial = partial[:, counts]
    total = partial[:, -1:] + extra
    low = np.quantile(partial / total, tail, axis=0)
    high = np.quantile((partial + extra) / total, 1 - tail, axis=0)
    return _band(ordered[last], low, high, False, confidence, "Bayesian bootstrap")


def simultaneous_band(
    errors: Numbers, weights: Numbers | None = None, confidence: float = 0.95, draws: int = 2_000, seed: int = 0
) -> Band:
    """A band that covers the whole true curve at once. Its width is the same everywhere.

    Unweighted, the half-width is the exact quantile of Kolmogorov's statistic. It holds for any distribution, ties
    included, and never exceeds the bound of Dvoretzky, Kiefer and Wolfowitz with Massart's constant, sqrt(log(2 / (1 -
    confidence)) / (2 n)). Weighted, it is the quantile of the largest distance between this curve and Bayesian
    bootstrap curves, for the same population as in `pointwise_band`. Measured coverage: docs/statistics.md.

    Raises ValueError as `pointwise_band` does.
    """
    check_confidence(confidence)
    random = start(draws, seed)
    ordered, share_of, _ = _ordered(errors, weights)
    last = last_of_ties(ordered)
    share = np.append(0, _steps(share_of)[last])
    if np.ptp(share_of) == 0:
        half_width, method = _kolmogorov(confidence, ordered.size), "Kolmogorov, exact"
    else:
        partial, _ = _bayesian_draws(share_of, draws, random)
        curves = partial[:, np.append(0, last + 1)] / partial[:, -1:]
        half_width, method = float(np.quantile(np.abs(curves - share).max(axis=1), confidence)), "Bayesian bootstrap"
    low, high = np.maximum(share - half_width, 0), np.minimum(share + half_width, 1)
    return _band(ordered[last], low, high, True, confidence, method)


@cache
def _kolmogorov(confidence: float, n: int) -> float:
    """Quantile of Kolmogorov's statistic of n networks. One call takes tens of milliseconds."""
    return float(kstwo.ppf(confidence, n))


def _ordered(errors: Numbers, weights: Numbers | None) -> tuple[Array, Array, int]:
    """Errors in rising order, their shares of the weight, and the number of missing errors."""
    present, missing = measured(errors)
    if weights is None:
        return np.sort(present), np.full(present.size, 1 / present.size), missing
    all_errors, all_weights = column(errors, "errors"), column(weights, "weights")
    same_length({"errors": all_errors.size, "weights": all_weights.size})
    kept = all_weights[~np.isnan(all_errors)]
    if np.isnan(all_weights).any() or (all_weights < 0).any() or kept.sum() == 0:
        raise ValueError("weights must be numbers of at least 0, one a network, and not all 0")
    order = np.argsort(present, kind="stable")
    return present[order], kept[order] / kept.sum(), missing


def _steps(share_of: Array) -> Array:
    """Cumulative shares. The last is exactly 1."""
    steps = np.cumsum(share_of)
    steps[-1] = 1.0
    return np.minimum(steps, 1.0)


def _bayesian_draws(share_of: Array, draws: int, random: np.random.Generator) -> tuple[Array, Array]:
    """Cumulative random weights [draws, n + 1], starting at 0, and weights of one network of the largest weight [draws,
    1].
    """
    partial = np.zeros((draws, share_of.size + 1))
    np.cumsum(random.standard_exponential((draws, share_of.size)) * share_of, axis=1, out=partial[:, 1:])
    return partial, share_of.max() * random.standard_exponential((draws, 1))


def _band(values: Array, low: Array, high: Array, simultaneous: bool, confidence: float, method: str) -> Band:
    """The band from bounds [values + 1]; the first of them is for errors below all values."""
    return Band(
        values=tuple(values.tolist()),
        low=tuple(low[1:].tolist()),
        high=tuple(high[1:].tolist()),
        high_below=float(high[0]),
        simultaneous=simultaneous,
        confidence=confidence,
        method=method,
    )
