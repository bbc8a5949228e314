"""Events of a running study, for progress displays. Frozen data; rendering is elsewhere."""

from __future__ import annotations

import msgspec

from dorsal.jobs.forecast import Forecast
from dorsal.jobs.plan import Job
from dorsal.jobs.records import Arm, Outcome
from dorsal.recipes.epoch import Step


class StudyStart(msgspec.Struct, frozen=True):
    """Before the first run: the arms with their measured latencies, what the runs will take, and on which device."""

    arms: tuple[Arm, ...]
    forecast: Forecast
    device: str


class Progress(msgspec.Struct, frozen=True):
    """Where a worker, counted from 0, stands with its job; comes a few times a second. The steps of an evaluation are
    batches. `seconds_left` is for all jobs together.
    """

    worker: int
    job: Job
    step: Step
    seconds_left: float


class JobEnd(msgspec.Struct, frozen=True):
    """A job has ended and its outcome is in the store; `done` of `total` are now. `seconds_left` is for all of them."""

    job: Job
    outcome: Outcome
    done: int
    total: int
    seconds_left: float


class Note(msgspec.Struct, frozen=True):
    """One sentence worth knowing."""

    text: str


class Remark(msgspec.Struct, frozen=True):
    """A value worth knowing, which `report.words` puts into a sentence. `about` says of what it is, or is empty."""

    value: msgspec.Struct
    about: str = ""


class EvaluationStart(msgspec.Struct, frozen=True):
    """Before the first model is scored: which images, what all of it will take, and on which device."""

    summary: str
    forecast: Forecast
    device: str


class Stage(msgspec.Struct, frozen=True):
    """How far something has come that is no job: `done` of `total` parts of it."""

    doing: str
    done: int
    total: int


Event = StudyStart | EvaluationStart | Progress | JobEnd | Note | Remark | Stage
