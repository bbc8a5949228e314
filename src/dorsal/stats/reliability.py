"""Whether a short training budget ranks networks as a long one does."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, permutations
from math import log
from typing import Literal, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq

from dorsal.stats.bootstrap import members, multiplicities, percentile, start
from dorsal.stats.checks import Index, same_length
from dorsal.stats.interval import Array, Estimate, as_results, check_confidence
from dorsal.stats.rank import sign_products, tau_b

# Fewer networks have too few orders for an interval of their rank correlation.
FEWEST_RANKED = 5
# Fewer networks do not tell noise from the schedule: docs/statistics.md.
FEWEST_TO_JUDGE = 15
# A reliable budget keeps the order of at least this share of pairs of networks.
ENOUGH = 0.8

RankVerdict = Literal["reliable", "unreliable", "not shown"]
ScheduleVerdict = Literal["keeps the order", "does not keep it", "not shown"]
VerdictText = TypeVar("VerdictText", bound=str)


class Ceiling(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How well two runs of the same networks at one `budget` agree, with different seeds.

    Another budget can be expected to agree with this one by at most about the square root of that, at any cost. `tau`
    and `top` are None with fewer than two seeds, and for too few networks as in Agreement.
    """

    budget: str
    tau: Estimate | None
    top: Estimate | None


