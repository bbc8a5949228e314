"""Makes a model in all forms, times them side by side, proves them, and leaves the fastest right one as a bundle."""

from __future__ import annotations

import contextlib
import datetime
import functools
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from dorsal.deploy.bundle import BUNDLE_FILE, SCRIPT, SOURCE, is_bundle, read_bundle, write_bundle
from dorsal.deploy.choose import Candidate, choose
from dorsal.deploy.forms import PRECISIONS, Form, forms_of
from dorsal.deploy.possible import why_not
from dorsal.deploy.proof import drop
from dorsal.deploy.quantize import BIASES, RANGES, Quantization
from dorsal.jobs.child_process import ChildProcess
from dorsal.jobs.engine import LocalPool, Predictions, WorkerDeath
from dorsal.jobs.evaluate import ModelPlan, evaluate_job, plan_evaluation, prepared_images, training_images
from dorsal.jobs.events import Event, Note, Stage
from dorsal.jobs.execution import OnEvent
from dorsal.jobs.forms import BUSY, Calibration, Made, Make
from dorsal.jobs.json_file import read_record, write_record
from dorsal.jobs.kept import contribution, write_predictions
from dorsal.jobs.lock import hold
from dorsal.jobs.machine import instructions, machine, runtime_versions, versions
from dorsal.jobs.make_form import copy_model, make_form, model_bytes, rewrites_in
from dorsal.jobs.records import ModelScore
from dorsal.jobs.resources import Resources
from dorsal.jobs.rivals import Contest, other_work, time_forms, write_inputs
from dorsal.jobs.study_file import refuse_others
from dorsal.jobs.twin import write_twin
from dorsal.language.amounts import show_bytes
from dorsal.recipes.epoch import Step
from dorsal.stats import Contribution
from dorsal.study.deployment.question import Deployment, command_line
from dorsal.study.deployment.readme import bundle_readme
from dorsal.study.deployment.records import DEPLOYMENT_FILE, DEPLOYMENT_SCHEMA, DeploymentStudy

_WORK, _STATE, _INPUTS, _MODEL = ".work", "state.json", "inputs.npz", "model"
_ORDER = 15
"""The seed of the order of calibration images."""
_HELD_SHARE = 0.5
"""Half as many images as calibrate show which ranges are good, and whether a form says what the model says."""


class _Effort(NamedTuple):
    """How much is done: rounds of timing, how many images at most prove a form, None for all, and whether that is tried
    which takes a while whatever the network: compilers, and every recipe of int8."""

    rounds: int
    images: int | None
    is_whole: bool

    def has(self, form: Form) -> bool:
        """Whether a form is tried."""
        return self.is_whole or form.runtime not in ("compile", "aoti")


_WHOLE, _TEST = _Effort(20, None, True), _Effort(2, 24, False)


class _State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is done so far, by the names of forms, so that the same call goes on."""

    command: str
    made: dict[str, Made] = {}
    failed: dict[str, str] = {}
    quantizations: dict[str, Quantization] = {}
    scores: dict[str, ModelScore] = {}
    schema: int = DEPLOYMENT_SCHEMA


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
    source = Path(question.model) / SOURCE if question.again else Path(question.model)
    if question.test:
        return _try(question, source, on_event)
    folder = question.folder
    refuse_others(folder, BUNDLE_FILE, DEPLOYMENT_FILE)
    if (before := _ended(question)) is not None:
        on_event(Note(f"{folder} holds this already; nothing is done"))
        return before
    prepared = _prepare(question, source, _WHOLE)
    with hold(folder):
        on_event(Note("all of it is tried on a small network of the same grammar first"))
        _try(question, source, on_event)
        return _deploy(question, prepared, folder, on_event)


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


class _Prepared(NamedTuple):
    """A question worked out: the model's folder, what forms are proven on, and where ranges come from."""

    source: Path
    plan: ModelPlan
    calibration: Calibration
    effort: _Effort


