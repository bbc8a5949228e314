"""Which space is better: every two compared, and how many networks it would take."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import comb, sqrt

import numpy as np
from msgspec.structs import replace

from dorsal.findings.population.records import Planner, SpaceFinding, SpacePair
from dorsal.stats import PopulationComparison, compare_populations, population_sentence, sample_size
from dorsal.stats.checks import column
from dorsal.stats.interval import Array
from dorsal.stats.populations import COMPARED_QUANTILES, Significance, holm
from dorsal.stats.sample_size import FEWEST_TO_PLAN, MOST_NETWORKS, NetworksNeeded, networks_for_mean, pooled

FEWEST_OF_A_SPACE = 2
DIFFERENCES = (1.0, 0.5)


def space_pairs(spaces: Sequence[SpaceFinding], confidence: float) -> tuple[SpacePair, ...]:
    """Every two spaces; p values are adjusted by Holm for all tests of all pairs."""
    pairs = list(combinations(spaces, 2))
    comparisons = {
        (a.name, b.name): compare_populations(a.errors, b.errors, confidence=confidence)
        for a, b in pairs
        if min(a.counts.finished, b.counts.finished) >= FEWEST_OF_A_SPACE
    }
    adjusted = dict(zip(comparisons, _adjusted(list(comparisons.values())), strict=True))
    found = []
    for a, b in pairs:
        comparison = adjusted.get((a.name, b.name))
        if comparison is None:
            said = (
                f"{a.name} and {b.name} are not compared: {a.counts.finished} and {b.counts.finished} networks have a "
                f"result, and at least {FEWEST_OF_A_SPACE} of each are needed."
            )
        else:
            needed = _needed(a, b, comparison, _strictest(confidence, len(comparisons)))
            comparison = replace(comparison, networks_needed=needed)
            said = population_sentence(comparison, a.name, b.name)
        found.append(SpacePair(a=a.name, b=b.name, comparison=comparison, sentence=said))
    return tuple(found)


def planner(spaces: Sequence[SpaceFinding], seeds: int, confidence: float) -> Planner:
    """What it takes to see DIFFERENCES by the tests of `space_pairs`, from the errors of all spaces within each."""
    pilots = [_present(space) for space in spaces]
    residuals, freedom = pooled(pilots)
    if freedom < FEWEST_TO_PLAN:
        why = f"{freedom} networks beside one of each space to go by, and at least {FEWEST_TO_PLAN} are needed"
        return Planner(plans=(), sentence=f"How many networks a comparison takes cannot be planned: {why}.")
    if not residuals.any():
        why = "all errors of a space are equal"
        return Planner(plans=(), sentence=f"How many networks a comparison takes cannot be planned: {why}.")
    pairs = max(1, comb(len(spaces), 2))
    level = _strictest(confidence, pairs)
    plans = tuple(sample_size(pilots, difference, confidence=level) for difference in DIFFERENCES)
    needs = " and ".join(
        f"{_need(plan.mean)} for {plan.difference:g} point{'s' * (plan.difference != 1)}" for plan in plans
    )
    have = ", ".join(f"{space.counts.finished:,} of {space.name}" for space in spaces)
    return Planner(
        plans=plans,
        sentence=(
            f"To see a difference between the mean errors of two such spaces with {100 * plans[0].power:.0f} % "
            f"probability, corrected for all tests of {pairs} pair{'s' * (pairs > 1)}, takes, at {seeds} "
            f"seed{'s' * (seeds > 1)} a network, {needs}; this population has {have}."
        ),
    )


def _strictest(confidence: float, pairs: int) -> float:
    """The confidence that the least p value of so many pairs has to reach by Holm's correction."""
    return 1 - (1 - confidence) / (pairs * (2 + len(COMPARED_QUANTILES)))


def _adjusted(comparisons: Sequence[PopulationComparison]) -> list[PopulationComparison]:
    adjusted = iter(holm([test.p for comparison in comparisons for test in _tests(comparison)]))

    def again(test: Significance) -> Significance:
        return replace(test, adjusted_p=next(adjusted))

    return [
        replace(
            comparison,
            distance_test=again(comparison.distance_test),
            mean=replace(comparison.mean, test=again(comparison.mean.test)),
            quantiles=tuple(replace(effect, test=again(effect.test)) for effect in comparison.quantiles),
            method=comparison.method + f" Here over all tests of {len(comparisons)} pairs." * (len(comparisons) > 1),
        )
        for comparison in comparisons
    ]


def _tests(comparison: PopulationComparison) -> list[Significance]:
    """In the order in which `_adjusted` puts them back."""
    return [comparison.distance_test, comparison.mean.test, *(effect.test for effect in comparison.quantiles)]


def _needed(a: SpaceFinding, b: SpaceFinding, comparison: PopulationComparison, confidence: float) -> int | None:
    """Networks to show the observed difference of means, were all other tests to show nothing."""
    spread = sqrt((_present(a).var(ddof=1) + _present(b).var(ddof=1)) / 2)
    return networks_for_mean(spread, comparison.mean.difference.value, confidence)


def _present(space: SpaceFinding) -> Array:
    errors = column(space.errors, "errors")
    return errors[~np.isnan(errors)]


def _need(need: NetworksNeeded) -> str:
    most = f"more than {MOST_NETWORKS:,}"
    if need.networks is None:
        return f"{most} networks of each"
    low, high = (most if bound is None else f"{bound:,}" for bound in (need.low, need.high))
    return f"about {need.networks:,} networks of each (90 % interval {low} to {high})"
