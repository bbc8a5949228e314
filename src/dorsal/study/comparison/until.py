"""Whether the arms of a comparison are decided, or another seed is wanted. No torch."""

from __future__ import annotations

from collections.abc import Sequence

from dorsal.jobs.records import Study, tuned_name
from dorsal.stats.looks import look

Results = dict[str, list[float | None]]


def undecided(study: Study, most: int) -> tuple[str, ...]:
    """The pairs of arms that are neither told apart nor shown to be practically equal, as "a and b".

    By the mean of the recipes that all arms are crossed with; arms with a recipe of their own by that. What more seeds
    cannot show, that the order holds on other test images, is not asked. Empty where fewer than two arms have results.
    """
    table = _table(study)
    if sum(any(value is not None for value in values) for values in table.values()) < 2:
        return ()
    found = look(table, most, margin=study.margin)
    named = [(each.better, each.worse) for each in found.judgements if each.verdict == "undecided"]
    return tuple(f"{a} and {b}" for a, b in [*named, *found.comparisons.unpaired])


def _table(study: Study) -> Results:
    """Scores by arm, one entry a seed."""
    ended = study.ended()
    planned = {(run.arm, run.recipe, run.seed) for run in study.runs}
    crossed = [arm.label for arm in study.arms if not arm.recipe]
    every = [
        name
        for name in study.recipes
        if tuned_name(name) not in study.recipes
        and all((label, name, seed) in planned for label in crossed for seed in study.seeds)
    ]
    table: Results = {}
    for arm in study.arms:
        own = tuned_name(arm.recipe) if tuned_name(arm.recipe) in study.recipes else arm.recipe
        names = [own] if own else every
        table[arm.label] = [
            _mean([trial.score if (trial := ended.get((arm.label, name, seed))) else None for name in names])
            for seed in study.seeds
        ]
    return table


def _mean(values: Sequence[float | None]) -> float | None:
    """The mean; None unless all are there."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None