def _ended(question: Deployment) -> DeploymentStudy | None:
    """What the folder holds if it is the answer to this question. Raises ValueError where it is to another one."""
    folder = question.folder
    found = read_record(folder / DEPLOYMENT_FILE, DeploymentStudy, DEPLOYMENT_SCHEMA, "deployment")
    if found is None or not is_bundle(folder):
        return None
    if found.command != command_line(question):
        raise ValueError(f"out={str(folder)!r} holds another deployed model, of `{found.command}`; name another folder")
    return found


def _prepare(question: Deployment, source: Path, effort: _Effort) -> _Prepared:
    """Chooses the images. Those of the training split calibrate where there is one; else some of the images do, and the
    others prove."""
    count, held = question.calibration, round(_HELD_SHARE * question.calibration)
    plan_of = functools.partial(plan_evaluation, str(source), question.model, question.data, question.split, None, None)
    plan = plan_of()
    learnt = None if question.split in ("train", "all") else training_images(plan)
    there = plan.images if learnt is None else learnt
    spare = 2 if learnt is None else 0  # to prove on
    if there < count + held + spare:
        raise ValueError(
            f"calibration={count} takes {count + held} images, {held} of them to see which ranges are good, and the "
            f"data have {there - spare} for it; nearest valid: calibration={int((there - spare) / (1 + _HELD_SHARE))}"
        )
    taken = np.random.default_rng(_ORDER).permutation(there)[: count + held].tolist()
    only = list(range(plan.images)) if learnt is not None else sorted(set(range(plan.images)) - set(taken))
    only = only[: effort.images]
    if len(only) < plan.images:
        plan = plan_of(only=tuple(only))
    calibration = Calibration(
        data=plan.job.data,
        split=question.split if learnt is None else "train",
        places=tuple(taken[:count]),
        held=tuple(taken[count:]),
    )
    return _Prepared(source, plan, calibration, effort)


def _deploy(question: Deployment, prepared: _Prepared, folder: Path, on_event: OnEvent) -> DeploymentStudy:
    work = folder / _WORK
    work.mkdir(parents=True, exist_ok=True)
    making = _Making(question, prepared, work, on_event)
    inputs = making.inputs()
    candidates = making.candidates()
    running = [each.form for each in candidates if not (each.impossible or each.error)]
    contest = making.time(running)
    times = dict(zip(running, contest.timings, strict=True))
    timed = [
        replace(each, calls=found.rounds, memory=found.memory, error=found.error)
        if (found := times.get(each.form))
        else each
        for each in candidates
    ]
    judged = choose(making.proven(timed), question.accept_unshown)
    plan, card, place = prepared.plan, prepared.plan.card, machine("cpu", 1, question.cores)
    study = DeploymentStudy(
        command=command_line(question),
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        model=question.model,
        network=card.text,
        license=card.license,
        task=card.task,
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
        others=contest.others,
        machine=place,
        instructions=instructions(),
        versions=versions() | runtime_versions(),
        forms=judged,
    )
    if study.kept is not None:
        _write_bundle(folder, work / study.kept.candidate.form.name, prepared.source, study)
    else:
        write_record(folder / DEPLOYMENT_FILE, study)
    shutil.rmtree(work)
    return study


