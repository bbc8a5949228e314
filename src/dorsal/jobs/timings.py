"""`timings.json`: what was timed of a study's runs, written as each is timed, so that none is timed twice."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from dorsal.jobs.child_process import ChildProcess
from dorsal.jobs.engine import WorkerDeath
from dorsal.jobs.events import Event, Note
from dorsal.jobs.forecast import EpochSeconds, RunTiming
from dorsal.jobs.json_file import read_record, write_record
from dorsal.jobs.plan import Run, distinct_runs
from dorsal.jobs.records import Machine
from dorsal.jobs.resources import LOCAL_CLUSTER, Resources
from dorsal.jobs.train import time_run

TIMINGS_FILE = "timings.json"
TIMINGS_SCHEMA = 1

Timings = Mapping[tuple[str, str], RunTiming]
"""By arm label and recipe name; one that could not be timed is left out."""


class TimingsFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the file holds: timings by run and machine."""

    timings: dict[str, RunTiming]
    schema: int = TIMINGS_SCHEMA


def time_runs(
    folder: Path,
    runs: Sequence[Run],
    place: Resources,
    here: Machine,
    on_event: Callable[[Event], None],
    on_timing: Callable[[Timings], None] = lambda _: None,
) -> Timings:
    """What each of these runs takes on this machine: as the folder knows it, or else timed now and kept there at once.

    A run that cannot be timed is reported in a Note and left out. `on_timing` hears what is known before
    anything is timed and after each.
    """
    kept = read_record(folder / TIMINGS_FILE, TimingsFile, TIMINGS_SCHEMA, "file of timings")
    known = dict(kept.timings) if kept else {}
    new = [run for run in distinct_runs(runs) if _key(run, place, here) not in known]

    def found() -> Timings:
        return {(run.arm, run.recipe_name): known[key] for run in runs if (key := _key(run, place, here)) in known}

    on_timing(found())
    if new and place.ray not in (None, LOCAL_CLUSTER):
        on_event(Note("the forecast is from times of this machine, not of the cluster"))
    with ChildProcess(functools.partial(time_run, place=place), place.threads) as call:
        for run in new:
            match call(run):
                case RunTiming() as timing:
                    known[_key(run, place, here)] = timing
                    write_record(folder / TIMINGS_FILE, TimingsFile(known))
                    on_timing(found())
                case WorkerDeath(why) | str(why):
                    on_event(Note(f"{run.arm}, {run.recipe_name} could not be timed: {why}"))
    return found()


def _key(run: Run, place: Resources, here: Machine) -> str:
    """Names a run and all that its time depends on."""
    where = f"{here.device} {here.threads} {here.processor} {here.accelerator}"
    return f"{run.key} {where} {place.loader_processes}"


def epoch_seconds(timings: Timings) -> EpochSeconds:
    """The seconds of an epoch that were timed."""
    return {pair: timing.epoch_seconds for pair, timing in timings.items()}
