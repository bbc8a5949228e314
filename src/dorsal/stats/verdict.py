"""Populations in plain words: what is shown, and what is not."""

from math import floor, log10

from dorsal.stats.bootstrap import Estimate
from dorsal.stats.order_stability import WORST, OrderStability
from dorsal.stats.populations import Effect, PopulationComparison
from dorsal.stats.reliability import ENOUGH, FEWEST_TO_JUDGE, Agreement, Reliability
from dorsal.stats.sample_size import MOST_NETWORKS


def population_sentence(comparison: PopulationComparison, a: str, b: str) -> str:
    """What `comparison` shows of the populations named `a` and `b`; errors in percentage points."""
    level = 1 - comparison.confidence
    better, worse = (a, b) if comparison.mean.difference.value <= 0 else (b, a)
    networks = f"{comparison.networks[0]:,} and {comparison.networks[1]:,} networks"
    if sum(comparison.missing):
        networks += f", {sum(comparison.missing):,} without a result left out"
    size, interval = _size(comparison.mean.difference, comparison.confidence)
    if comparison.mean in comparison.shown:
        p = _p(comparison.mean.test.adjusted_p)
        return f"{better} has a lower mean error than {worse}, by {size} ({interval}{p}; {networks})."
    others = [_quantile_clause(effect, a, b, comparison.confidence) for effect in comparison.shown]
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
    corrected = ""
    if _excludes_zero(comparison.mean.difference):
        corrected = " after correction for all tests"
        size, interval = _size(comparison.mean.difference, comparison.confidence, " of this difference alone")
    return (
        f"No difference shown between {a} and {b}{corrected}: their mean errors differ by {size} "
        f"({interval}{networks}); {f'more than {MOST_NETWORKS:,}' if needed is None else f'about {needed:,}'} networks "
        "in each would be needed to show a difference of this size."
    )


def ranking_sentence(agreement: Agreement, reliability: Reliability) -> str:
    """Whether one run at the short budget ranks networks as one at the long does, and whether the schedule does."""
    short, long = agreement.short, agreement.long
    if agreement.tau is None:
        return f"Nothing can be said on ranks at {short} and {long}: {agreement.n} networks are too few, or all equal."
    what = f"rank networks as one at {long} does"
    noisy = f"is too noisy to {what}" if agreement.schedule == "keeps the order" else f"does not {what}"
    said = {
        "reliable": f"One run at {short} ranks networks as one at {long} does",
        "unreliable": f"One run at {short} {noisy}",
        "not shown": f"One run at {short} is not shown to {what}",
    }[agreement.verdict]
    own = [
        f"{50 * (1 + ceiling.tau.value):.0f} % at {ceiling.budget}"
        for ceiling in reliability.ceilings
        if ceiling.budget in (short, long) and ceiling.tau is not None
    ]
    ceilings = f" Two runs at the same schedule agree in {' and '.join(own)}." if own else ""
    return (
        f"{said}: they put {_pairs(agreement.tau, reliability.confidence)} in the same order "
        f"({100 * ENOUGH:.0f} % would do, 50 % is chance; {agreement.n:,} networks).{ceilings} "
        f"{_schedule(agreement, reliability.confidence)}"
    )


def _schedule(agreement: Agreement, confidence: float) -> str:
    if agreement.true_tau is None:
        return (
            "Noise and the schedule itself cannot be told apart: that takes two runs at both schedules, and that they "
            "agree."
        )
    said = {
        "keeps the order": "The schedule itself keeps the order",
        "does not keep it": "The schedule itself does not keep the order",
        "not shown": "The schedule itself is not shown to keep the order",
    }[agreement.schedule]
    few = f"; {FEWEST_TO_JUDGE} networks are needed to judge it" if agreement.n < FEWEST_TO_JUDGE else ""
    return f"{said}: without the noise of runs it would be {_pairs(agreement.true_tau, confidence)}{few}."


def _pairs(tau: Estimate, confidence: float) -> str:
    """The share of pairs in the same order that a rank correlation stands for."""
    share, *ends = (f"{50 * (1 + each):.0f}" for each in (tau.value, tau.low, tau.high) if each is not None)
    return f"about {share} % of pairs ({100 * confidence:g} % interval {' to '.join(ends)}; tau {tau.value:.2f})"


def survival_sentence(survival: OrderStability, a: str, b: str) -> str:
    """Whether the order of populations `a` and `b` at the short budget is that at the long one."""
    statistic = _statistic(survival.quantile)
    if survival.kept is None:
        return f"Too few networks to say whether the order of {a} and {b} in the {statistic} survives."
    first, second = (
        a if difference.value <= 0 else b for difference in (survival.short_difference, survival.long_difference)
    )
    order, same = (
        f"order of {a} and {b} in the {statistic}",
        f"same order in {100 * survival.kept:.1f} % of bootstrap draws",
    )
    whether = f"Whether the {order} survives from {survival.short} to {survival.long}"
    return {
        "kept": f"The {order} survives: {first} is ahead at {survival.short} and at {survival.long} (the {same}).",
        "reversed": f"The {order} is reversed: {first} is ahead at {survival.short}, {second} at {survival.long} "
        f"(the {same}).",
        "not shown": f"{whether} is not shown (the {same}).",
        "hinges on lost runs": f"{whether} hinges on lost runs: left out, they leave the {same}, but counted as "
        f"errors of {WORST:g} % they no longer show it.",
    }[survival.verdict]


def _quantile_clause(effect: Effect, a: str, b: str, confidence: float) -> str:
    better, worse = (a, b) if effect.difference.value <= 0 else (b, a)
    size, interval = _size(effect.difference, confidence)
    statistic, p = _statistic(effect.quantile), _p(effect.test.adjusted_p)
    return f"the {statistic} of {better} is below that of {worse} by {size} ({interval}{p})"


def _statistic(quantile: float | None) -> str:
    if quantile is None:
        return "mean error"
    return "median error" if quantile == 0.5 else f"{100 * quantile:g} % quantile of errors"


def _excludes_zero(difference: Estimate) -> bool:
    return difference.low is not None and difference.high is not None and difference.low * difference.high > 0


def _size(difference: Estimate, confidence: float, of: str = "") -> tuple[str, str]:
    """Size of a difference, and its interval turned to match: two significant digits of the half-width."""
    if difference.low is None or difference.high is None:
        return f"{abs(difference.value):.2g} points", "too few networks for an interval, or all equal; "
    low, high = (difference.low, difference.high) if difference.value > 0 else (-difference.high, -difference.low)
    digits = max(1, 1 - floor(log10((high - low) / 2))) if high > low else 1
    interval = f"{100 * confidence:g} % interval{of} {low:.{digits}f} to {high:.{digits}f}; "
    return f"{abs(difference.value):.{digits}f} points", interval


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
