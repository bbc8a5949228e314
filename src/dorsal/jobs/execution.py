"""From a plan to records, whoever asked for it: time, forecast, make the runs not made yet, store each as it ends."""

from __future__ import annotations

import contextlib
import datetime
import functools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec
from msgspec.structs import replace

from dorsal.jobs.budget import Budget
from dorsal.jobs.clock import Amount, Clock
from dorsal.jobs.engine import AnyJob, Engine, LocalPool, Predictions, Work, WorkerDeath
from dorsal.jobs.epoch_time import predict_epochs
from dorsal.jobs.events import Event, JobEnd, Note, Progress, Remark, StudyStart
from dorsal.jobs.forecast import EpochSeconds, forecast, with_ended
from dorsal.jobs.kept import check_disk, write_predictions
from dorsal.jobs.lock import hold
from dorsal.jobs.machine import available_cores, machine, precision_remarks, versions
from dorsal.jobs.plan import Plan, Run, checkpoint_file, distinct_runs
from dorsal.jobs.ray_engine import RayCluster
from dorsal.jobs.records import Arm, Kind, Machine, Study, Trial
from dorsal.jobs.remarks import BudgetCut, SeveralSettings, StudyRemark, recipe_remarks
from dorsal.jobs.resources import LOCAL_CLUSTER, Resources
from dorsal.jobs.shown import write_shown
from dorsal.jobs.store import Domains, Store, Values
from dorsal.jobs.study_file import StudyFile, read_study_file, storage_of, storage_url, write_study_file
from dorsal.jobs.timings import Timings, epoch_seconds, time_runs
from dorsal.jobs.train import run_trial
from dorsal.language.amounts import MARGIN
from dorsal.recipes.epoch import Epoch, Step
from dorsal.spec.timm import TimmNetwork

