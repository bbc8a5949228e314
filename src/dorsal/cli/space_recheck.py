"""`dorsal space recheck`: whether a population's schedule is long enough to rank its networks."""

from __future__ import annotations

import sys

from dorsal.cli.options import ResultsAsJson
from dorsal.study.recheck.question import Recheck


def recheck(asked: Recheck, as_json: ResultsAsJson = False) -> None:
    """Train some networks of a population again, longer and under several seeds, and say whether their order holds.

    Prints rank correlation and top-k agreement between schedules and between seeds with intervals, the noise ceiling,
    and a verdict for single networks and for whole populations. Interrupted, the same command goes on.

    Examples:
        dorsal space recheck runs/population
        dorsal space recheck runs/population --networks 20 --epochs 50,100 --seeds 3 --budget 8h
    """
    from dorsal.cli.progress import watching

    doing = f"training networks of {asked.population} again; of each space: {asked.networks}"
    with watching(asked.folder, doing) as on_event:
        from dorsal.study.recheck.run import run_recheck  # imports torch

        run_recheck(asked, on_event=on_event)
    from dorsal.cli.finish import show_study
    from dorsal.jobs.study_file import load_study
    from dorsal.study.population.saved import load_population
    from dorsal.study.recheck.saved import RECHECK_FILE

    show_study(load_population(asked.folder, asked.storage), asked.folder, as_json, asked.storage)
    if any(trial.status == "failed" for trial in load_study(asked.folder, asked.storage, RECHECK_FILE).trials):
        sys.exit(1)
