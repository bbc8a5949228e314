"""Scores models on images, each as a job; what is scored is not scored again."""

from __future__ import annotations

import contextlib
import datetime
import functools
from collections.abc import Collection, Generator, Sequence
from pathlib import Path

from dorsal.jobs.child_process import ChildProcess
from dorsal.jobs.engine import Report, WorkerDeath
from dorsal.jobs.evaluate import ModelPlan, assess, time_evaluation
from dorsal.jobs.events import AssessmentEnd, Note, Progress, ScoringStart
from dorsal.jobs.execution import OnEvent, do_jobs, engine_of
from dorsal.jobs.forecast import START_UP_SECONDS, Countdown, Forecast, makespan
from dorsal.jobs.json_file import write_record
from dorsal.jobs.kept import check_disk, predictions_needed
from dorsal.jobs.lock import hold
from dorsal.jobs.machine import machine, versions
from dorsal.jobs.plan import Evaluate
from dorsal.jobs.records import Assessment
from dorsal.jobs.resources import LOCAL_CLUSTER, Resources
from dorsal.jobs.scoreboard import SCOREBOARD_FILE, ModelScore, Scoreboard, read_scoreboard
from dorsal.jobs.store import Categories, Domains, Store, Values
from dorsal.jobs.study_file import refuse_studies, storage_url
from dorsal.jobs.train import with_device
from dorsal.recipes.epoch import Step
from dorsal.study.scoring.plan import plan_scoring
from dorsal.study.scoring.question import Scoring

STORE = "evaluate"
"""The name of the store's studies."""


def score_models(question: Scoring, *, on_event: OnEvent = lambda _: None) -> Scoreboard:
    """Scores the models that are asked for, and leaves scores and predictions in the question's folder.

    Interrupted at any point, the same call goes on: a model that has been scored on these images is not scored again,
    one that could not be is tried again. Other questions may be asked of the same folder; `scores.json` is then of the
    last, and a note says what that replaces. Scripts call this under `if __name__ == "__main__"`, because workers
    import the main module. On a cluster the nodes read models and images from the same paths.

    Raises ValueError before any work for an invalid question, a folder without a model, data with classes that a model
    has not, or a folder that holds a study or that another process holds; OSError when the disk is full, with all
    stored intact.
    """
    folder = question.folder
    refuse_studies(folder)
    before = read_scoreboard(folder)
    plans, place = plan_scoring(question), with_device(question.resources)
    for text in dict.fromkeys(note for plan in plans for note in plan.notes):
        on_event(Note(text))
    engine = engine_of(place, functools.partial(assess, place=place))
    with hold(folder), Store(storage_url(folder, None), STORE) as store:
        done = _scored(store)
        distinct = {plan.job.key: plan for plan in plans}
        if before:
            _tell_replaced(before, distinct.keys(), done, folder, on_event)
        left = [plan for key, plan in distinct.items() if key not in done]
        workers = max(min(engine.capacity(), len(left)), 1) if left else 1
        seconds = _forecast_seconds(left, place, on_event)
        disk = sum(predictions_needed(plan.images, len(plan.card.classes)) for plan in left)
        check_disk(folder, disk, models=False)
        takes = makespan(seconds.values(), workers) + START_UP_SECONDS if left else 0.0
        ahead = Forecast(len(distinct), len(distinct) - len(left), takes, workers, {}, disk)
        on_event(ScoringStart(plans[0].summary, ahead, place.device))
        describe = functools.partial(_describe, names=tuple(plan.job.name for plan in distinct.values()))
        reports = do_jobs(engine, [plan.job for plan in left], store, folder, describe)
        _tell(reports, Countdown(seconds, workers), ahead, on_event)
        board = Scoreboard(
            data=question.data,
            split=question.split,
            models=_models(plans, store),
            machine=machine(place.device, workers, place.threads),
            versions=versions(),
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        )
        write_record(folder / SCOREBOARD_FILE, board)
    return board


def _scored(store: Store) -> dict[str, Assessment]:
    """The models that have a score, by the keys of their jobs."""
    outcomes = store.outcomes().items()
    return {key: found for key, found in outcomes if isinstance(found, Assessment) and found.score is not None}


def _tell_replaced(
    before: Scoreboard, now: Collection[str], done: Collection[str], folder: Path, on_event: OnEvent
) -> None:
    """Says what is reused and what is replaced, where `scores.json` holds scores that nobody asks for now."""
    then = {each.assessment.key: each.images for each in before.models}
    if other := [images for key, images in then.items() if key not in now]:
        on_event(
            Note(
                f"{folder} holds scores on {other[0]}: {len(set(now) & set(done))} of the {len(now)} asked for now are "
                f"reused; {SCOREBOARD_FILE} is replaced, without {len(other)} of its scores, which stay in the store"
            )
        )


def _forecast_seconds(plans: Sequence[ModelPlan], place: Resources, on_event: OnEvent) -> dict[str, float]:
    """What each job takes, from a few images through each network; 0 where that fails, as the job itself soon will."""
    if plans and place.ray not in (None, LOCAL_CLUSTER):
        on_event(Note("the forecast is from times of this machine, not of the cluster"))
    known: dict[tuple[str, int, str], float] = {}
    seconds: dict[str, float] = {}
    with ChildProcess(functools.partial(time_evaluation, place=place), place.threads) as call:
        for plan in plans:
            like = plan.card.network_hash, plan.preprocessing.image_size, plan.job.digest
            if like not in known:
                match call(plan.job):
                    case WorkerDeath(why) | str(why):
                        on_event(Note(f"{plan.job.name} could not be timed: {why}"))
                        known[like] = 0.0
                    case found:
                        known[like] = found
            seconds[plan.job.key] = known[like]
    return seconds


def _describe(job: Evaluate, names: tuple[str, ...]) -> tuple[Domains, Values]:
    """A job in terms of the store's parameters."""
    return {"model": Categories(names)}, {"model": job.name}


def _tell(reports: Generator[Report[Evaluate]], clock: Countdown, ahead: Forecast, on_event: OnEvent) -> None:
    """Does the jobs, and tells of them."""
    done = ahead.done
    with contextlib.closing(reports):
        for report in reports:
            job = report.job
            match report.what:
                case Step() as step:
                    clock.moved(job.key, step.step / step.steps)
                    on_event(Progress(report.worker, job, step, clock.seconds_left()))
                case WorkerDeath(reason):
                    clock.moved(job.key, 0.0)
                    on_event(Note(f"{job.name}: {reason}; it is scored again"))
                case Assessment() as found:
                    clock.ended(job.key, None if found.score is None else found.seconds)
                    done += 1
                    on_event(AssessmentEnd(job, found, done, ahead.runs, clock.seconds_left()))


def _models(plans: Sequence[ModelPlan], store: Store) -> tuple[ModelScore, ...]:
    """Every model with what came of it."""
    outcomes = store.outcomes()
    return tuple(
        ModelScore(
            name=plan.job.name,
            model=plan.job.model,
            network=plan.card.text,
            classes=plan.card.classes,
            preprocessing=plan.preprocessing,
            images=plan.summary,
            assessment=found,
        )
        for plan in plans
        if isinstance(found := outcomes.get(plan.job.key), Assessment)
    )
