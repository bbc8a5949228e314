"""The forms of one model: made, timed side by side and proven, as far as that has come. The folder remembers it."""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from dorsal.deploy.bundle import read_bundle
from dorsal.deploy.choose import SITTING, Judged, TriedForm, choose, fastest_first, median_of, ratio
from dorsal.deploy.forms import FILES, PRECISIONS, Form, Precision, forms_of
from dorsal.deploy.possible import why_not
from dorsal.deploy.proof import Drop, OutputAgreement, drop
from dorsal.deploy.quantize import BIASES, RANGES, Quantization, blocks_of
from dorsal.deploy.sensitivity import fewest_kept, sensitivities
from dorsal.jobs.child_process import ChildProcess
from dorsal.jobs.engine import LocalPool, Predictions, WorkerDeath
from dorsal.jobs.evaluate import ModelPlan, evaluate_job, prepared_images
from dorsal.jobs.events import Note, Stage
from dorsal.jobs.execution import OnEvent
from dorsal.jobs.forms import BUSY, Calibration, Full, Made, Make
from dorsal.jobs.json_file import read_record, write_record
from dorsal.jobs.kept import contribution, write_predictions
from dorsal.jobs.make_form import make_form, make_pixels, model_bytes, rewrites_in
from dorsal.jobs.records import ModelScore
from dorsal.jobs.resources import Resources
from dorsal.jobs.rivals import OpenBundle, Timings, other_work, time_forms, write_inputs
from dorsal.language.amounts import show_bytes
from dorsal.recipes.epoch import Step
from dorsal.spec.task import Classify
from dorsal.stats import Contribution
from dorsal.study.deployment.question import Deployment
from dorsal.study.deployment.records import DEPLOYMENT_SCHEMA, PixelGraph

_STATE, _INPUTS, _MODEL = "state.json", "inputs.npz", "model"
_WORTH = 1.5
"""What takes more times as long as the fastest right form is timed in the first sitting alone."""


class Effort(NamedTuple):
    """How much is done: rounds of timing, how many images at most prove a form, None for all, and whether that is tried
    which takes a while whatever the network: compilers, and every recipe of int8."""

    rounds: int
    images: int | None
    is_whole: bool

    def has(self, form: Form) -> bool:
        """Whether a form is tried."""
        return self.is_whole or form.runtime not in ("compile", "aoti")


class Prepared(NamedTuple):
    """A question worked out: the model's folder, what forms are proven on, and where ranges come from. `key` is of all
    that answers depend on: weights, images, what is asked, and versions of the runtimes."""

    source: Path
    plan: ModelPlan
    calibration: Calibration
    effort: Effort
    key: str


