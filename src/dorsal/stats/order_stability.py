"""Whether the order of two populations at a short training budget survives to a long one."""

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

# The error of a missing run in the second look: no error is larger.
WORST = 100.0

Survival = Literal["kept", "reversed", "not shown", "hinges on lost runs"]


class OrderStability(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whether two populations keep their order from the `short` to the `long` budget, in one statistic.

    Differences are first minus second in error points; `quantile` is None for the mean. `kept` is the share
    of bootstrap draws in which both differences have the same sign. The verdict is `kept` (`reversed`) where
    they have one given combination of equal (opposite) signs in a share of at least (1 + confidence) / 2 of
    the draws, so that two populations without a difference are not said to keep one. Where that holds no longer with
    the missing runs counted as errors of WORST, the verdict is `hinges on lost runs`.
    """

    quantile: float | None
    short: str
    long: str
    short_difference: Estimate
    long_difference: Estimate
    kept: float | None
    verdict: Survival


class PopulationReliability(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Every two budgets and statistic, over the `networks` that have all runs at every budget."""

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
    """Whether the order of two populations at a short budget survives to a longer one.

    `a` and `b` hold errors [networks, budgets, seeds] in percent of networks trained at every budget, NaN where a run
    was lost; `budgets` names the second axis, short to long. The seeds of a network are averaged. A network that lacks
    a run is left out, at every budget alike. As runs may be lost because the network is bad, a verdict is given only
    where it holds in a second look too, in which no network is left out and a lost run counts as an error of WORST.

    The bootstrap draws networks, each with its errors at all budgets, and the differences have percentile
    intervals. Where the populations do not differ at the long budget, or at both, an order is claimed in 1 to
    6 % of studies with 15 and 40 networks, 8 % with 6 (measured, confidence 0.95). A quantile is judged only
    where the extreme networks bracket it (from 36 networks for the lowest tenth); otherwise the intervals are
    None and the verdict is `not shown`.

    Raises ValueError for tables without three dimensions, budgets that do not name the second of both,
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
    """From the differences at all budgets, observed and drawn in each look; without looks nothing is shown."""
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
    """The signs of the two differences [draws, 2] that enough draws have; None where no combination is in so many."""
    for signs in product((-1, 1), repeat=2):
        if (np.sign(drawn) == signs).all(axis=1).mean() >= (1 + confidence) / 2:
            return signs
    return None


def _whole(table: Array, field: str) -> Array:
    """Errors averaged over seeds, [networks, budgets], of the networks that have all runs."""
    whole: Array = table[~np.isnan(table).any(axis=(1, 2))].mean(axis=2)
    if len(whole) < FEWEST_TO_RESAMPLE:
        raise ValueError(f"{field} has {len(whole)} network(s) with all runs: at least {FEWEST_TO_RESAMPLE} are needed")
    return whole


def _mean(samples: Array) -> Array:
    """Mean over networks of [rows, networks, budgets]."""
    means: Array = samples.mean(axis=1)
    return means


def _quantile(quantile: float) -> Callable[[Array], Array]:
    def of(samples: Array) -> Array:
        values: Array = np.quantile(samples, quantile, axis=1)
        return values

    return of


def _drawn(errors: Array, statistic: Callable[[Array], Array], draws: int, random: np.random.Generator) -> Array:
    """The statistic at every budget of bootstrap samples of networks, [draws, budgets]."""
    picks = resamples(np.arange(errors.shape[0]), draws, random)
    return np.concatenate([statistic(errors[rows]) for rows in picks])
