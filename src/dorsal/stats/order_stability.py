"""Whether the order of two populations at a short training budget holds at a long one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations, product
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

from dorsal.stats.bootstrap import DRAWS, FEWEST_TO_RESAMPLE, order_bracket, percentile, resamples, start
from dorsal.stats.checks import check_quantiles
from dorsal.stats.interval import Array, Estimate, check_confidence
from dorsal.stats.populations import COMPARED_QUANTILES
from dorsal.stats.reliability import budget_table

# In the second look a missing run has this error, the largest possible.
WORST = 100.0

Survival = Literal["kept", "reversed", "not shown", "hinges on lost runs"]


class OrderStability(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whether two populations keep their order from the `short` to the `long` budget, in one statistic.

    - `quantile`: None for the mean.
    - `short_difference`, `long_difference`: first minus second population, in error points.
    - `kept`: the share of bootstrap draws in which both differences have the same sign.
    - `verdict`: "kept" if at least (1 + confidence) / 2 of the draws have one and the same pair of equal signs,
      "reversed" if they have one and the same pair of opposite signs. So populations without a difference are not said
      to keep an order. "hinges on lost runs" if the verdict changes when missing runs count as errors of WORST.
    """

    quantile: float | None
    short: str
    long: str
    short_difference: Estimate
    long_difference: Estimate
    kept: float | None
    verdict: Survival


class PopulationReliability(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One entry for each two budgets and each statistic, over the `networks` that have all runs at every budget."""

    survivals: tuple[OrderStability, ...]
    networks: tuple[int, int]
    confidence: float


def population_reliability(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    budgets: Sequence[str],
    *,
    quantiles: Sequence[float] = COMPARED_QUANTILES,
    confidence: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> PopulationReliability:
    """Whether the order of two populations at a short budget holds at a longer one.

    `a` and `b` hold errors [networks, budgets, seeds] in percent, NaN where a run was lost. `budgets` names the second
    axis, short to long. The seeds of a network are averaged. A network that lacks a run is left out at every budget.
    Runs may be lost because the network is bad. So a verdict must also hold in a second look, where no network is left
    out and a lost run counts as an error of WORST.

    The bootstrap draws networks, each with its errors at all budgets. Differences have percentile intervals. Measured
    rates of false claims: docs/statistics.md. A quantile is judged only if the extreme networks bracket it: from 36
    networks for the lowest tenth. Otherwise its intervals are None and its verdict is "not shown".

    Raises ValueError for tables that are not three-dimensional, budgets that do not match the second axis of both,
    fewer than 6 networks with all runs, a quantile or confidence not between 0 and 1, or fewer than 100 draws.
    """
    check_confidence(confidence)
    check_quantiles(quantiles)
    random = start(draws, seed)
    tables = {"a": budget_table(a, "a", budgets), "b": budget_table(b, "b", budgets)}
    whole = [_whole(table, field) for field, table in tables.items()]
    looks = [whole]
    if any(np.isnan(table).any() for table in tables.values()):
        looks.append([np.nan_to_num(table, nan=WORST).mean(axis=2) for table in tables.values()])
    survivals = []
    for quantile in (None, *quantiles):
        statistic = _mean if quantile is None else _quantile(quantile)
        observed = np.subtract(*(statistic(errors[None])[0] for errors in whole))
        drawn = [np.subtract(*(_drawn(errors, statistic, draws, random) for errors in look)) for look in looks]
        enough = quantile is None or all(order_bracket(len(errors), quantile, confidence) for errors in whole)
        survivals += [
            _survival(quantile, budgets, pair, observed, drawn if enough else [], confidence)
            for pair in combinations(range(len(budgets)), 2)
        ]
    return PopulationReliability(
        survivals=tuple(survivals), networks=(len(whole[0]), len(whole[1])), confidence=confidence
    )


def _survival(
    quantile: float | None,
    budgets: Sequence[str],
    pair: tuple[int, int],
    observed: Array,
    looks: Sequence[Array],
    confidence: float,
) -> OrderStability:
    """The verdict from the differences at all budgets, observed and drawn in each look. "not shown" without looks."""
    verdict: Survival = "not shown"
    kept = None
    differences = [Estimate(value=float(observed[place]), low=None, high=None) for place in pair]
    if looks:
        drawn = looks[0][:, pair]
        differences = [
            percentile(each.value, draws, confidence) for each, draws in zip(differences, drawn.T, strict=True)
        ]
        kept = float((np.sign(drawn).prod(axis=1) > 0).mean())
        orders = [_order(look[:, pair], confidence) for look in looks]
        if orders[0] is not None:
            same = orders[0][0] == orders[0][1]
            verdict = "hinges on lost runs" if orders[-1] != orders[0] else "kept" if same else "reversed"
    return OrderStability(
        quantile=quantile,
        short=budgets[pair[0]],
        long=budgets[pair[1]],
        short_difference=differences[0],
        long_difference=differences[1],
        kept=kept,
        verdict=verdict,
    )


def _order(drawn: Array, confidence: float) -> tuple[int, ...] | None:
    """The signs of the two differences [draws, 2] that enough draws share. None if no pair of signs is in
    enough draws.
    """
    for signs in product((-1, 1), repeat=2):
        if (np.sign(drawn) == signs).all(axis=1).mean() >= (1 + confidence) / 2:
            return signs
    return None


def _whole(table: Array, field: str) -> Array:
    """Errors [networks, budgets], averaged over seeds, of the networks that have all runs."""
    whole: Array = table[~np.isnan(table).any(axis=(1, 2))].mean(axis=2)
    if len(whole) < FEWEST_TO_RESAMPLE:
        raise ValueError(f"{field} has {len(whole)} network(s) with all runs: at least {FEWEST_TO_RESAMPLE} are needed")
    return whole


def _mean(samples: Array) -> Array:
    """The mean over networks of [rows, networks, budgets]."""
    means: Array = samples.mean(axis=1)
    return means


def _quantile(quantile: float) -> Callable[[Array], Array]:
    def of(samples: Array) -> Array:
        values: Array = np.quantile(samples, quantile, axis=1)
        return values

    return of


def _drawn(errors: Array, statistic: Callable[[Array], Array], draws: int, random: np.random.Generator) -> Array:
    """The statistic at every budget for bootstrap samples of networks: [draws, budgets]."""
    picks = resamples(np.arange(errors.shape[0]), draws, random)
    return np.concatenate([statistic(errors[rows]) for rows in picks])
