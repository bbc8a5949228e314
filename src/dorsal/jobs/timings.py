"""`timings.json`: what jobs take, written as each is timed, so that none is timed twice."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from dorsal.jobs.child_process import ChildProcess
from dorsal.jobs.engine import AnyJob, WorkerDeath
from dorsal.jobs.events import Event, Note
from dorsal.jobs.forecast import EpochSeconds, RunTiming
from dorsal.jobs.json_file import read_record, write_record
from dorsal.jobs.plan import Run, distinct_runs
from dorsal.jobs.records import Machine
from dorsal.jobs.resources import LOCAL_CLUSTER, Resources
from dorsal.jobs.time_run import time_run

TIMINGS_FILE = "timings.json"
TIMINGS_SCHEMA = 1

Timing = TypeVar("Timing", RunTiming, float)

Timings = Mapping[tuple[str, str], RunTiming]
"""By arm label and recipe name; one that could not be timed is left out."""


class TimingsFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the file holds, by job and machine: of runs timings, of evaluations their seconds."""

    timings: dict[str, RunTiming | float]
    schema: int = TIMINGS_SCHEMA


def time_runs(
    folder: Path,
    runs: Sequence[Run],
    place: Resources,
    here: Machine,
    on_event: Callable[[Event], None],
    on_timing: Callable[[Timings], None] = lambda _: None,
) -> Timings:
    """What each of these runs takes on this machine, as `time_jobs` finds it. `on_timing` hears what is known before
    anything is timed and after each."""

    def by_arm(known: Mapping[str, RunTiming]) -> Timings:
        return {(run.arm, run.recipe_name): known[run.key] for run in runs if run.key in known}

    work = functools.partial(time_run, place=place)
    jobs = {run.key: run for run in distinct_runs(runs)}
    return by_arm(
        time_jobs(folder, jobs, work, RunTiming, place, here, on_event, lambda known: on_timing(by_arm(known)))
    )


def time_jobs(
    folder: Path,
    jobs: Mapping[str, AnyJob],
    work: Callable[[AnyJob], Timing | str],
    kind: type[Timing],
    place: Resources,
    here: Machine,
    on_event: Callable[[Event], None],
    on_timing: Callable[[Mapping[str, Timing]], None] = lambda _: None,
) -> dict[str, Timing]:
    """What each of these jobs takes on this machine: as the folder knows it, or else timed now and kept there at once.

    `work` times one, in a process of its own, and returns its error where it cannot. Such a job is reported in a Note
    and left out.
    """
    kept = read_record(folder / TIMINGS_FILE, TimingsFile, TIMINGS_SCHEMA, "file of timings")
    known = dict(kept.timings) if kept else {}
    named = {key: f"{key} {_where(here)} {place.loader_processes}" for key in jobs}

    def found() -> dict[str, Timing]:
        return {key: timing for key, name in named.items() if isinstance(timing := known.get(name), kind)}

    on_timing(found())
    new = [key for key, name in named.items() if name not in known]
    if new and place.ray not in (None, LOCAL_CLUSTER):
        on_event(Note("the forecast is from times of this machine, not of the cluster"))
    with ChildProcess(work, place.threads) as call:
        for key in new:
            match call(jobs[key]):
                case WorkerDeath(why) | str(why):
                    on_event(Note(f"{jobs[key].name} could not be timed: {why}"))
                case timing:
                    known[named[key]] = timing
                    write_record(folder / TIMINGS_FILE, TimingsFile(known))
                    on_timing(found())
    return found()


def _where(here: Machine) -> str:
    """All of the machine that times depend on."""
    return f"{here.device} {here.threads} {here.processor} {here.accelerator}"


def epoch_seconds(timings: Timings) -> EpochSeconds:
    """The seconds of an epoch that were timed."""
    return {pair: timing.epoch_seconds for pair, timing in timings.items()}
