"""What became of runs and of networks: one rule for every study. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Literal

from dorsal.jobs.records import Study, Trial

NoResult = Literal["diverged", "failed", "waiting"]
NetworkStatus = Literal["finished", "diverged", "failed", "waiting"]
RunResult = float | NoResult
Result = tuple[NetworkStatus, float | None]


def error_of(score: float) -> float:
    """The error that goes with a score, both in percent."""
    return 100 - score


def score_of(error: float) -> float:
    """The score that goes with an error, both in percent."""
    return 100 - error


def run_result(trial: Trial | None) -> RunResult:
    """The run's error in percent, or what became of it. A run without a trial is still waiting."""
    if trial is None:
        return "waiting"
    if trial.status != "finished":
        return trial.status
    assert trial.score is not None  # every finished run has one
    return error_of(trial.score)


def network_result(runs: Sequence[RunResult]) -> Result:
    """What became of a network, and its error in percent: the mean over its runs, None unless all of them finished."""
    for lost in ("diverged", "failed", "waiting"):
        if lost in runs:
            return lost, None
    return "finished", fmean(run for run in runs if not isinstance(run, str))


def network_results(study: Study) -> dict[str, Result]:
    """`network_result` of every arm of a study with one recipe, by label, over all seeds."""
    trials = {(arm, seed): trial for (arm, _, seed), trial in study.ended().items()}
    return {
        arm.label: network_result([run_result(trials.get((arm.label, seed))) for seed in study.seeds])
        for arm in study.arms
    }
