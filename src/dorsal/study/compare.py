"""A comparison from question to records: plan, forecast, make the runs not made yet, store each as it ends."""

from __future__ import annotations

import contextlib
import datetime
import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from msgspec.structs import replace

from dorsal.study.comparison import Comparison, command_line
from dorsal.study.engine import Engine, LocalPool, Lost, Step
from dorsal.study.events import Event, Note, Planned, TrialDone, WorkerProgress
from dorsal.study.forecast import Clock, EpochSeconds, Timing, forecast, within_budget
from dorsal.study.lock import hold
from dorsal.study.machine import available_cores, machine, versions
from dorsal.study.plan import Plan, Run, plan, timm_networks
from dorsal.study.records import Arm, Epoch, Machine, Study, Trial
from dorsal.study.run import check_device, data_facts, recipe_facts, run_trial, time_run, timm_facts
from dorsal.study.saved import Saved, load_study, read_saved, run_name, storage_url, write_saved
from dorsal.study.store import Store

OnEvent = Callable[[Event], None]


def compare(comparison: Comparison, *, on_event: OnEvent = lambda _: None) -> Study:
    """Makes every run of the comparison that has not ended yet, and returns the study with all that have.

    Interrupted at any point, by Ctrl-C or by kill -9 of a worker or of this process, the same call goes on where it
    was: ended runs are in the store, others have a checkpoint of their last epoch. A run that fails is recorded while
    the others go on, and made again by the next call. Scripts call this under `if __name__ == "__main__":`, because
    workers import the main module.

    Raises ValueError for a bad question, a budget that is too small, a folder that another process holds or that
    cannot be written, a store of another schema; OSError when the disk is full, with all that was stored intact.
    """
    check_device(comparison.device)
    recipes = [recipe_facts(text, comparison.epochs) for text in comparison.recipes]
    data = data_facts(comparison.data)
    timm = timm_facts(timm_networks(comparison, data), recipes, data.image_size)
    asked = plan(comparison, data, recipes, timm)
    folder = Path(comparison.out)
    with hold(folder), Store(storage_url(folder, comparison.storage), comparison.name) as store:
        ended = {key for key, trial in store.trials().items() if trial.status != "failed"}
        here = machine(comparison.device, _workers(comparison, asked, ended), comparison.threads)
        before = read_saved(folder)
        timings = _timings(asked, here, before.timings if before else {}, on_event)
        epoch_seconds = _epoch_seconds(asked, here, timings)
        todo, note = asked, ""
        if comparison.budget is not None:
            todo, note = within_budget(asked, epoch_seconds, ended, here.workers, comparison.budget)
        todo = replace(todo, arms=_with_latencies(todo, here, timings))
        settings = _settings(todo, ended, here, before)
        notes = [*todo.data.notes, note, _told_apart(settings)]
        study = _study(comparison, todo, here, tuple(filter(None, notes)), before)
        write_saved(folder, Saved(study, tuple(map(run_name, todo.runs)), comparison.storage or "", timings, settings))
        for text in study.notes:
            on_event(Note(text))
        on_event(Planned(todo.arms, forecast(todo, epoch_seconds, ended, here.workers)))
        _make_runs(todo, ended, here, epoch_seconds, store, folder / "checkpoints", on_event)
    return load_study(folder, comparison.storage)


def _make_runs(
    todo: Plan,
    ended: Collection[str],
    here: Machine,
    epoch_seconds: EpochSeconds,
    store: Store,
    checkpoints: Path,
    on_event: OnEvent,
) -> None:
    """Makes the runs that have not ended. Each is in the store before anyone is told of it."""
    for key in ended:  # left where a session was killed between storing a run and this
        (checkpoints / f"{key}.pt").unlink(missing_ok=True)
    left = [run for run in todo.runs if run.key not in ended]
    done = len(todo.runs) - len(left)
    clock = Clock(left, epoch_seconds, here.workers)
    job = functools.partial(run_trial, folder=checkpoints, threads=here.threads, device=here.device)
    engine: Engine = LocalPool(here.workers, here.threads, job)
    arms, recipes = [arm.label for arm in todo.arms], [recipe.name for recipe in todo.recipes]
    with contextlib.closing(engine.run_all(left)) as reports:
        for report in reports:
            run = report.run
            match report.what:
                case Step() as step:
                    on_event(_progress(report.worker, run, step, clock.seconds_left()))
                case Epoch() as epoch:
                    clock.epoch_ended(run, epoch)
                case Note() as note:
                    on_event(note)
                case Lost(reason):
                    on_event(
                        Note(f"{run.arm}, {run.recipe}, seed {run.seed}: {reason}; it goes on from its checkpoint")
                    )
                case Trial() as trial:
                    clock.run_ended(run)
                    store.add(run, trial, arms, recipes)
                    if trial.status != "failed":
                        (checkpoints / f"{run.key}.pt").unlink(missing_ok=True)
                    done += 1
                    on_event(TrialDone(trial, done, len(todo.runs)))