class Agreement(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How well one run at the `short` budget agrees with one at the `long` budget, over the `n` networks that have
    both.

    - `tau`: Kendall's tau-b. (1 + tau) / 2 is about the share of pairs of networks in the same order. `verdict` is the
      verdict by it, on single runs.
    - `true_tau`: tau without the noise of seeds. None if a ceiling is unknown or not above 0. `schedule` is the verdict
      by it, on the schedule itself.
    - `top`: the share of the best k at the short budget that are among the best k at the long one. `top_by_chance` is
      its expectation by chance.

    Estimates are None below FEWEST_RANKED networks; `tau` also if all errors are equal, `top` also below 2 k networks.
    """

    short: str
    long: str
    n: int
    tau: Estimate | None
    true_tau: Estimate | None
    top: Estimate | None
    top_by_chance: float | None
    verdict: RankVerdict
    schedule: ScheduleVerdict


class Reliability(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One entry for each budget with itself, and one for each two budgets."""

    ceilings: tuple[Ceiling, ...]
    agreements: tuple[Agreement, ...]
    k: int
    confidence: float


def rank_reliability(
    errors: npt.ArrayLike,
    budgets: Sequence[str],
    *,
    spaces: Sequence[str] | None = None,
    k: int = 5,
    confidence: float = 0.95,
    draws: int = 2_000,
    seed: int = 0,
) -> Reliability:
    """Agreement of the ranks of networks between budgets and between seeds.

    - `errors` [networks, budgets, seeds]: in percent, NaN where there is no run.
    - `budgets`: names of the second axis, short to long.
    - `spaces`: the space of each network. Only networks of one space are ranked against each other, since the distance
      between spaces would pass for agreement. Each space has its own best `k`.

    All figures are for single runs, as in a population, averaged over pairs of seeds. Between budgets these are pairs
    of different seeds. Otherwise what a seed shares across budgets (data order, initial weights) would pass for
    agreement. Without different seeds, equal seeds are used. A pair of seeds counts only networks that have both runs.

    `true_tau` divides by the geometric mean of the two ceilings after sin(pi tau / 2), the correlation that belongs to
    tau under normality (Spearman 1904; Greiner 1909). It is at most 1.

    A verdict is positive if the interval is at or above 2 ENOUGH - 1 = 0.6, and negative if it is below. The verdict on
    the schedule needs FEWEST_TO_JUDGE networks.

    Intervals are percentile bootstrap over the networks of each space. Networks are random, the seeds tried are not. A
    draw in which a budget does not agree with itself leaves `true_tau` open and counts at both ends. If all pairs are
    in the same order, so they are in every draw; then one end is from a model of Mallows (`_of_all_alike`).

    Measured coverage and rates of wrong verdicts: docs/statistics.md.

    Raises ValueError for errors that are not three-dimensional, budgets or spaces that do not match their axis, a k not
    from 1 to the number of networks, infinite values, a confidence not between 0 and 1, or fewer than 100 draws.
    """
    check_confidence(confidence)
    table = budget_table(errors, "errors", budgets)
    networks = table.shape[0]
    if not 1 <= k <= networks:
        raise ValueError(f"k={k} must lie from 1 to the {networks} networks")
    names = np.asarray([""] * networks if spaces is None else spaces)
    same_length({"errors": networks, "spaces": names.size})
    groups = [np.flatnonzero(names == name) for name in np.unique(names)]
    random = start(draws, seed)
    # The first row is the sample itself. All figures use the same resamples, so their ratios are paired.
    counts = np.ones((1 + draws, networks))
    for group in groups:
        counts[1:, group] = multiplicities(group.size, draws, random)
    runs = [table[:, i] for i in range(len(budgets))]
    own = [_agree(each, each, groups, k, counts, random) for each in runs]
    pairs = [
        (i, j, _agree(runs[i], runs[j], groups, k, counts, random)) for i, j in combinations(range(len(budgets)), 2)
    ]
    made = np.sum(~np.isnan(table), axis=2)  # [networks, budgets]: number of runs
    return Reliability(
        ceilings=tuple(
            _ceiling(budget, found, _sizes(groups, made[:, i] > 1), confidence)
            for i, (budget, found) in enumerate(zip(budgets, own, strict=True))
        ),
        agreements=tuple(
            _agreement(
                (budgets[i], budgets[j]),
                found,
                (own[i][0], own[j][0]),
                _sizes(groups, (made[:, i] > 0) & (made[:, j] > 0)),
                k,
                confidence,
            )
            for i, j, found in pairs
        ),
        k=k,
        confidence=confidence,
    )


def _sizes(groups: Sequence[Index], present: npt.NDArray[np.bool_]) -> list[int]:
    """How many networks of each space are present."""
    return [int(present[group].sum()) for group in groups]


def _ceiling(budget: str, found: tuple[Array, Array], sizes: Sequence[int], confidence: float) -> Ceiling:
    """A budget with itself, from tau and top-k agreement of the resamples."""
    tau, top = found
    estimate = _of_all_alike(_estimate(tau, confidence), sizes, confidence)
    return Ceiling(budget=budget, tau=estimate, top=_estimate(top, confidence))


def _agreement(
    budgets: tuple[str, str],
    found: tuple[Array, Array],
    ceilings: tuple[Array, Array],
    sizes: Sequence[int],
    k: int,
    confidence: float,
) -> Agreement:
    """Two budgets, from tau and top-k agreement of the resamples, and the taus of each budget with itself."""
    tau, top = found
    estimate = _of_all_alike(_estimate(tau, confidence), sizes, confidence)
    true_tau = _of_all_alike(_without_noise(tau, *ceilings, confidence), sizes, confidence)
    n, enough = sum(sizes), [size for size in sizes if size >= _fewest(k)]
    return Agreement(
        short=budgets[0],
        long=budgets[1],
        n=n,
        tau=estimate,
        true_tau=true_tau,
        top=_estimate(top, confidence),
        top_by_chance=float(np.mean([k / size for size in enough])) if enough else None,
        verdict=_decide(estimate, "reliable", "unreliable"),
        schedule=_decide(true_tau if n >= FEWEST_TO_JUDGE else None, "keeps the order", "does not keep it"),
    )


def budget_table(errors: npt.ArrayLike, field: str, budgets: Sequence[str]) -> Array:
    """`errors` as [networks, budgets, seeds]. ValueError naming `field` for another shape."""
    table = as_results(errors, field)
    if table.ndim != 3 or table.shape[1] != len(budgets) or table.size == 0:
        raise ValueError(
            f"{field} has shape {table.shape}: it must be [networks, budgets, seeds] with {len(budgets)} budget(s), "
            f"{', '.join(budgets)}"
        )
    return table


def _fewest(k: int) -> int:
    """The fewest networks of a space whose best k say anything."""
    return max(2 * k, FEWEST_RANKED)


def _agree(
    short: Array, long: Array, groups: Sequence[Index], k: int, counts: Array, random: np.random.Generator
) -> tuple[Array, Array]:
    """Tau and top-k agreement of the sample and of each resample, averaged over pairs of seeds. NaN without pairs.

    `short` and `long` are [networks, seeds], `groups` the indices of each space's networks, `counts` [samples,
    networks].
    """
    same_space = np.zeros((short.shape[0], short.shape[0]))
    for group in groups:
        same_space[np.ix_(group, group)] = 1
    pairs = _seed_pairs(short, long, groups, FEWEST_RANKED)
    taus = [tau_b(sign_products(short[:, s], long[:, t]) * same_space, counts) for s, t in pairs]
    tops = [
        _top_agreement(short[group, s], long[group, t], k, counts[:, group], random)
        for group in groups
        for s, t in _seed_pairs(short, long, [group], _fewest(k))
    ]
    nothing = np.full(counts.shape[0], np.nan)
    return np.mean(taus or [nothing], axis=0), np.mean(tops or [nothing], axis=0)


def _seed_pairs(short: Array, long: Array, groups: Sequence[Index], fewest: int) -> list[tuple[int, int]]:
    """Pairs of different seeds with at least `fewest` networks of a space in common; else pairs of equal seeds at two
    budgets.
    """
    present = [(~np.isnan(short[group]), ~np.isnan(long[group])) for group in groups]
    common = np.max([first.T.astype(int) @ second for first, second in present], axis=0)
    # For a budget with itself, each pair once.
    if short is long:
        return [(s, t) for s, t in combinations(range(len(common)), 2) if common[s, t] >= fewest]
    different = [(s, t) for s, t in permutations(range(len(common)), 2) if common[s, t] >= fewest]
    return different or [(s, s) for s in range(len(common)) if common[s, s] >= fewest]


def _top_agreement(short: Array, long: Array, k: int, counts: Array, random: np.random.Generator) -> Array:
    """The share of the best k of each sample by one run that are among its best k by the other."""
    missing = np.isnan(short) | np.isnan(long)
    n = short.size
    inside = members(counts)
    best = []
    for errors in (short, long):
        # Ties are broken at random. Broken alike at both budgets, they would pass for agreement.
        ranks = np.lexsort((random.permutation(n), errors)).argsort()
        ranks[missing] = n
        best.append(ranks[inside].argsort(axis=1, kind="stable").argsort(axis=1) < k)
    agreement: Array = (best[0] & best[1]).sum(axis=1) / k
    return agreement


def _without_noise(between: Array, short: Array, long: Array, confidence: float) -> Estimate | None:
    """Tau if each budget agreed with itself fully. None if a budget does not agree with itself at all."""
    agreed, own_short, own_long = (np.sin(np.pi / 2 * tau) for tau in (between, short, long))
    ceiling = np.where((own_short > 0) & (own_long > 0), own_short * own_long, np.nan)
    taus = 2 / np.pi * np.arcsin(np.clip(agreed / np.sqrt(ceiling), -1, 1))
    if np.isnan(taus[0]):
        return None
    low = np.quantile(np.nan_to_num(taus[1:], nan=-1), (1 - confidence) / 2)
    high = np.quantile(np.nan_to_num(taus[1:], nan=1), (1 + confidence) / 2)
    return Estimate(value=float(taus[0]), low=float(low), high=float(high))


def _estimate(draws: Array, confidence: float) -> Estimate | None:
    """The estimate from the value of the sample, first, and those of the draws. None if the sample has none."""
    return None if np.isnan(draws[0]) else percentile(float(draws[0]), draws[1:], confidence)


def _of_all_alike(tau: Estimate | None, sizes: Sequence[int], confidence: float) -> Estimate | None:
    """The estimate, with an interval also if all pairs of networks are in the same order, or all in the opposite one.

    Then every resample agrees, and the bootstrap has no interval. The end is instead the tau of a model of Mallows
    (1957): the one that makes complete agreement, in groups of these `sizes`, as likely as an end of the interval
    allows.
    """
    if tau is None or abs(tau.value) < 1 - 1e-9 or tau.low is None or tau.high is None:
        return tau
    sizes = [size for size in sizes if size > 1]
    tail = (1 - confidence) / 2

    def excess(q: float) -> float:
        """Log of the probability that all agree, minus the log of the tail. An order with d reversed pairs has a
        probability proportional to q^d.
        """
        return sum(float(np.sum(np.log((1 - q) / (1 - q ** np.arange(1, n + 1))))) for n in sizes) - log(tail)

    nearly = 1 - 1e-9
    q = nearly if excess(nearly) > 0 else float(brentq(excess, 0, nearly))
    others = sum(n * q / (1 - q) - float(np.sum((j := np.arange(1, n + 1)) * q**j / (1 - q**j))) for n in sizes)
    end = max(1 - 2 * others / sum(n * (n - 1) / 2 for n in sizes), 0.0)
    low, high = (min(tau.low, end), 1.0) if tau.value > 0 else (-1.0, max(tau.high, -end))
    return Estimate(value=tau.value, low=low, high=high)


def _decide(tau: Estimate | None, enough: VerdictText, too_little: VerdictText) -> VerdictText | Literal["not shown"]:
    """The verdict: whether the whole interval, or none of it, is as high as needed."""
    needed = 2 * ENOUGH - 1
    if tau is None or tau.low is None or tau.high is None or tau.low < needed <= tau.high:
        return "not shown"
    return enough if tau.low >= needed else too_little
