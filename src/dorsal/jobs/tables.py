"""The scores of a study as tables of arms and seeds. No torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from dorsal.jobs.records import Study, Trial, tuned_name

OWN_RECIPES = "own recipes"

Results = dict[str, list[float | None]]
Value = TypeVar("Value")


def recipe_tables(study: Study) -> dict[str, dict[str, str]]:
    """By the name of a comparison, the recipe by which each arm is in it: the recipe that gives the name, or the arm's
    own. Where every arm has its own, there is one such comparison. What was tuned is in one before all others."""
    crossed = [arm.label for arm in study.arms if not arm.recipe]
    planned = {(run.arm, run.recipe) for run in study.runs}
    tuned = {(each.arm, each.recipe): each.tuned for each in study.tuning}
    names = [
        name
        for name in study.recipes
        if name not in tuned.values() and any((label, name) in planned for label in crossed)
    ]
    tables = {name: {arm.label: arm.recipe or name for arm in study.arms} for name in names or [OWN_RECIPES]}
    of_tuned = {
        tuned_name(name): {arm: tuned.get((arm, recipe), recipe) for arm, recipe in taken.items()}
        for name, taken in tables.items()
    }
    return {name: taken for name, taken in of_tuned.items() if set(taken.values()) & set(tuned.values())} | tables


def once(study: Study, tables: Mapping[str, Mapping[str, str]]) -> tuple[str, ...]:
    """The tables by whose recipe an arm is run with fewer seeds than there are, as it knows no chance."""
    planned = Counter((run.arm, run.recipe) for run in study.runs)
    return tuple(name for name in tables if any(0 < planned[arm.label, name] < len(study.seeds) for arm in study.arms))


def repeated(study: Study, tables: Mapping[str, Mapping[str, str]]) -> list[str]:
    """The tables to take a mean over: of what was tuned the tuned one, and without what is run `once`."""
    left_out = once(study, tables)
    return [name for name in tables if name not in left_out and tuned_name(name) not in tables]


def scores_by_arm(study: Study, trials: Mapping[tuple[str, str, int], Trial], taken: Mapping[str, str]) -> Results:
    """Scores by arm under the recipe that it is taken by, one entry a seed, None without a result."""
    return {
        arm: [trial.score if (trial := trials.get((arm, recipe, seed))) else None for seed in study.seeds]
        for arm, recipe in taken.items()
    }


def over_recipes(
    arms: Sequence[str],
    tables: Sequence[Mapping[str, Sequence[Value | None]]],
    mean: Callable[[Sequence[Value | None]], Value | None],
) -> dict[str, list[Value | None]]:
    """The mean over tables for each arm and seed."""
    return {arm: [mean(cells) for cells in zip(*(table[arm] for table in tables), strict=True)] for arm in arms}


def mean_of(values: Sequence[float | None]) -> float | None:
    """The mean of a seed's results over the recipes. None unless all are there."""
    present = [value for value in values if value is not None]
    return sum(present) / len(present) if len(present) == len(values) else None