def _progress(worker: int, run: Run, step: Step, seconds_left: float) -> WorkerProgress:
    return WorkerProgress(
        worker=worker,
        arm=run.arm,
        recipe=run.recipe,
        seed=run.seed,
        epoch=step.epoch,
        epochs=run.epochs,
        step=step.step,
        steps=step.steps,
        seconds_left=seconds_left,
    )


def _workers(comparison: Comparison, asked: Plan, ended: Collection[str]) -> int:
    """As many workers as asked for, or as the device has room for, but no more than there are runs to make."""
    left = sum(run.key not in ended for run in asked.runs)
    room = available_cores() // comparison.threads if comparison.device == "cpu" else 1
    return max(min(comparison.workers or room, left), 1)


def _timings(asked: Plan, here: Machine, known: Mapping[str, Timing], on_event: OnEvent) -> dict[str, Timing]:
    """`known`, and a timing for every other pair of an arm and a recipe. One that cannot be timed is left out."""
    timings = dict(known)
    for run in _first_runs(asked):
        key = _timing_key(run, here)
        if key in timings:
            continue
        try:
            timings[key] = time_run(run, threads=here.threads, device=here.device)
        except Exception as error:  # the run will fail as this did, and be recorded, while others go on
            on_event(Note(f"{run.arm}, {run.recipe} could not be timed: {type(error).__name__}: {error}"))
    return timings


def _timing_key(run: Run, here: Machine) -> str:
    return f"{run.key} {here.device} {here.threads} {here.processor}"


def _first_runs(asked: Plan) -> tuple[Run, ...]:
    """One run for each arm and recipe."""
    return tuple(run for run in asked.runs if run.seed == asked.seeds[0])


def _epoch_seconds(asked: Plan, here: Machine, timings: Mapping[str, Timing]) -> dict[tuple[str, str], float]:
    """Seconds of an epoch by arm and recipe; a pair that could not be timed will not take long to fail."""
    measured = {(run.arm, run.recipe): timings.get(_timing_key(run, here)) for run in _first_runs(asked)}
    return {pair: timing.epoch_seconds if timing else 0.0 for pair, timing in measured.items()}


def _with_latencies(todo: Plan, here: Machine, timings: Mapping[str, Timing]) -> tuple[Arm, ...]:
    """The arms with what was measured under the first recipe."""
    firsts = [run for run in _first_runs(todo) if run.recipe == todo.recipes[0].name]
    measured = [timings.get(_timing_key(run, here)) for run in firsts]
    return tuple(
        replace(arm, forward=timing.forward, train_step=timing.train_step) if timing else arm
        for arm, timing in zip(todo.arms, measured, strict=True)
    )


def _settings(todo: Plan, ended: Collection[str], here: Machine, before: Saved | None) -> tuple[str, ...]:
    """The settings in which runs of this folder were or are about to be made."""
    known = before.settings if before else ()
    found = versions()
    packages = ("torch", "torchvision", *(["timm"] if any(arm.network is None for arm in todo.arms) else []))
    now = ", ".join(f"{package} {found[package]}" for package in packages)
    now += f", {here.device}, {here.processor}, {here.threads} threads a worker"
    return known if now in known or all(run.key in ended for run in todo.runs) else (*known, now)


def _told_apart(settings: Sequence[str]) -> str:
    return (
        f"runs were made in different settings, which round differently: {'; '.join(settings)}" if settings[1:] else ""
    )


def _study(comparison: Comparison, todo: Plan, here: Machine, notes: tuple[str, ...], before: Saved | None) -> Study:
    return Study(
        name=comparison.name,
        command=command_line(comparison),
        created=before.study.created if before else datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        arms=todo.arms,
        recipes={recipe.name: recipe.fields for recipe in todo.recipes},
        seeds=todo.seeds,
        epochs={recipe.name: recipe.epochs for recipe in todo.recipes},
        image_size=todo.data.image_size,
        data=todo.data.description,
        data_fingerprint=todo.data.fingerprint,
        classes=todo.data.classes,
        train_images=todo.data.train_images,
        val_images=todo.data.val_images,
        machine=here,
        versions=versions(),
        notes=notes,
    )
