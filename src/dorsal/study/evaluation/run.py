"""Scores models on images, each as a job; what is scored is not scored again."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Collection, Sequence
from pathlib import Path

from dorsal.jobs.clock import Amount, Clock
from dorsal.jobs.device import with_device
from dorsal.jobs.evaluate import ModelPlan, evaluate_job, time_evaluation
from dorsal.jobs.events import EvaluationStart, Note
from dorsal.jobs.execution import OnEvent, do_jobs, engine_of, tell
from dorsal.jobs.forecast import START_UP_SECONDS, Forecast
from dorsal.jobs.json_file import write_record
from dorsal.jobs.kept import check_disk, predictions_needed
from dorsal.jobs.lock import hold
from dorsal.jobs.machine import machine, versions
from dorsal.jobs.plan import Evaluate
from dorsal.jobs.records import Machine, ModelScore
from dorsal.jobs.resources import Resources
from dorsal.jobs.scores import SCORES_FILE, ScoreRow, Scores, read_scores
from dorsal.jobs.store import Categories, Domains, Store, Values
from dorsal.jobs.study_file import OF_A_MODEL, refuse_others, storage_url
from dorsal.jobs.timings import time_jobs
from dorsal.study.evaluation.plan import notes_of, plan_evaluations
from dorsal.study.evaluation.question import Evaluation

STORE = "evaluate"
"""The name of the store's studies."""


def evaluate_models(question: Evaluation, *, on_event: OnEvent = lambda _: None) -> Scores:
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
    refuse_others(folder, *OF_A_MODEL)
    before = read_scores(folder)
    plans, place = plan_evaluations(question), with_device(question.resources)
    tell(notes_of(plans), on_event)
    engine = engine_of(place, functools.partial(evaluate_job, place=place))
    with hold(folder), Store(storage_url(folder, None), STORE) as store:
        done = _scored(store)
        distinct = {plan.job.key: plan for plan in plans}
        if before:
            _tell_replaced(before, distinct.keys(), done, folder, on_event)
        left = [plan for key, plan in distinct.items() if key not in done]
        workers = max(min(engine.capacity(), len(left)), 1) if left else 1
        here = machine(place.device, workers, place.threads)
        seconds = _forecast_seconds(left, place, here, folder, on_event)
        disk = sum(predictions_needed(plan.images, plan.card.task, len(plan.card.known.classes)) for plan in left)
        check_disk(folder, disk, models=False)
        amounts = {plan.job.key: Amount(plan.job.key) for plan in left}
        clock = Clock(amounts, seconds, workers, done=len(distinct) - len(left))
        takes = clock.seconds_left() + START_UP_SECONDS if left else 0.0
        on_event(
            EvaluationStart(plans[0].summary, Forecast(clock.total, clock.done, takes, workers, {}, disk), place.device)
        )
        describe = functools.partial(_describe, names=tuple(plan.job.name for plan in distinct.values()))
        do_jobs(engine, [plan.job for plan in left], clock, store, folder, describe, on_event)
        scores = Scores(
            data=question.data,
            split=question.split,
            models=_models(plans, store),
            machine=here,
            versions=versions(),
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        )
        write_record(folder / SCORES_FILE, scores)
    return scores


def _scored(store: Store) -> dict[str, ModelScore]:
    """The models that have a score, by the keys of their jobs."""
    outcomes = store.outcomes().items()
    return {key: found for key, found in outcomes if isinstance(found, ModelScore) and found.score is not None}


def _tell_replaced(
    before: Scores, now: Collection[str], done: Collection[str], folder: Path, on_event: OnEvent
) -> None:
    """Says what is reused and what is replaced, where `scores.json` holds scores that nobody asks for now."""
    then = {each.result.key: each.images for each in before.models}
    if other := [images for key, images in then.items() if key not in now]:
        on_event(
            Note(
                f"{folder} holds scores on {other[0]}: {len(set(now) & set(done))} of the {len(now)} asked for now are "
                f"reused; {SCORES_FILE} is replaced, without {len(other)} of its scores, which stay in the store"
            )
        )


def _forecast_seconds(
    plans: Sequence[ModelPlan], place: Resources, here: Machine, folder: Path, on_event: OnEvent
) -> dict[str, float]:
    """What each job takes, from a few images through each network; 0 where that fails, as the job itself soon will."""
    alike = {
        plan.job.key: f"{plan.card.network_hash} {plan.preprocessing.image_size} {plan.job.digest} {plan.job.batch}"
        for plan in plans
    }
    first = {alike[plan.job.key]: plan.job for plan in reversed(plans)}
    known = time_jobs(folder, first, functools.partial(time_evaluation, place=place), float, place, here, on_event)
    return {key: known.get(like, 0.0) for key, like in alike.items()}


def _describe(job: Evaluate, names: tuple[str, ...]) -> tuple[Domains, Values]:
    """A job in terms of the store's parameters."""
    return {"model": Categories(names)}, {"model": job.name}


def _models(plans: Sequence[ModelPlan], store: Store) -> tuple[ScoreRow, ...]:
    """Every model with what came of it."""
    outcomes = store.outcomes()
    return tuple(
        ScoreRow(
            name=plan.job.name,
            model=plan.job.model,
            network=plan.card.text,
            classes=plan.card.label_names,
            preprocessing=plan.preprocessing,
            images=plan.summary,
            result=found,
            task=plan.card.task,
        )
        for plan in plans
        if isinstance(found := outcomes.get(plan.job.key), ModelScore)
    )
