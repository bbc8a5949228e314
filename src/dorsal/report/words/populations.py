"""A population in words: its conclusions, and what they do not show."""

from __future__ import annotations

from collections.abc import Iterator
from math import comb

from dorsal.findings.population.axis_findings import FEWEST_FOR_AXES
from dorsal.findings.population.importance import FEWEST_FOR_IMPORTANCE
from dorsal.findings.population.records import (
    AxisFinding,
    Importances,
    LinearRule,
    PopulationFindings,
    SpaceFinding,
    SpacePair,
)
from dorsal.findings.population.space_pairs import FEWEST_OF_A_SPACE
from dorsal.language.fields import show
from dorsal.report.words.learning import error_words, learning_sentences
from dorsal.report.words.numerals import decimals, interval, p_value, plural, roughly
from dorsal.report.words.schedule import left_out, longest_sentences, schedule_sentence, statistic
from dorsal.stats import Estimate, PopulationComparison
from dorsal.stats.populations import Effect
from dorsal.stats.sample_size import FEWEST_TO_PLAN, MOST_NETWORKS

LEAST_SHARE = 0.01
"""A smaller share of the variance is not worth a word."""
IMPORTANCE_METHOD = (
    "Functional analysis of variance (Hutter et al. 2014; Optuna): forests of regression trees predict errors from "
    "axes. An axis's share is the part of the variance of these predictions that is due to it alone, averaged over "
    "all other axes. Beside each axis the forest sees a shuffled copy of it; 95 % of the shares of such copies are "
    "below the level of noise. Intervals are from half samples. Numbers enter by rank, so the variance is that over "
    "the networks drawn. The method takes axes as independent; bounds on cost make them a little dependent. A network "
    "that does not draw an axis gets one of its drawn values at random, so that the axis does not stand in for the one "
    "it depends on; its share is of the whole space's variance all the same."
)


def populations_method(found: PopulationFindings) -> str:
    """How two spaces are compared."""
    compared = sum(pair.comparison is not None for pair in found.pairs)
    over = f" of all {compared} pairs" if compared > 1 else ""
    return (
        "Permutation tests: Kolmogorov-Smirnov distance, Welch's t for the mean, and for each quantile the difference "
        f"over the spread of nearby order statistics; Holm's correction over all of these tests{over}. Intervals, each "
        "on its own: bootstrap-t for the mean, percentile bootstrap for quantiles."
    )


def conclusions(found: PopulationFindings) -> tuple[str, ...]:
    """What the population shows, in the order to be read."""
    return (
        *learning_sentences(found.learning),
        *(space_sentence(space, error_words(found.learning.metric)) for space in found.spaces),
        *(pair_conclusion(pair, found) for pair in found.pairs),
        *(s for space in found.spaces if not found.learning.nothing and (s := axes_sentence(space))),
        plan_sentence(found),
        schedule_sentence(found.reliability),
    )


def clearest(found: PopulationFindings) -> str:
    """The conclusion on the two spaces that differ most clearly; empty where none were compared."""
    compared = [(pair, pair.comparison) for pair in found.pairs if pair.comparison is not None]
    if not compared:
        return ""
    p, _, pair = min(
        (
            (
                min(test.adjusted_p for test in (each.distance_test, *(e.test for e in (each.mean, *each.quantiles)))),
                -abs(each.mean.difference.value),
                pair,
            )
            for pair, each in compared
        ),
        key=lambda row: row[:2],
    )
    return pair_conclusion(pair, found) if p <= 1 - found.confidence else "No two spaces are shown to differ."


def space_sentence(space: SpaceFinding, error: str = "error") -> str:
    """How the networks fared, and where their errors lie; `error` says what that is."""
    counts, summary = space.counts, space.summary
    left = ", ".join(
        f"{number:,} {what}"
        for number, what in (
            (counts.diverged, "diverged"),
            (counts.failed, "failed"),
            (counts.waiting, "not trained to the end yet"),
        )
        if number
    )
    fared = f"{space.name}: {counts.finished:,} of {len(space.labels):,} networks finished" + f" ({left})" * bool(left)
    if summary is None:
        return f"{fared}; nothing can be said of its errors."
    mean = interval(summary.mean, 0.95)
    return (
        f"{fared}; {error} {summary.best.error:.2f} % for the best, {summary.best.label}, in the mean "
        f"{summary.mean.value:.2f} %{f' ({mean})' if mean else ''}, median {summary.median.value:.2f} %."
    )


