"""Makes a model in all forms, times them side by side, proves them, and leaves the fastest right one as a bundle."""

from __future__ import annotations

import contextlib
import datetime
import functools
import hashlib
import shutil
import tempfile
from pathlib import Path

import msgspec
import numpy as np
from msgspec.structs import replace

from dorsal.data.spec import format_data
from dorsal.deploy.bundle import BUNDLE_FILE, SCRIPT, SOURCE, is_bundle, read_bundle, write_bundle
from dorsal.deploy.quantize import FEWEST
from dorsal.jobs.evaluate import plan_evaluation, training_images
from dorsal.jobs.events import Event, Note
from dorsal.jobs.execution import OnEvent
from dorsal.jobs.forms import Calibration
from dorsal.jobs.json_file import read_record, write_record
from dorsal.jobs.lock import hold
from dorsal.jobs.machine import instructions, machine, runtime_versions, versions
from dorsal.jobs.make_form import copy_model
from dorsal.jobs.study_file import refuse_others
from dorsal.jobs.twin import write_twin
from dorsal.study.deployment.making import Effort, Making, Prepared
from dorsal.study.deployment.question import Deployment, command_line
from dorsal.study.deployment.readme import bundle_readme
from dorsal.study.deployment.records import DEPLOYMENT_FILE, DEPLOYMENT_SCHEMA, DeploymentStudy
from dorsal.study.deployment.saved import read_deployment

_WORK = ".work"
_ORDER = 15
"""The seed of the order of calibration images."""
_HELD_SHARE = 0.5
"""Half as many images as calibrate show which ranges are good, and whether a form says what the model says."""


_WHOLE, _TEST = Effort(20, None, True), Effort(2, 24, False)


def deploy(question: Deployment, *, on_event: OnEvent = lambda _: None) -> DeploymentStudy:
    """Deploys a model: the fastest form of it that is right is in the question's folder then, with `deployment.json`.

    All of it is tried on a small network of the same grammar first. Each form is made and called in another process, so
    that none can end this one. Interrupted at any point, the same call goes on: what is made and proven is kept, and
    all is timed anew, side by side. Scripts call this under `if __name__ == "__main__"`, because workers import the
    main module.

    Raises ValueError before any work for an invalid question, a folder without a model, data with classes that the
    model has not, too few images, or a folder that holds something else or that another process holds; OSError when the
    disk is full, with nothing that looks like a deployed model.
    """
    source = Path(question.model)
    if question.again:
        question, source = _as_before(question), source / SOURCE
    if question.test:
        return _try(question, source, on_event)
    folder = question.folder
    refuse_others(folder, BUNDLE_FILE, DEPLOYMENT_FILE)
    prepared = _prepare(question, source, _WHOLE)
    if (before := _ended(question, prepared.key)) is not None:
        on_event(Note(f"{folder} holds this already; nothing is done"))
        return before
    with hold(folder):
        on_event(Note("all of it is tried on a small network of the same grammar first"))
        _try(question, source, on_event)
        return _deploy(question, prepared, folder, on_event)


def _as_before(question: Deployment) -> Deployment:
    """The question of a bundle that is deployed again: what it leaves at its default is as it was asked before."""
    before = read_deployment(Path(question.model))
    asked = {"data": format_data(before.calibration.data), "calibration": len(before.calibration.places)}
    asked |= {field: getattr(before, field) for field in ("split", "batch", "aim", "max_drop", "accept_unshown")}
    defaults = {each.name: each.default for each in msgspec.structs.fields(Deployment)}
    return replace(
        question, **{field: value for field, value in asked.items() if getattr(question, field) == defaults[field]}
    )


def _try(question: Deployment, source: Path, on_event: OnEvent) -> DeploymentStudy:
    """Deploys the small twin of a model, in a folder that is deleted then, and tells which forms fail."""
    with tempfile.TemporaryDirectory() as folder:
        twin = Path(folder, "twin")
        write_twin(source, twin)
        asked = replace(question, model=str(twin), again=False, accept_unshown=True, test=False, calibration=16)
        hear = on_event if question.test else _nothing
        study = _deploy(asked, _prepare(asked, twin, _TEST), Path(folder, "deployed"), hear)
    for each in study.forms:
        if each.fate == "failed":
            on_event(Note(f"{each.candidate.form.name} fails on a small network: {each.candidate.error}"))
    return replace(study, command=command_line(question), model=question.model)


def _nothing(_: Event) -> None:
    """Tells nobody."""


