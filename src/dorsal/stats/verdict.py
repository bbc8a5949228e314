"""Populations in plain words: what is shown, and what is not."""

from math import floor, log10

from dorsal.stats.bootstrap import Estimate
from dorsal.stats.planner import MOST_NETWORKS
from dorsal.stats.populations import Effect, PopulationComparison
from dorsal.stats.reliability import ENOUGH, Agreement, Ceiling
from dorsal.stats.survival import OrderSurvival


def population_sentence(comparison: PopulationComparison, a: str, b: str) -> str:
    """What `comparison` shows of the populations named `a` and `b`; errors in percentage points."""
    level = 1 - comparison.confidence
    better, worse = (a, b) if comparison.mean.difference.value <= 0 else (b, a)
    networks = f"{comparison.networks[0]:,} and {comparison.networks[1]:,} networks"
    if sum(comparison.missing):
        networks += f", {sum(comparison.missing):,} without a result left out"
    size, interval = _size(comparison.mean.difference, comparison.confidence)
    if comparison.mean.test.adjusted_p <= level:
        p = _p(comparison.mean.test.adjusted_p)
        return f"{better} has a lower mean error than {worse}, by {size} ({interval}{p}; {networks})."
    others = [
        _quantile_clause(effect, a, b, comparison.confidence)
        for effect in comparison.quantiles
        if effect.test.adjusted_p <= level
    ]
    if not others and comparison.distance_test.adjusted_p <= level:
        others = [
            f"their distributions differ, by at most {comparison.distance:.2f} in the share of networks below an "
            f"error ({_p(comparison.distance_test.adjusted_p)})"
        ]
    if others:
        return f"The mean errors of {a} and {b} are not shown to differ, but {' and '.join(others)}; {networks}."
    if comparison.mean.difference.value == 0:
        return f"No difference shown between {a} and {b}: their mean errors are equal ({interval}{networks})."
    needed = comparison.networks_needed
    return (
        f"No difference shown between {a} and {b}: their mean errors differ by {size} ({interval}{networks}); "
        f"{f'more than {MOST_NETWORKS:,}' if needed is None else f'about {needed:,}'} networks in each would be "
        "needed to show a difference of this size."
    )


def ranking_sentence(agreement: Agreement, ceiling: Ceiling, confidence: float) -> str:
    """Whether the short budget ranks networks as the long one does; `ceiling` is the short budget's own."""
    short, long = agreement.short, agreement.long
    if agreement.tau is None or agreement.tau.low is None or agreement.tau.high is None:
        return f"Nothing can be said on ranks at {short} and {long}: {agreement.n} networks are too few, or all equal."
    order = [f"{50 * (1 + tau):.0f}" for tau in (agreement.tau.value, agreement.tau.low, agreement.tau.high)]
    said = {
        "reliable": f"{short} ranks networks as {long} does",
        "unreliable": f"{short} does not rank networks as {long} does",
        "not shown": f"Whether {short} ranks networks as {long} does is not shown",
    }[agreement.verdict]
    own = ""
    if ceiling.tau is not None:
        own = f" Two runs at {short} agree with each other in {50 * (1 + ceiling.tau.value):.0f} %."
    return (
        f"{said}: it puts about {order[0]} % of pairs of networks in the same order ({100 * confidence:g} % interval "
        f"{order[1]} to {order[2]}; {100 * ENOUGH:.0f} % would do, 50 % is chance; tau {agreement.tau.value:.2f}, "
        f"{agreement.n:,} networks).{own}"
    )


def survival_sentence(survival: OrderSurvival, a: str, b: str) -> str:
    """Whether the order of populations `a` and `b` at the short budget is that at the long one."""
    statistic = _statistic(survival.quantile)
    if survival.kept is None:
        return f"Too few networks to say whether the order of {a} and {b} in the {statistic} survives."
    first, second = (a, b) if survival.short_difference.value <= 0 else (b, a)
    said = {
        "kept": f"The order of {a} and {b} in the {statistic} survives: {first} is ahead at {survival.short} and at "
        f"{survival.long}",
        "reversed": f"The order of {a} and {b} in the {statistic} is reversed: {first} is ahead at {survival.short}, "
        f"{second} at {survival.long}",
        "not shown": f"Whether the order of {a} and {b} in the {statistic} survives from {survival.short} to "
        f"{survival.long} is not shown",
    }[survival.verdict]
    return f"{said} (the same order in {100 * survival.kept:.1f} % of bootstrap draws)."


def _quantile_clause(effect: Effect, a: str, b: str, confidence: float) -> str:
    better, worse = (a, b) if effect.difference.value <= 0 else (b, a)
    size, interval = _size(effect.difference, confidence)
    statistic, p = _statistic(effect.quantile), _p(effect.test.adjusted_p)
    return f"the {statistic} of {better} is below that of {worse} by {size} ({interval}{p})"


def _statistic(quantile: float | None) -> str:
    if quantile is None:
        return "mean error"
    return "median error" if quantile == 0.5 else f"{100 * quantile:g} % quantile of errors"


def _size(difference: Estimate, confidence: float) -> tuple[str, str]:
    """Size of a difference, and its interval turned to match: two significant digits of the half-width."""
    if difference.low is None or difference.high is None:
        return f"{abs(difference.value):.2g} points", "too few networks for an interval; "
    low, high = (difference.low, difference.high) if difference.value > 0 else (-difference.high, -difference.low)
    digits = max(1, 1 - floor(log10((high - low) / 2))) if high > low else 1
    interval = f"{100 * confidence:g} % interval {low:.{digits}f} to {high:.{digits}f}; "
    return f"{abs(difference.value):.{digits}f} points", interval


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