def pair_conclusion(pair: SpacePair, found: PopulationFindings) -> str:
    """`pair_sentence` and, where it orders the spaces, whether their order holds at the longest schedule."""
    sentence = pair_sentence(pair, found)
    if pair.comparison is None or not pair.comparison.shown:
        return sentence
    order = next((each for each in found.reliability.orders if (each.a, each.b) == (pair.a, pair.b)), None)
    if order is None:
        return f"{sentence} Order unverified: neither was trained longer."
    verdicts = longest_sentences(order, {effect.quantile for effect in pair.comparison.shown})
    return " ".join((sentence, *verdicts)) + left_out(found.reliability.retrained, (pair.a, pair.b))


def pair_sentence(pair: SpacePair, found: PopulationFindings) -> str:
    """Whether two spaces differ, and how."""
    if pair.comparison is not None:
        return comparison_sentence(pair.comparison, pair.a, pair.b)
    first, second = (found.space(name).counts.finished for name in (pair.a, pair.b))
    return (
        f"{pair.a} and {pair.b} are not compared: {first} and {second} networks have a result, and at least "
        f"{FEWEST_OF_A_SPACE} of each are needed."
    )


def comparison_sentence(comparison: PopulationComparison, a: str, b: str) -> str:
    """What `comparison` shows of the populations named `a` and `b`; errors in percentage points."""
    level, mean = 1 - comparison.confidence, comparison.mean
    networks = f"{comparison.networks[0]:,} and {comparison.networks[1]:,} networks"
    if sum(comparison.missing):
        networks += f", {sum(comparison.missing):,} without a result left out"
    size, between = _size(mean.difference, comparison.confidence)
    if mean in comparison.shown:
        better, worse = (a, b) if mean.difference.value <= 0 else (b, a)
        p = p_value(mean.test.adjusted_p)
        return f"{better} has a lower mean error than {worse}, by {size} ({between}{p}; {networks})."
    others = [_quantile_clause(effect, a, b, comparison.confidence) for effect in comparison.shown]
    if not others and comparison.distance_test.adjusted_p <= level:
        others = [
            f"their distributions differ, by at most {comparison.distance:.2f} in the share of networks below an "
            f"error ({p_value(comparison.distance_test.adjusted_p)})"
        ]
    if others:
        return f"The mean errors of {a} and {b} are not shown to differ, but {' and '.join(others)}; {networks}."
    if mean.difference.value == 0:
        return f"No difference shown between {a} and {b}: their mean errors are equal ({between}{networks})."
    corrected = ""
    if _excludes_zero(mean.difference):
        corrected = " after correction for all tests"
        size, between = _size(mean.difference, comparison.confidence, " of this difference alone")
    if comparison.needed is None:
        needed = "they are too few to say how many would show a difference of this size"
    else:
        needed = (
            f"{roughly(comparison.needed, 'networks', MOST_NETWORKS)} in each would be needed to show a difference of "
            "this size"
        )
    return (
        f"No difference shown between {a} and {b}{corrected}: their mean errors differ by {size} "
        f"({between}{networks}); {needed}."
    )


def _quantile_clause(effect: Effect, a: str, b: str, confidence: float) -> str:
    better, worse = (a, b) if effect.difference.value <= 0 else (b, a)
    size, between = _size(effect.difference, confidence)
    p = p_value(effect.test.adjusted_p)
    return f"the {statistic(effect.quantile)} of {better} is below that of {worse} by {size} ({between}{p})"


def _excludes_zero(difference: Estimate) -> bool:
    return difference.low is not None and difference.high is not None and difference.low * difference.high > 0


def _size(difference: Estimate, confidence: float, of: str = "") -> tuple[str, str]:
    """Size of a difference, and its interval turned to match."""
    if difference.low is None or difference.high is None:
        return f"{abs(difference.value):.2g} points", "too few networks for an interval, or all equal; "
    low, high = (difference.low, difference.high) if difference.value > 0 else (-difference.high, -difference.low)
    digits = decimals(low, high)
    turned = Estimate(value=abs(difference.value), low=low, high=high)
    return f"{turned.value:.{digits}f} points", f"{interval(turned, confidence, digits, of)}; "


def axes_sentence(space: SpaceFinding) -> str:
    """Which axes matter, to at least LEAST_SHARE; empty where there are too few networks to ask."""
    if not space.importances.axes:
        return ""
    above = [
        f"{axis.name} {100 * axis.share.value:.0f} %"
        for axis in space.importances.axes
        if axis.above_null and axis.share.value >= LEAST_SHARE
    ]
    if not above:
        return f"{space.name}: no axis explains more of the variance of predicted errors than noise."
    return f"{space.name}: axes that explain more of the variance of predicted errors than noise: {', '.join(above)}."


