"""What the runs of a plan will take. Pure arithmetic on measured epoch times."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Mapping

import msgspec

from dorsal.jobs.kept import disk_needed
from dorsal.jobs.plan import Plan, Run, distinct_runs
from dorsal.jobs.records import Latency, WholeCost

START_UP_SECONDS = 6.0
"""From starting a worker to its first step: importing torch, opening the data."""

EpochSeconds = Mapping[tuple[str, str], float]
"""Seconds of one epoch with its evaluation on one worker, by (arm label, recipe name)."""


class RunTiming(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Measured on one arm with one recipe: a forward pass, a training step, and what an epoch comes to; of a probe all
    of it, without a step. In other tasks than classification also what the network alone takes, and what the model
    costs with its heads."""

    forward: Latency
    train_step: Latency | None
    epoch_seconds: float
    trunk_forward: Latency | None = None
    whole: WholeCost | None = None


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
    params = {arm.label: (arm.whole or arm.cost).params for arm in plan.arms}
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


def _seconds(run: Run, epoch_seconds: EpochSeconds) -> float:
    return run.recipe.epochs * epoch_seconds[run.arm, run.recipe_name]
