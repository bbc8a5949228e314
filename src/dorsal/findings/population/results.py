"""What became of runs and of networks: one rule for a population and for what was trained again of it."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from dorsal.findings.population.records import NetworkStatus, NoResult
from dorsal.jobs.records import Trial

RunResult = float | NoResult
Result = tuple[NetworkStatus, float | None]


def run_result(trial: Trial | None) -> RunResult:
    """The run's error in percent, or what became of it where it has none; without a trial it is yet to come."""
    if trial is None:
        return "waiting"
    if trial.status != "finished":
        return trial.status
    assert trial.accuracy is not None  # as every finished run has one
    return 100 - trial.accuracy


def network_result(runs: Sequence[RunResult]) -> Result:
    """What became of a network, and its error: the mean over its runs, if all of them finished."""
    for lost in ("diverged", "failed", "waiting"):
        if lost in runs:
            return lost, None
    return "finished", fmean(run for run in runs if not isinstance(run, str))
