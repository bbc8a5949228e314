"""What the runs of a plan will take. Pure arithmetic on measured epoch times."""

from __future__ import annotations

import heapq
import statistics
from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

import msgspec

from dorsal.jobs.kept import disk_needed
from dorsal.jobs.plan import Plan, Run, distinct_runs
from dorsal.jobs.records import Latency
from dorsal.recipes.epoch import Epoch

START_UP_SECONDS = 6.0
"""From starting a worker to its first step: importing torch, opening the data."""

EpochSeconds = Mapping[tuple[str, str], float]
"""Seconds of one epoch with its evaluation on one worker, by (arm label, recipe name)."""


class RunTiming(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Measured on one arm with one recipe: a forward pass, a training step, and what an epoch comes to."""

    forward: Latency
    train_step: Latency
    epoch_seconds: float


class Forecast(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`done` of `runs` runs are in the store; the others take about `seconds` on `workers` workers, None where no
    network could be timed.

    `arm_seconds` is what each arm's remaining runs take on one worker, `disk_bytes` what all of them leave on the disk.
    """

    runs: int
    done: int
    seconds: float | None
    workers: int
    arm_seconds: dict[str, float]
    disk_bytes: int = 0


def forecast(
    plan: Plan, epoch_seconds: EpochSeconds, done: Collection[str], workers: int, keep_models: bool = True
) -> Forecast:
    """The forecast for the runs of `plan` whose keys are not in `done`."""
    runs = distinct_runs(plan.runs)
    left = [run for run in runs if run.key not in done]
    arm_seconds = {arm.label: 0.0 for arm in plan.arms}
    for run in left:
        arm_seconds[run.arm] += _seconds(run, epoch_seconds)
    seconds: float | None = 0.0
    if left:
        busy = makespan((_seconds(run, epoch_seconds) for run in left), workers)
        seconds = busy + START_UP_SECONDS if any(epoch_seconds.values()) else None
    params = {arm.label: arm.cost.params for arm in plan.arms}
    disk = disk_needed([params[run.arm] for run in left], plan.data, workers, keep_models)
    return Forecast(len(runs), len(runs) - len(left), seconds, workers, arm_seconds, disk)


def first_seeds(plan: Plan, count: int) -> Plan:
    """The plan's first `count` seeds only."""
    seeds = plan.seeds[:count]
    return msgspec.structs.replace(plan, seeds=seeds, runs=tuple(run for run in plan.runs if run.seed in seeds))


def with_ended(part: Plan, whole: Plan, ended: Collection[str]) -> Plan:
    """A part of a plan, and beside it the runs of the whole that have ended, which no plan may lose."""
    kept = {run.key for run in part.runs}.union(ended)
    runs = tuple(run for run in whole.runs if run.key in kept)
    seeds = {run.seed for run in runs}
    return msgspec.structs.replace(part, seeds=tuple(seed for seed in whole.seeds if seed in seeds), runs=runs)


def makespan(seconds: Iterable[float], workers: int) -> float:
    """When the last of these jobs ends if each in turn goes to the worker that is free first."""
    free_at = [0.0] * workers
    for job in seconds:
        heapq.heapreplace(free_at, free_at[0] + job)
    return max(free_at)


class Timekeeper(Protocol):
    """Says how much time is left, told what happens."""

    def epoch_ended(self, run: Run, epoch: Epoch) -> None:
        """Notes how long an epoch took."""

    def run_ended(self, run: Run) -> None:
        """Notes that a run needs no more time, however it ended."""

    def seconds_left(self) -> float:
        """Seconds until the last run ends."""


class Clock:
    """Time left for a list of runs: by the forecast at first, by the epochs measured so far as they come.

    Where no network could be timed, nothing is left at first, and then all take what those so far did.
    """

    def __init__(self, runs: Iterable[Run], epoch_seconds: EpochSeconds, workers: int) -> None:
        self._runs = {run.key: run for run in runs}
        self._epochs_left = {key: run.recipe.epochs for key, run in self._runs.items()}
        self._forecast, self._workers = epoch_seconds, workers
        self._measured: dict[tuple[str, str], list[float]] = {}

    def epoch_ended(self, run: Run, epoch: Epoch) -> None:
        """See `Timekeeper.epoch_ended`."""
        self._epochs_left[run.key] = run.recipe.epochs - epoch.epoch
        self._measured.setdefault((run.arm, run.recipe_name), []).append(epoch.seconds)

    def run_ended(self, run: Run) -> None:
        """See `Timekeeper.run_ended`."""
        self._epochs_left[run.key] = 0

    def seconds_left(self) -> float:
        """See `Timekeeper.seconds_left`."""
        scale = self._scale()
        return makespan(
            (left * self._epoch_seconds(self._runs[key], scale) for key, left in self._epochs_left.items()),
            self._workers,
        )

    def _epoch_seconds(self, run: Run, scale: float) -> float:
        measured = self._measured.get((run.arm, run.recipe_name))
        if not measured and not any(self._forecast.values()):
            measured = [seconds for each in self._measured.values() for seconds in each]
        if measured:
            return sum(measured) / len(measured)
        return self._forecast[run.arm, run.recipe_name] * scale

    def _scale(self) -> float:
        """How much slower epochs were than forecast, where any has been measured."""
        expected = sum(self._forecast[kind] * len(seconds) for kind, seconds in self._measured.items())
        taken = sum(sum(seconds) for seconds in self._measured.values())
        return taken / expected if expected else 1.0


class Pace:
    """Time left for `runs` runs of `epochs` epochs each that are not all known: by the mean of the epochs so far, or by
    `epoch_seconds` before there is any."""

    def __init__(self, runs: int, epochs: int, workers: int, epoch_seconds: float) -> None:
        self._runs_left, self._epochs, self._workers, self._first_guess = runs, epochs, workers, epoch_seconds
        self._done: dict[str, int] = {}
        self._seconds: list[float] = []

    def epoch_ended(self, run: Run, epoch: Epoch) -> None:
        """See `Timekeeper.epoch_ended`."""
        self._done[run.key] = epoch.epoch
        self._seconds.append(epoch.seconds)

    def run_ended(self, run: Run) -> None:
        """See `Timekeeper.run_ended`."""
        self._done.pop(run.key, None)
        self._runs_left -= 1

    def seconds_left(self) -> float:
        """See `Timekeeper.seconds_left`."""
        epochs = self._runs_left * self._epochs - sum(self._done.values())
        return epochs * (statistics.fmean(self._seconds) if self._seconds else self._first_guess) / self._workers


class Countdown:
    """Time left for jobs of which each was forecast to take so many seconds (by key): by the forecast at first, then by
    how much longer than forecast those took that have ended."""

    def __init__(self, seconds: Mapping[str, float], workers: int) -> None:
        self._seconds, self._workers = seconds, workers
        self._left = dict.fromkeys(seconds, 1.0)
        self._expected = self._taken = 0.0

    def moved(self, key: str, share: float) -> None:
        """Notes that this share of a job is done."""
        self._left[key] = 1 - share

    def ended(self, key: str, seconds: float | None) -> None:
        """Notes that a job needs no more time, and what it took: None for one that failed, which tells nothing."""
        self._left[key] = 0.0
        if seconds is not None:
            self._expected += self._seconds[key]
            self._taken += seconds

    def seconds_left(self) -> float:
        """Seconds until the last job ends."""
        scale = self._taken / self._expected if self._expected else 1.0
        return makespan((scale * left * self._seconds[key] for key, left in self._left.items()), self._workers)


def _seconds(run: Run, epoch_seconds: EpochSeconds) -> float:
    return run.recipe.epochs * epoch_seconds[run.arm, run.recipe_name]
