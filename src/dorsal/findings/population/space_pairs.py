"""Which space is better: every two compared, and how many networks that takes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import comb

import numpy as np
from msgspec.structs import replace

from dorsal.findings.learning import Learning
from dorsal.findings.population.records import Planner, SpaceFinding, SpacePair
from dorsal.stats import PopulationComparison, compare_populations, sample_size
from dorsal.stats.checks import column
from dorsal.stats.interval import Array
from dorsal.stats.populations import COMPARED_QUANTILES, Significance, holm
from dorsal.stats.sample_size import FEWEST_TO_PLAN, need_for_mean, pooled

FEWEST_OF_A_SPACE = 2
DIFFERENCES = (1.0, 0.5)


def space_pairs(spaces: Sequence[SpaceFinding], confidence: float) -> tuple[SpacePair, ...]:
    """Every two spaces. p values are adjusted by Holm for all tests of all pairs."""
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
        if comparison is not None:
            strictest = _strictest(confidence, len(comparisons))
            needed = need_for_mean((_present(a), _present(b)), comparison.mean.difference.value, strictest)
            comparison = replace(comparison, needed=needed)
        found.append(SpacePair(a=a.name, b=b.name, comparison=comparison))
    return tuple(found)


def planner(spaces: Sequence[SpaceFinding], learnt: Learning, confidence: float) -> Planner:
    """What it takes to see DIFFERENCES by the tests of `space_pairs`, from the errors within all spaces."""
    pilots = [_present(space) for space in spaces]
    residuals, freedom = pooled(pilots)
    if freedom < FEWEST_TO_PLAN or not residuals.any() or learnt.mostly_nothing:
        return Planner(plans=(), freedom=freedom)
    level = _strictest(confidence, max(1, comb(len(spaces), 2)))
    plans = tuple(sample_size(pilots, difference, confidence=level) for difference in DIFFERENCES)
    return Planner(plans=plans, freedom=freedom)


def _strictest(confidence: float, pairs: int) -> float:
    """The confidence that the smallest p value of all pairs must reach under Holm's correction."""
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
        )
        for comparison in comparisons
    ]


def _tests(comparison: PopulationComparison) -> list[Significance]:
    """The tests, in the order in which `_adjusted` returns them."""
    return [comparison.distance_test, comparison.mean.test, *(effect.test for effect in comparison.quantiles)]


def _present(space: SpaceFinding) -> Array:
    errors = column(space.errors, "errors")
    return errors[~np.isnan(errors)]