class _Making:
    """The forms of one model, as far as they are made, in the folder `work`, which remembers them."""

    def __init__(self, question: Deployment, prepared: _Prepared, work: Path, on_event: OnEvent) -> None:
        self._question, self._prepared, self._work, self._on_event = question, prepared, work, on_event
        asked = command_line(question)
        found = read_record(work / _STATE, _State, DEPLOYMENT_SCHEMA, "state of a deployment")
        self._state = found if found is not None and found.command == asked else _State(command=asked)

    def _keep(self, **changes: Any) -> None:
        self._state = replace(self._state, **changes)
        write_record(self._work / _STATE, self._state)

    def inputs(self) -> tuple[NDArray[Any], ...]:
        """What the forms are timed with: images of one size, repeated where they are fewer than a batch."""
        card, calibration, batch = self._prepared.plan.card, self._prepared.calibration, self._question.batch
        held = list(prepared_images(card, calibration.data, calibration.split, np.array(calibration.held)))
        alike = [each for each in held if each[0].shape == held[0][0].shape]
        places = np.arange(batch) % len(alike)
        inputs = tuple(np.concatenate([alike[place][part] for place in places]) for part in range(len(held[0])))
        write_inputs(self._work / _INPUTS, inputs)
        return inputs

    def candidates(self) -> list[Candidate]:
        """Every form, made if it can be."""
        forms = [form for form in forms_of(rewrites_in(self._prepared.source)) if self._prepared.effort.has(form)]
        possible = [form for form in forms if not why_not(form, self._prepared.plan.card.task)]
        self._check_disk(len(possible))
        with ChildProcess(make_form, self._question.cores) as call:
            for number, form in enumerate(possible):
                self._on_event(Stage(f"making {form.name}", number, len(possible)))
                self._make(form, call)
        self._on_event(Stage("all forms are made", len(possible), len(possible)))
        return [self._candidate(form) for form in forms]

    def _check_disk(self, forms: int) -> None:
        """Raises ValueError where so many forms do not fit on the disk."""
        needed = (forms + 2) * model_bytes(self._prepared.source)
        free = shutil.disk_usage(self._work).free
        if free < needed:
            raise ValueError(
                f"out={str(self._question.folder)!r}: {forms} forms need about {show_bytes(needed)} of disk and "
                f"{show_bytes(free)} are free; make room, or name a folder on another disk"
            )

    def _make(self, form: Form, call: Callable[[Make], Made | str | WorkerDeath]) -> None:
        if form.name in self._state.made or form.name in self._state.failed:
            return
        if form.precision == "int8":
            self._make_int8(form, call)
        else:
            self._note(form, call(self._job(form)))

    def _make_int8(self, form: Form, call: Callable[[Make], Made | str | WorkerDeath]) -> None:
        """The first form of a runtime in int8 is made by each recipe, and the best serves the others too: of the ranges
        without moving biases, and of these with it."""
        known = self._state.quantizations.get(form.runtime)
        if known is not None:
            self._note(form, call(self._job(form, known)))
            return
        ranges, biases = RANGES[form.runtime], BIASES[form.runtime]
        if not self._prepared.effort.is_whole:
            ranges, biases = ranges[:1], biases[:1]
        images = len(self._prepared.calibration.places)
        tried: list[tuple[float, Quantization, Made]] = []

        def attempt(recipe: Quantization) -> Made | str | WorkerDeath:
            found = call(self._job(form, recipe))
            if isinstance(found, Made):
                tried.append((found.agreement.error, recipe, found))
            return found

        said = [attempt(Quantization(ranges=each, images=images)) for each in ranges]
        if not tried:
            self._note(form, said[-1])
            return
        _, best, _ = min(tried, key=lambda each: each[0])
        for bias in biases[1:]:
            attempt(replace(best, bias=bias))
        _, best, made = min(tried, key=lambda each: each[0])
        self._keep(quantizations=self._state.quantizations | {form.runtime: best})
        self._note(form, made if best is tried[-1][1] else call(self._job(form, best)))

    def _job(self, form: Form, quantization: Quantization | None = None) -> Make:
        shares = form.runtime == "openvino" or quantization is not None
        graph = self._work / Form(form.runtime, "float32", form.rewrite).name
        return Make(
            form=form,
            folder=self._work / form.name,
            model=self._prepared.source,
            inputs=self._work / _INPUTS,
            aim=self._question.aim,
            threads=self._question.cores,
            calibration=self._prepared.calibration,
            graph=graph if shares and form.precision != "float32" else None,
            quantization=quantization,
        )

    def _note(self, form: Form, found: Made | str | WorkerDeath) -> None:
        match found:
            case Made():
                self._keep(made=self._state.made | {form.name: found})
            case WorkerDeath(why) | str(why):
                self._keep(failed=self._state.failed | {form.name: why})

    def _candidate(self, form: Form) -> Candidate:
        if reason := why_not(form, self._prepared.plan.card.task):
            return Candidate(form=form, impossible=reason)
        made = self._state.made.get(form.name)
        if made is None:
            return Candidate(form=form, error=self._state.failed[form.name])
        done, recipe = made.executed, read_bundle(self._work / form.name).quantization
        return Candidate(
            form=form,
            agreement=made.agreement,
            size=made.size,
            done=None if done is None else {each: done.share(each) for each in PRECISIONS},
            fallen=() if done is None else done.fallen(form.precision, () if recipe is None else recipe.kept),
            quantization=recipe,
        )

    def time(self, forms: Sequence[Form]) -> Contest:
        """Times the forms side by side."""
        rounds = self._prepared.effort.rounds
        if (others := other_work()) > BUSY:
            told = f"other work takes {100 * others:.0f} % of the processor; rounds that it spoils are made again"
            self._on_event(Note(told))
        contest = time_forms(
            [self._work / form.name for form in forms],
            self._work / _INPUTS,
            self._question.cores,
            rounds,
            lambda done: self._on_event(Stage("timing rounds", done, rounds)),
        )
        if contest.others > BUSY:
            self._on_event(
                Note(f"other work took {100 * contest.others:.0f} % of the processor: the times are not to be trusted")
            )
        return contest

    def proven(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """The candidates with a proof for each that is faster than the fastest right one."""
        found = {each.form: each for each in candidates}
        for each in sorted(candidates, key=lambda each: each.median):
            if not each.calls:
                break
            if each.form.precision != "float32":
                each = found[each.form] = self._with_drop(each)  # noqa: PLW2901
            if each.outcome == "right" or (self._question.accept_unshown and each.outcome == "not shown"):
                break
        return [found[each.form] for each in candidates]

    def _with_drop(self, each: Candidate) -> Candidate:
        self._on_event(Stage(f"proving {each.form.name}", 0, 1))
        exact, said = self._said(_MODEL, self._prepared.source), self._said(each.form.name, self._work / each.form.name)
        if isinstance(said, str):
            return replace(each, calls=(), error=said)
        assert not isinstance(exact, str)
        return replace(each, drop=drop(said.values(), exact.values(), self._question.max_drop))

    def score(self) -> float:
        """The model's score, in percent."""
        found = self._said(_MODEL, self._prepared.source)
        assert not isinstance(found, str)
        return found.score()

    def _said(self, name: str, model: Path) -> Contribution | str:
        """What each image contributes to the score of a model or a form; the error where it could not be scored."""
        known = self._state.scores.get(name)
        if known is None:
            known = self._scored(name, model)
            self._keep(scores=self._state.scores | {name: known})
        if known.error:
            return known.error
        return contribution(self._work, known, self._prepared.plan.card.task)

    def _scored(self, name: str, model: Path) -> ModelScore:
        place = Resources(device="cpu", workers=1, threads=self._question.cores)
        job = replace(self._prepared.plan.job, key=f"{self._prepared.plan.job.key}-{name}", name=name, model=str(model))
        pool = LocalPool(1, place.threads, functools.partial(evaluate_job, place=place))
        with contextlib.closing(pool.run_all([job])) as reports:
            for report in reports:
                match report.what:
                    case Predictions(content=content):
                        write_predictions(self._work, job.key, content)
                    case Step(step=step, steps=steps):
                        self._on_event(Stage(f"proving {name}", step, steps))
                    case ModelScore() as score:
                        if name == _MODEL and score.error:
                            raise ValueError(f"{self._question.model}: {score.error}")
                        return score
        raise AssertionError("a job ends with its outcome")


def _write_bundle(folder: Path, made: Path, source: Path, study: DeploymentStudy) -> None:
    """Writes all of the bundle into the folder, its record last."""
    bundle = read_bundle(made)
    for name in (*bundle.files, SCRIPT):
        shutil.copyfile(made / name, folder / name)
    copy_model(source, folder / SOURCE)
    write_record(folder / DEPLOYMENT_FILE, study)
    (folder / "README.md").write_text(bundle_readme(bundle, study), encoding="utf-8")
    write_bundle(folder, bundle)