OnEvent = Callable[[Event], None]
Decision = TypeVar("Decision")


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan needs to be carried out.

    - `timed`: runs of the plan to time for the forecast; the epochs of others are predicted from theirs.
    - `part`: the plan cut to its first n `part_name` ("seeds for every arm and recipe"), n from 1 to `parts`, which is
      the whole plan; a budget is met so. What has ended stays in the plan.
    - `describe`: what a run is in terms of the store's parameters.
    - `folder`: of the store, the checkpoints, and `file`, in which the plan is kept.
    - `keep_models`: whether the model of every finished run is kept as a folder.
    - `variants`: recipes whose epochs take so many times as long as those of another recipe, by name. They are not
      timed, and what is to be said of the other recipe is not said of them.
    - `margin`, `most_seeds`: as in `Study`.
    - `kind`: of the question. `name`, `command`, `budget`: as in `Comparison`. `storage`: None means the one that the
      folder already uses.
    """

    plan: Plan
    timed: tuple[Run, ...]
    part: Callable[[Plan, int], Plan]
    parts: int
    part_name: str
    describe: Callable[[Run], tuple[Domains, Values]]
    place: Resources
    folder: Path
    file: str
    kind: Kind
    name: str
    command: str
    storage: str | None
    budget: str | None
    keep_models: bool = True
    variants: Mapping[str, tuple[str, float]] = {}
    margin: float = MARGIN
    most_seeds: int | None = None


class Outlook(NamedTuple):
    """What is known before the first run: the keys of runs that have `ended`, how many `workers` make the others, and
    the seconds of an epoch of every arm and recipe that was `timed`."""

    ended: Collection[str]
    workers: int
    timed: EpochSeconds

    def epochs(self, plan: Plan, variants: Mapping[str, tuple[str, float]]) -> EpochSeconds:
        """The seconds of an epoch of every arm and recipe of a plan; `variants` as in `Execution`."""
        return predict_epochs(plan, with_variants(self.timed, variants))


@contextlib.contextmanager
def _holding(folder: Path, check: Callable[[], None]) -> Iterator[None]:
    """Holds the folder, unless `check` refuses what it finds there; then nothing but a lock is left."""
    with hold(folder):
        check()
        yield


def look_ahead(
    execution: Execution, on_event: OnEvent, check: Callable[[], None], decide: Callable[[Outlook], Decision]
) -> Decision:
    """What `decide` makes of what is known before the first run. It may refuse (ValueError), and then nothing is left;
    else the plan is in the folder from now on.

    `check` and what is raised are as in `execute`.
    """
    engine, folder, place = engine_of(execution.place, training(execution)), execution.folder, execution.place
    with _holding(folder, check), Store(storage_url(folder, execution.storage), execution.name) as store:
        ended = {key for key, trial in store.trials().items() if trial.status != "failed"}
        here = machine(place.device, max(engine.capacity(), 1), place.threads)
        timings = time_runs(folder, _quickest_first(execution), place, here, on_event)
        decision = decide(Outlook(ended, here.workers, _all_timed(execution, timings)))
        if read_study_file(folder, execution.file) is None:
            keep(execution, execution.plan, ended, here)
        return decision


def execute(
    execution: Execution,
    on_event: OnEvent,
    *,
    check: Callable[[], None] = lambda: None,
    write: Callable[[], None] = lambda: None,
    only: Collection[str] | None = None,
) -> None:
    """Makes every run of the plan that has not ended yet. Interrupted at any point, the same call goes on.

    Once this process holds the folder, `check` may refuse what it finds there; `write` writes what belongs beside the
    plan, when nothing is refused any more. `only` are the keys of the runs to make for now, where these are not all.

    Raises ValueError for a budget that is too small, a folder that another process holds or that cannot be written, a
    store of another schema, another storage than the folder's study has, a cluster that cannot be reached; OSError when
    the disk is full, with all stored intact.
    """
    asked, folder, place = execution.plan, execution.folder, execution.place
    engine = engine_of(place, training(execution))
    with _holding(folder, check), Store(storage_url(folder, execution.storage), execution.name) as store:
        ended = {key for key, trial in store.trials().items() if trial.status != "failed"}
        if before := read_study_file(folder, execution.file):
            _tell_replaced(before.study, asked, folder, ended, on_event)
        left = len({run.key for run in asked.runs} - ended)
        here = machine(place.device, max(min(engine.capacity(), left), 1) if left else 1, place.threads)
        budget = _budget(execution, ended, here.workers)
        timings = time_runs(
            folder,
            _quickest_first(execution),
            place,
            here,
            on_event,
            lambda known: budget.check(with_variants(epoch_seconds(known), execution.variants)) if budget else None,
        )
        predicted = predict_epochs(asked, with_variants(_all_timed(execution, timings), execution.variants))
        todo, cut = budget.fitting(predicted) if budget else (asked, None)
        todo = with_ended(todo, asked, ended)
        todo = replace(todo, arms=_with_latencies(todo, timings))
        coming = forecast(todo, predicted, ended, here.workers, execution.keep_models)
        check_disk(folder, coming.disk_bytes, execution.keep_models)
        write()
        study = keep(execution, todo, ended, here, cut)
        tell_remarks(study, on_event)
        runs = distinct_runs(todo.runs)
        on_event(StudyStart(todo.arms, coming, place.device))
        waiting = [run for run in runs if run.key not in ended]
        amounts = {run.key: Amount((run.arm, run.recipe_name), run.recipe.epochs) for run in waiting}
        clock = Clock(amounts, predicted, here.workers, done=len(runs) - len(amounts))
        now = runs if only is None else tuple(run for run in runs if run.key in only)
        make_runs(execution, now, ended, engine, clock, store, on_event)


def tell(notes: Iterable[str], on_event: OnEvent) -> None:
    """Says what is to know of the data, once they are open."""
    for text in notes:
        on_event(Note(text))


def tell_remarks(study: Study, on_event: OnEvent) -> None:
    """Says what else a reader of the study should know."""
    for remark in study.remarks:
        on_event(Remark(remark))


def training(execution: Execution) -> Work[Run]:
    """What a worker does with a run of this study."""
    return functools.partial(
        run_trial,
        folder=execution.folder.resolve(),
        place=execution.place,
        keep_models=execution.keep_models,
    )


def engine_of(place: Resources, work: Work[AnyJob]) -> Engine[AnyJob]:
    """The engine that does jobs by `work` there. Raises ModuleNotFoundError where Ray is wanted and not installed."""
    if place.ray is None:
        room = available_cores() // place.threads if place.device == "cpu" else 1
        return LocalPool(place.workers or max(room, 1), place.threads, work)
    return RayCluster(
        None if place.ray == LOCAL_CLUSTER else place.ray,
        work,
        cpus=place.threads,
        gpus=place.gpus,
        processes=place.processes,
        most_at_once=place.workers,
    )


def keep(
    execution: Execution,
    todo: Plan,
    ended: Collection[str],
    here: Machine,
    cut: BudgetCut | None = None,
) -> Study:
    """Writes the plan as it is about to be carried out here, and returns it. `cut` is what a budget left out."""
    before = read_study_file(execution.folder, execution.file)
    settings = _settings(todo, execution.place, ended, here, before)
    place = execution.place
    recipes = {name: recipe for name, recipe in todo.recipes.items() if name not in execution.variants}
    remarks: list[StudyRemark] = [*todo.remarks, *recipe_remarks(recipes, todo.data.train_images)]
    remarks += precision_remarks(place.device, place.precision) if place.ray is None else []
    remarks += [cut] if cut else []
    remarks += [SeveralSettings(settings)] if settings[1:] else []
    if before and all(run.key in ended for run in todo.runs):  # nothing runs here
        here, made_with = before.study.machine, before.study.versions
    else:
        made_with = versions()
    study = _study(execution, todo, here, made_with, tuple(remarks), before)
    storage = storage_of(execution.folder, execution.storage) or ""
    saved = StudyFile(study, storage, settings)
    write_study_file(execution.folder, saved, execution.file)
    return study


def do_jobs(
    engine: Engine[AnyJob],
    jobs: Sequence[AnyJob],
    clock: Clock,
    store: Store,
    folder: Path,
    describe: Callable[[AnyJob], tuple[Domains, Values]],
    on_event: OnEvent,
    more: Callable[[], Sequence[AnyJob]] | None = None,
) -> None:
    """Does jobs of any kind, and tells of them.

    An outcome is in the store before anyone is told of it, and what was said of each image is in its file beside it.
    `describe` says what a job is in terms of the store's parameters. `more` gives jobs that are not known yet, as in
    `Engine.run_all`.
    """
    said = dict[str, Predictions]()

    def following() -> Sequence[AnyJob]:
        new = more() if more else ()
        clock.add(job.key for job in new)
        return new

    with contextlib.closing(engine.run_all(jobs, following if more else None)) as reports:
        for report in reports:
            job = report.job
            match report.what:
                case Step() as step:
                    clock.moved(job.key, step)
                    on_event(Progress(report.worker, job, step, clock.seconds_left()))
                case Epoch(epoch=epoch, seconds=seconds):
                    clock.measured(job.key, seconds)
                    clock.moved(job.key, Step(epoch, 1, 1))
                case Note() as note:
                    on_event(note)
                case WorkerDeath(reason):
                    again = "goes on from its checkpoint"
                    if not isinstance(job, Run):
                        clock.restarted(job.key)
                        again = "is done again"
                    on_event(Note(f"{job.name}: {reason}; it {again}"))
                case Predictions() as predictions:
                    said[job.key] = predictions
                case outcome:
                    if job.key in said:
                        kept = said.pop(job.key)
                        write_predictions(folder, job.key, kept.content)
                        if kept.shown:
                            write_shown(folder, job.key, kept.shown)
                    store.add(outcome, *describe(job))
                    told = isinstance(outcome, Trial) and outcome.curve  # its epochs were told one by one
                    if not told and not outcome.error:
                        clock.measured(job.key, outcome.seconds)
                    clock.ended(job.key)
                    on_event(JobEnd(job, outcome, clock.done, clock.total, clock.seconds_left()))


def make_runs(
    execution: Execution,
    runs: Sequence[Run],
    ended: Collection[str],
    engine: Engine[Run],
    clock: Clock,
    store: Store,
    on_event: OnEvent,
    more: Callable[[], Sequence[Run]] | None = None,
) -> None:
    """Makes the runs that have not ended, as `do_jobs` does. A checkpoint goes when its run is in the store."""

    def hear(event: Event) -> None:
        if isinstance(event, JobEnd) and isinstance(event.outcome, Trial) and event.outcome.status != "failed":
            checkpoint_file(execution.folder, event.job.key).unlink(missing_ok=True)
        on_event(event)

    for key in ended:  # left where a run of the study was killed between storing a run and this
        checkpoint_file(execution.folder, key).unlink(missing_ok=True)
    left = [run for run in runs if run.key not in ended]
    do_jobs(engine, left, clock, store, execution.folder, execution.describe, hear, more)


def _tell_replaced(before: Study, asked: Plan, folder: Path, ended: set[str], on_event: OnEvent) -> None:
    """Says what is reused and what is replaced, where the folder holds ended runs that are none of this plan."""
    now, then = {run.key for run in asked.runs}, {run.key for run in before.runs}
    other = then - now
    if other & ended:
        on_event(
            Note(
                f"{folder} holds `{before.command}`: {len(now & ended)} ended runs are reused; plan and report are "
                f"replaced, without {len(other)} of its runs, and what has ended of those stays in the store"
            )
        )


def _budget(execution: Execution, ended: Collection[str], workers: int) -> Budget | None:
    if execution.budget is None:
        return None
    return Budget(
        text=execution.budget,
        cut=functools.partial(execution.part, execution.plan),
        parts=execution.parts,
        part_name=execution.part_name,
        done=ended,
        workers=workers,
    )


def _all_timed(execution: Execution, timings: Timings) -> EpochSeconds:
    """The seconds of an epoch of all that was to be timed; none for what could not be, which will soon fail."""
    return {**{(run.arm, run.recipe_name): 0.0 for run in execution.timed}, **epoch_seconds(timings)}


def with_variants(seconds: EpochSeconds, variants: Mapping[str, tuple[str, float]]) -> EpochSeconds:
    """The seconds of an epoch, and those of recipes that are variants of the ones that were timed."""
    found = dict(seconds)
    for name, (other, times) in variants.items():
        found |= {(arm, name): times * epoch for (arm, recipe), epoch in seconds.items() if recipe == other}
    return found


def _quickest_first(execution: Execution) -> list[Run]:
    """What is to be timed: before all else what every budget has to fit, and there what has the fewest MACs."""
    fit = {run.key for run in execution.part(execution.plan, 1).runs}
    macs = {arm.label: arm.cost.macs for arm in execution.plan.arms}
    return sorted(execution.timed, key=lambda run: (run.key not in fit, macs[run.arm]))


def _with_latencies(todo: Plan, timings: Timings) -> tuple[Arm, ...]:
    """The arms with what was measured under the first recipe, or under their own."""
    first = next(iter(todo.recipes))
    return tuple(
        replace(
            arm,
            forward=timing.forward,
            train_step=timing.train_step,
            trunk_forward=timing.trunk_forward,
            whole=timing.whole,
        )
        if (timing := timings.get((arm.label, arm.recipe or first)))
        else arm
        for arm in todo.arms
    )


def _settings(
    todo: Plan, place: Resources, ended: Collection[str], here: Machine, before: StudyFile | None
) -> tuple[str, ...]:
    """The settings in which runs of this folder were or are about to be made."""
    known = before.settings if before else ()
    found = versions()
    packages = (
        "torch",
        "torchvision",
        *(["timm"] if any(isinstance(arm.network, TimmNetwork) for arm in todo.arms) else []),
    )
    now = ", ".join(f"{package} {found[package]}" for package in packages)
    now += f", {place.device}, {'a Ray cluster' if place.ray else here.processor}, {place.threads} threads a worker"
    now += f", {place.processes} processes a run" if place.processes > 1 else ""
    now += f", {place.precision}" if place.precision != "float32" else ""
    return known if now in known or all(run.key in ended for run in todo.runs) else (*known, now)


def _study(
    execution: Execution,
    todo: Plan,
    here: Machine,
    made_with: dict[str, str],
    remarks: tuple[StudyRemark, ...],
    before: StudyFile | None,
) -> Study:
    return Study(
        kind=execution.kind,
        name=execution.name,
        command=execution.command,
        created=before.study.created if before else datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        arms=todo.arms,
        recipes=dict(todo.recipes),
        seeds=todo.seeds,
        data=todo.data,
        machine=here,
        versions=made_with,
        runs=tuple(run.planned for run in todo.runs),
        notes=todo.data.notes,
        task=todo.data.task,
        remarks=remarks,
        tuning=todo.tuning,
        margin=execution.margin,
        most_seeds=execution.most_seeds,
    )
