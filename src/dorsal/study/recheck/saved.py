"""`recheck.json`: what was trained again of a population, beside its plan. No torch."""

from __future__ import annotations

from pathlib import Path

from dorsal.jobs.results import run_result
from dorsal.jobs.study_file import load_study, read_study_file
from dorsal.study.population.records import RecheckRuns

RECHECK_FILE = "recheck.json"


def load_recheck(folder: Path, storage: str | None = None) -> RecheckRuns | None:
    """The runs of the networks that were trained again, None where nothing was.

    Raises ValueError as `load_study` does, and where the population has other networks of these labels.
    """
    if not (folder / RECHECK_FILE).exists():
        return None
    study, population = load_study(folder, storage, RECHECK_FILE), read_study_file(folder)
    networks = {arm.label: arm.network_hash for arm in population.study.arms} if population else {}
    for arm in study.arms:
        if networks.get(arm.label) != arm.network_hash:
            raise ValueError(
                f"{str(folder / RECHECK_FILE)!r} is of another {arm.label} than the population there; remove it, and "
                "run `dorsal space recheck` again"
            )
    trials = study.ended()
    labels = tuple(arm.label for arm in study.arms)
    return RecheckRuns(
        labels=labels,
        budgets=tuple(f"{each.epochs} epoch{'s' * (each.epochs > 1)}" for each in study.recipes.values()),
        runs=tuple(
            tuple(
                tuple(run_result(trials.get((label, recipe, seed))) for seed in study.seeds) for recipe in study.recipes
            )
            for label in labels
        ),
    )
