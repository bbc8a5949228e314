"""What happens during a comparison, told to whoever watches. Frozen data; rendering is elsewhere."""

from __future__ import annotations

import msgspec

from dorsal.jobs.forecast import Forecast
from dorsal.jobs.records import Arm, Trial


class Planned(msgspec.Struct, frozen=True):
    """Before the first run: the arms with their measured latencies, and what the runs will take."""

    arms: tuple[Arm, ...]
    forecast: Forecast


class WorkerProgress(msgspec.Struct, frozen=True):
    """Where a worker's run stands, a few times a second. `seconds_left` is of the whole comparison.

    `step` of `steps` in `epoch` of `epochs` is done; epochs count from 1, workers from 0.
    """

    worker: int
    arm: str
    recipe: str
    seed: int
    epoch: int
    epochs: int
    step: int
    steps: int
    seconds_left: float


class TrialDone(msgspec.Struct, frozen=True):
    """A run has ended and is in the store; `done` of `total` runs are now. `seconds_left` is for all runs together."""

    trial: Trial
    done: int
    total: int
    seconds_left: float


class Note(msgspec.Struct, frozen=True):
    """One sentence worth knowing."""

    text: str


Event = Planned | WorkerProgress | TrialDone | Note