class _State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is done so far, by the names of forms, so that the same call goes on. `key` as in `Prepared`. `errors` are
    of forms in mixed precision, by which blocks are ranked; None where there is no such form."""

    key: str
    made: dict[str, Made] = {}
    failed: dict[str, str] = {}
    quantizations: dict[str, Quantization] = {}
    scores: dict[str, ModelScore] = {}
    errors: dict[str, float | None] = {}
    schema: int = DEPLOYMENT_SCHEMA


_Answer = Made | Full | str | WorkerDeath
"""What comes of making a form."""


class Making:
    """The forms of one model, as far as they are made, in the folder `work`, which remembers them."""

    def __init__(self, question: Deployment, prepared: Prepared, work: Path, on_event: OnEvent) -> None:
        self._question, self._prepared, self._work, self._on_event = question, prepared, work, on_event
        found = read_record(work / _STATE, _State, DEPLOYMENT_SCHEMA, "state of a deployment")
        self._state = found if found is not None and found.key == prepared.key else _State(key=prepared.key)

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

    def candidates(self) -> list[TriedForm]:
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

    def _make(self, form: Form, call: Callable[[Make], _Answer]) -> None:
        if form.name in self._state.made or form.name in self._state.failed:
            return
        if form.precision == "int8":
            self._make_int8(form, call)
        else:
            self._note(form, self._made(call, self._job(form)))

    def _make_int8(self, form: Form, call: Callable[[Make], _Answer]) -> None:
        """The first form of a runtime in int8 is made by each recipe, and the best serves the others too: of the ranges
        without moving biases, and of these with it."""
        known = self._state.quantizations.get(form.runtime)
        if known is not None:
            self._note(form, self._made(call, self._job(form, known)))
            return
        ranges, biases = RANGES[form.runtime], BIASES[form.runtime]
        if not self._prepared.effort.is_whole:
            ranges, biases = ranges[:1], biases[:1]
        images = len(self._prepared.calibration.places)
        tried: list[tuple[float, Quantization, Made]] = []
        last: Quantization | None = None

        def attempt(recipe: Quantization) -> Made | str | WorkerDeath:
            nonlocal last
            found, last = self._made(call, self._job(form, recipe)), recipe
            if isinstance(found, Made):
                tried.append((found.error, recipe, found))
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
        self._note(form, made if best is last else self._made(call, self._job(form, best)))

    def _made(self, call: Callable[[Make], _Answer], job: Make) -> Made | str | WorkerDeath:
        """What comes of making a form. Raises OSError where there is no room for it: that is no fault of the form."""
        found = call(job)
        if isinstance(found, Full):
            raise _no_room(found)
        return found

    def _job(self, form: Form, quantization: Quantization | None = None) -> Make:
        shares = form.runtime == "openvino" or quantization is not None
        graph = self._work / replace(form, precision="float32").name
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

    def _candidate(self, form: Form) -> TriedForm:
        if reason := why_not(form, self._prepared.plan.card.task):
            return TriedForm(form=form, impossible=reason)
        made = self._state.made.get(form.name)
        if made is None:
            return TriedForm(form=form, error=self._state.failed[form.name])
        done, recipe = made.executed, read_bundle(self._work / form.name).quantization
        return TriedForm(
            form=form,
            agreement=made.agreement,
            size=made.size,
            done=None if done is None else {each: done.share(each) for each in PRECISIONS},
            fallen=() if done is None else done.fallen(_asked(form), () if recipe is None else recipe.kept),
            quantization=recipe,
        )

    def judged(self, candidates: Sequence[TriedForm]) -> tuple[tuple[Judged, ...], float]:
        """What becomes of the candidates, timed side by side and proven, and how much other work there was.

        All are in the first sitting. In the others is what may still be kept: what is not wrong, and not too slow.
        """
        rounds, accept = self._prepared.effort.rounds, self._question.accept_unshown
        running = [each for each in candidates if not (each.impossible or each.error)]
        if (now := other_work()) > BUSY:
            told = f"other work takes {100 * now:.0f} % of the processor; rounds that it spoils are made again"
            self._on_event(Note(told))
        timed, others = self._timed([replace(each, calls=()) for each in candidates], running, 0, min(SITTING, rounds))
        judged = choose(self._proven(timed), accept)
        near = [
            each.candidate
            for each in judged
            if each.fate in ("chosen", "slower") and each.slower is not None and each.slower.value <= _WORTH
        ]
        if near and rounds > SITTING:
            timed, more = self._timed([each.candidate for each in judged], near, SITTING, rounds)
            judged, others = choose(self._proven(timed), accept), max(others, more)
        if others > BUSY:
            told = f"other work took {100 * others:.0f} % of the processor: the times are not to be trusted"
            self._on_event(Note(told))
        return judged, others

    def mixed(self, judged: Sequence[Judged]) -> list[TriedForm]:
        """For each runtime whose forms in int8 would be the fastest, and are not right: the fastest of them, with the
        fewest blocks in floating point that make it right."""
        found = []
        for runtime in RANGES:
            ours = [each for each in judged if _is_int8(each.candidate.form, runtime)]
            faster = [each.candidate for each in ours if each.slower is None or each.slower.value < 1]
            first = fastest_first(faster)[:1]
            if first and not any(each.candidate.outcome == "right" for each in ours):
                found += self._mixed(first[0])
        return found

    def pixels(self, kept: TriedForm) -> PixelGraph | None:
        """The kept form with images normalized in its graph, against normalizing them before. None where it cannot
        be."""
        if kept.form.runtime not in RANGES or not isinstance(self._prepared.plan.card.task, Classify):
            return None
        form, other = self.folder_of(kept.form), self.folder_of(kept.form, pixels=True)
        self._on_event(Stage("pixels into the graph", 0, 1))
        with ChildProcess(make_pixels, self._question.cores) as call:
            found = call((form, replace(self._job(kept.form), folder=other)))
        if isinstance(found, Full):
            raise _no_room(found)
        if not isinstance(found, OutputAgreement):
            return None
        with np.load(self._work / _INPUTS) as arrays:
            size = arrays["arr_0"].transpose(0, 2, 3, 1).shape
        inputs = self._work / f"pixels-{_INPUTS}"
        write_inputs(inputs, [np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)])
        openers = [OpenBundle(each, self._question.cores) for each in (other, form)]
        contest = time_forms(openers, inputs, self._question.cores, self._prepared.effort.rounds)
        if any(each.error for each in contest.timings):
            return None
        inside, before = (np.array([np.median(calls) for calls in each.rounds]) for each in contest.timings)
        slower = ratio(inside, before)
        faster = slower.high is not None and slower.high < 1 and contest.others <= BUSY
        return PixelGraph(
            slower=slower,
            median=median_of(inside),
            taken=faster and self._is_right_with_pixels(kept.form, found, other),
        )

    def _is_right_with_pixels(self, form: Form, agreement: OutputAgreement, folder: Path) -> bool:
        if form.precision == "float32":
            return agreement.outcome == "right"
        lost = self._drop(folder.name, folder)
        return not isinstance(lost, str) and lost.outcome == "right"

    def folder_of(self, form: Form, pixels: bool = False) -> Path:
        """Where a form is."""
        return self._work / (f"{form.name}-pixels" if pixels else form.name)

    def _mixed(self, base: TriedForm) -> list[TriedForm]:
        form, recipe = replace(base.form, precision="mixed"), base.quantization
        if form.name in self._state.made:
            return [self._candidate(form)]
        assert recipe is not None
        folder, graph = self._work / form.name, self._job(base.form, recipe).graph
        assert graph is not None
        blocks = [block for block in blocks_of(graph / FILES[form.runtime][0]) if block]
        with ChildProcess(make_form, self._question.cores) as call:

            def named(kept: tuple[str, ...]) -> str:
                return f"{form.name}-{hashlib.sha256(repr(kept).encode()).hexdigest()[:8]}"

            def made(kept: tuple[str, ...]) -> Made | None:
                found = self._made(call, self._job(form, replace(recipe, kept=kept)))
                return found if isinstance(found, Made) else None

            def error(kept: tuple[str, ...]) -> float:
                (left,) = set(blocks) - set(kept)
                self._on_event(Stage(f"{form.name}: what {left} costs in int8", blocks.index(left), len(blocks)))
                if named(kept) not in self._state.errors:
                    found = made(kept)
                    known = None if found is None else found.error
                    self._keep(errors=self._state.errors | {named(kept): known})
                known = self._state.errors[named(kept)]
                return np.inf if known is None else known

            def is_right(kept: tuple[str, ...]) -> bool:
                self._on_event(Stage(f"{form.name}: {len(kept)} of {len(blocks)} blocks in floating point", 0, 1))
                if named(kept) not in self._state.scores and made(kept) is None:
                    return False
                said = self._drop(named(kept), folder)
                return not isinstance(said, str) and said.outcome == "right"

            ranked = [each.block for each in sensitivities(blocks, error)]
            kept = fewest_kept(ranked, is_right)
            if not kept:
                self._on_event(Note(f"{form.name} is not right with any of its blocks in int8"))
                return []
            self._note(form, self._made(call, self._job(form, replace(recipe, kept=kept))))
        return [self._candidate(form)]

    def _proven(self, candidates: Sequence[TriedForm]) -> list[TriedForm]:
        """The candidates with a proof for each that is faster than the fastest right one."""
        found = {each.form: each for each in candidates}
        for each in fastest_first(candidates):
            if each.form.precision != "float32":
                each = found[each.form] = self._with_drop(each)  # noqa: PLW2901
            if each.outcome == "right" or (self._question.accept_unshown and each.outcome == "not shown"):
                break
        return [found[each.form] for each in candidates]

    def _timed(
        self, candidates: Sequence[TriedForm], running: Sequence[TriedForm], done: int, rounds: int
    ) -> tuple[list[TriedForm], float]:
        """The candidates, of which those that are running have `rounds` in place of the `done` that they had, and the
        largest share of other work in a new round."""
        contest = time_forms(
            [OpenBundle(self.folder_of(each.form), self._question.cores) for each in running],
            self._work / _INPUTS,
            self._question.cores,
            rounds - done,
            lambda more: self._on_event(Stage("timing rounds", done + more, self._prepared.effort.rounds)),
        )
        found = {each.form: timings for each, timings in zip(running, contest.timings, strict=True)}
        return [_with(each, found.get(each.form)) for each in candidates], contest.others

    def _with_drop(self, each: TriedForm) -> TriedForm:
        found = self._drop(each.form.name, self._work / each.form.name)
        return replace(each, calls=(), error=found) if isinstance(found, str) else replace(each, drop=found)

    def _drop(self, name: str, form: Path) -> Drop | str:
        """What a form loses; the error where it could not be scored."""
        self._on_event(Stage(f"proving {name}", 0, 1))
        exact, said = self._said(_MODEL, self._prepared.source), self._said(name, form)
        if isinstance(said, str):
            return said
        assert not isinstance(exact, str)
        return drop(said.values(), exact.values(), self._question.max_drop)

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


def _no_room(found: Full) -> OSError:
    return OSError(errno.ENOSPC, "there is no room left on the disk; the same command goes on", found.path)


def _with(each: TriedForm, more: Timings | None) -> TriedForm:
    """A candidate with more rounds."""
    if more is None:
        return each
    memory = max((known for known in (each.memory, more.memory) if known is not None), default=None)
    return replace(each, calls=() if more.error else each.calls + more.rounds, memory=memory, error=more.error)


def _is_int8(form: Form, runtime: str) -> bool:
    return (form.runtime, form.precision) == (runtime, "int8")


def _asked(form: Form) -> Precision:
    """The precision that most of a form is to be in."""
    return "int8" if form.precision == "mixed" else form.precision
