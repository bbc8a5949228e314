"""Events of a running study, for progress displays. Frozen data; rendering is elsewhere."""

from __future__ import annotations

import msgspec

from dorsal.jobs.forecast import Forecast
from dorsal.jobs.plan import Evaluate, Run
from dorsal.jobs.records import Arm, Assessment, Trial
from dorsal.recipes.epoch import Step


class StudyStart(msgspec.Struct, frozen=True):
    """Before the first run: the arms with their measured latencies, what the runs will take, and on which device."""

    arms: tuple[Arm, ...]
    forecast: Forecast
    device: str


class Progress(msgspec.Struct, frozen=True):
    """Where a worker, counted from 0, stands with its run or with the model that it scores, whose steps are batches;
    comes a few times a second. `seconds_left` is of all that is being done.
    """

    worker: int
    run: Run | Evaluate
    step: Step
    seconds_left: float


class TrialEnd(msgspec.Struct, frozen=True):
    """A run has ended and is in the store; `done` of `total` runs are now. `seconds_left` is for all runs together."""

    run: Run
    trial: Trial
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


class VisitEnd(msgspec.Struct, frozen=True):
    """A network has been timed once more, and that is in the store: `done` of `total` visits are made."""

    done: int
    total: int
    seconds_left: float


class ScoringStart(msgspec.Struct, frozen=True):
    """Before the first model is scored: which images, what all of it will take, and on which device."""

    summary: str
    forecast: Forecast
    device: str


class AssessmentEnd(msgspec.Struct, frozen=True):
    """A model has been scored, or could not be, and that is in the store; `done` of `total` models are now."""

    job: Evaluate
    assessment: Assessment
    done: int
    total: int
    seconds_left: float


Event = StudyStart | ScoringStart | Progress | TrialEnd | AssessmentEnd | VisitEnd | Note | Remark