def plan_sentence(found: PopulationFindings) -> str:
    """How many networks it takes to see differences, or why that cannot be planned."""
    plans, cannot = found.planner.plans, "How many networks a comparison takes cannot be planned"
    if found.learning.mostly_nothing:
        return f"{cannot}: most networks are not shown to have learnt anything."
    if found.planner.freedom < FEWEST_TO_PLAN:
        return (
            f"{cannot}: {found.planner.freedom} networks beside one of each space to go by, and at least "
            f"{FEWEST_TO_PLAN} are needed."
        )
    if not plans:
        return f"{cannot}: all errors of a space are equal."
    pairs = max(1, comb(len(found.spaces), 2))
    needs = " and ".join(
        f"{roughly(plan.mean, 'networks', MOST_NETWORKS)} of each for {plan.difference:g} "
        f"point{'s' * (plan.difference != 1)}"
        for plan in plans
    )
    have = ", ".join(f"{space.counts.finished:,} of {space.name}" for space in found.spaces)
    return (
        f"To see a difference between the mean errors of two such spaces with {100 * plans[0].power:.0f} % "
        f"probability, corrected for all tests of {plural(pairs, 'pair')}, takes, at {plural(found.seeds, 'seed')} a "
        f"network, {needs}; this population has {have}."
    )


def rule_sentence(rule: LinearRule, confidence: float) -> str:
    """Whether networks near RegNet's linear rule are better."""
    if rule.drawn:
        return "Widths follow the linear rule: that is how this space is drawn."
    of = f"the {rule.computed:,} networks fitted, of {rule.finished:,} finished"
    if rule.correlation is None:
        return f"Whether networks near the linear rule are better cannot be said from {of}."
    return (
        f"Rank correlation of the distance from the linear rule with error: tau {rule.correlation.value:.2f} "
        f"({interval(rule.correlation, confidence)}), over {of}; above 0, networks near the rule are better."
    )


def no_profile(axis: AxisFinding) -> str:
    """Why an axis has no profile; empty where it has one."""
    if axis.profiled:
        return ""
    if axis.equals:
        return f"it equals {axis.equals}, and is not drawn itself"
    if axis.n < FEWEST_FOR_AXES:
        which = "draw it and " * (None in axis.values)
        return f"{axis.n} networks {which}have a result; at least {FEWEST_FOR_AXES} are needed"
    return f"it is {show(axis.constant)} in all networks"


def no_importances(found: Importances) -> str:
    """Why there are no shares of the variance; empty where there are."""
    if found.axes:
        return ""
    if found.n < FEWEST_FOR_IMPORTANCE:
        return f"{found.n} networks have a result; at least {FEWEST_FOR_IMPORTANCE} are needed"
    if found.constant is not None:
        return f"all errors are {found.constant:g} %"
    return "no axis has several values"


def notes(found: PopulationFindings) -> tuple[str, ...]:
    """What the population does not show."""
    return tuple(_notes(found))


def _notes(found: PopulationFindings) -> Iterator[str]:
    spaces = found.spaces
    if lost := sum(space.counts.diverged + space.counts.failed for space in spaces):
        yield (
            f"{plural(lost, 'network')} diverged or failed and have no error, so they are left out. If they would have "
            "been the worst of a space, it looks better than it is."
        )
    if waiting := sum(space.counts.waiting for space in spaces):
        yield f"Unfinished: {plural(waiting, 'network')} not trained to the end yet; every figure is of the others."
    if found.seeds == 1:
        yield (
            "Every network was trained once, so its error holds the noise of one training: distributions are wider "
            "than those of the networks themselves, and the least errors flatter."
        )
    yield "The best networks are chosen and judged on the same images, which flatters them."
    if bounds := {f"{name} {text}" for space in spaces for name, text in space.sampling.bounds.items()}:
        yield f"All of it holds for networks within the bounds: {', '.join(sorted(bounds))}."
    if any(axis.adjusted_p is not None for space in spaces for axis in space.axes):
        yield "p values of good ranges are adjusted (Holm) for the axes of a space, not for several spaces."
    if any(space.importances.axes for space in spaces):
        yield "Of axes that do not matter, one in 20 is above its level of noise by chance."
