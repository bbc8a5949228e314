"""Probes whose list of penalties may be too short. No torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from dorsal.jobs.records import Study
from dorsal.recipes.probe import Probe


class PenaltyEdge(NamedTuple):
    """An arm under a probe, and the end of its list that was chosen most often: in `at_edge` of `chosen` runs."""

    arm: str
    recipe: str
    probe: Probe
    penalty: float
    at_edge: int
    chosen: int


def penalty_edges(study: Study) -> Iterator[PenaltyEdge]:
    """Where the best penalty is the first or the last of its list."""
    choices = {trial.key: trial.choice for trial in study.trials if trial.choice and trial.choice.inner}
    for arm, recipe in dict.fromkeys((run.arm, run.recipe) for run in study.runs):
        probe = study.recipes[recipe]
        if not isinstance(probe, Probe):
            continue
        keys = [run.key for run in study.runs if (run.arm, run.recipe) == (arm, recipe)]
        found = [choices[key] for key in keys if key in choices]
        at_edge = Counter(each.penalty for each in found if each.penalty is not None and each.is_at_edge(probe))
        for penalty, count in at_edge.most_common(1):
            yield PenaltyEdge(arm, recipe, probe, penalty, count, len(found))
