"""Events of a running study, for progress displays. Frozen data; rendering is elsewhere."""

from __future__ import annotations

import msgspec

from dorsal.jobs.forecast import Forecast
from dorsal.jobs.plan import Run
from dorsal.jobs.records import Arm, Trial
from dorsal.recipes.epoch import Step


class Planned(msgspec.Struct, frozen=True):
    """Before the first run: the arms with their measured latencies, what the runs will take, and on which device."""

    arms: tuple[Arm, ...]
    forecast: Forecast
    device: str


class Progress(msgspec.Struct, frozen=True):
    """Where a worker, counted from 0, stands with its run; comes a few times a second.

    `seconds_left` is of the whole study.
    """

    worker: int
    run: Run
    step: Step
    seconds_left: float


class TrialDone(msgspec.Struct, frozen=True):
    """A run has ended and is in the store; `done` of `total` runs are now. `seconds_left` is for all runs together."""

    run: Run
    trial: Trial
    done: int
    total: int
    seconds_left: float


class Note(msgspec.Struct, frozen=True):
    """One sentence worth knowing."""

    text: str


class Visited(msgspec.Struct, frozen=True):
    """A network has been timed once more, and that is in the store: `done` of `total` visits are made."""

    done: int
    total: int
    seconds_left: float


Event = Planned | Progress | TrialDone | Visited | Note
