"""Whether the arms of a comparison are decided, or another seed is wanted. No torch."""

from __future__ import annotations

from dorsal.jobs.records import Study
from dorsal.jobs.tables import mean_of, over_recipes, recipe_tables, repeated, scores_by_arm
from dorsal.stats.looks import look


def undecided(study: Study, most: int) -> tuple[str, ...]:
    """The pairs of arms that are neither told apart nor shown to be practically equal, as "a and b".

    By the mean of the recipes that all arms are crossed with; arms with a recipe of their own by that. What more seeds
    cannot show, that the order holds on other test images, is not asked. Empty where fewer than two arms have results.
    """
    tables, ended = recipe_tables(study), study.ended()
    across = [scores_by_arm(study, ended, tables[name]) for name in repeated(study, tables)]
    table = over_recipes([arm.label for arm in study.arms], across, mean_of)
    if sum(any(value is not None for value in values) for values in table.values()) < 2:
        return ()
    found = look(table, most, margin=study.margin)
    named = [(each.better, each.worse) for each in found.judgements if each.verdict == "undecided"]
    return tuple(f"{a} and {b}" for a, b in [*named, *found.comparisons.unpaired])