def _ended(question: Deployment, key: str) -> DeploymentStudy | None:
    """What the folder holds if it is the answer to this question. Raises ValueError where it is to another one."""
    folder = question.folder
    found = read_record(folder / DEPLOYMENT_FILE, DeploymentStudy, DEPLOYMENT_SCHEMA, "deployment")
    if found is None or (found.kept is not None and not is_bundle(folder)):
        return None
    if found.key == key:
        return found
    if found.command != command_line(question):
        raise ValueError(f"out={str(folder)!r} holds another deployed model, of `{found.command}`; name another folder")
    raise ValueError(
        f"out={str(folder)!r} holds what came of this command with other weights, other images or other versions of "
        "the runtimes; delete it, or name another folder"
    )


def _prepare(question: Deployment, source: Path, effort: Effort) -> Prepared:
    """Chooses the images. Forms are proven on images that training holds out, where there are such and nothing else is
    asked. Those of the training split calibrate unless they are among what proves; else some of the images do, and the
    others prove."""
    count, held = question.calibration, round(_HELD_SHARE * question.calibration)
    plan_of = functools.partial(plan_evaluation, str(source), question.model, question.data)
    plan = plan_of(question.split, None, None)
    if question.split is None and plan.has_training:
        with contextlib.suppress(ValueError):  # images that are too few to hold some out
            plan = plan_of("val", None, None)
    learnt = None if plan.has_training else training_images(plan)
    there = plan.images if learnt is None else learnt[0]
    spare = 2 if learnt is None else 0  # to prove on
    if there < count + held + spare:
        most = int((there - spare) / (1 + _HELD_SHARE))
        nearest = f"nearest valid: calibration={most}" if most >= FEWEST else "they are too few to deploy by"
        raise ValueError(
            f"calibration={count} takes {count + held} images, {held} of them to see which ranges are good, and the "
            f"data have {max(there - spare, 0)} for it; {nearest}"
        )
    taken = np.random.default_rng(_ORDER).permutation(there)[: count + held].tolist()
    only = list(range(plan.images)) if learnt is not None else sorted(set(range(plan.images)) - set(taken))
    only = only[: effort.images]
    if len(only) < plan.images:
        plan = plan_of(plan.job.split, None, None, only=tuple(only))
    calibration = Calibration(
        data=plan.job.data,
        split=plan.job.split if learnt is None else "train",
        places=tuple(taken[:count]),
        held=tuple(taken[count:]),
    )
    asked, runtimes = command_line(replace(question, out="")), {"torch": versions()["torch"]} | runtime_versions()
    parts = [asked, plan.job.key, learnt, calibration, runtimes]
    key = hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:16]
    return Prepared(source, plan, calibration, effort, key)


def _deploy(question: Deployment, prepared: Prepared, folder: Path, on_event: OnEvent) -> DeploymentStudy:
    work = folder / _WORK
    work.mkdir(parents=True, exist_ok=True)
    making = Making(question, prepared, work, on_event)
    inputs = making.inputs()
    candidates = making.candidates()
    judged, others = making.judged(candidates)
    if mixed := making.mixed(judged):
        judged, others = making.judged([*candidates, *mixed])
    kept = next((each.candidate for each in judged if each.fate == "chosen"), None)
    pixels = None if kept is None else making.pixels(kept)
    plan, card, place = prepared.plan, prepared.plan.card, machine("cpu", 1, question.cores)
    study = DeploymentStudy(
        key=prepared.key,
        command=command_line(question),
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        model=question.model,
        network=card.text,
        license=card.license,
        task=card.task,
        split=plan.job.split,
        images=f"{plan.images:,} of {plan.summary}" if plan.job.only else plan.summary,
        score=making.score(),
        calibration=prepared.calibration,
        batch=question.batch,
        threads=question.cores,
        aim=question.aim,
        max_drop=question.max_drop,
        accept_unshown=question.accept_unshown,
        shape=inputs[0].shape,
        rounds=prepared.effort.rounds,
        others=others,
        machine=place,
        instructions=instructions(),
        versions=versions() | runtime_versions(),
        forms=judged,
        pixels=pixels,
    )
    if study.kept is not None:
        made = making.folder_of(study.kept.candidate.form, pixels is not None and pixels.taken)
        _write_bundle(folder, made, prepared.source, study)
    else:
        write_record(folder / DEPLOYMENT_FILE, study)
    shutil.rmtree(work)
    return study


def _write_bundle(folder: Path, made: Path, source: Path, study: DeploymentStudy) -> None:
    """Writes all of the bundle into the folder, its record last."""
    bundle = read_bundle(made)
    for name in (*bundle.files, SCRIPT):
        shutil.copyfile(made / name, folder / name)
    copy_model(source, folder / SOURCE)
    write_record(folder / DEPLOYMENT_FILE, study)
    (folder / "README.md").write_text(bundle_readme(bundle, study), encoding="utf-8")
    write_bundle(folder, bundle)
