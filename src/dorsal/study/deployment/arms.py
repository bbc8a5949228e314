"""The arms of a comparison deployed on this machine, and what is kept of each timed against the others."""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from dorsal.deploy.bundle import SOURCE, Bundle, read_bundle
from dorsal.deploy.forms import Form
from dorsal.jobs.child_process import ChildProcess
from dorsal.jobs.evaluate import prepared_images
from dorsal.jobs.events import Note, Stage
from dorsal.jobs.execution import OnEvent
from dorsal.jobs.forms import BUSY, Made, Make
from dorsal.jobs.json_file import write_record
from dorsal.jobs.kept import model_folder
from dorsal.jobs.lock import hold
from dorsal.jobs.machine import instructions, machine, runtime_versions, versions
from dorsal.jobs.make_form import make_form
from dorsal.jobs.records import Arm, PlannedRun, Study
from dorsal.jobs.rivals import OpenBundle, time_forms, write_inputs
from dorsal.jobs.tables import recipe_tables
from dorsal.spec.timm import TimmNetwork
from dorsal.study.comparison.question import Comparison
from dorsal.study.comparison.records import ARMS_FILE, DeployedArm, DeployedArms
from dorsal.study.comparison.saved import read_deployed
from dorsal.study.deployment.question import Deployment
from dorsal.study.deployment.records import DeploymentStudy
from dorsal.study.deployment.run import deploy
from dorsal.study.question import own_folder

_HOME, _WORK = "deployed", ".work"
_PLAIN = Form("torch", "float32", "none")
_MOST_CALIBRATION = 128
_OF_TRAINING = 1.5
"""Calibration takes so many training images for each that ranges come from; see `deployment.run`."""
_ROUNDS = 20


class _Kept(NamedTuple):
    """An arm whose form is kept: the run that trained its model, and the bundle in its folder."""

    run: PlannedRun
    folder: Path
    deployment: DeploymentStudy
    bundle: Bundle

    @property
    def place(self) -> str:
        """The folder in that of the study."""
        return f"{_HOME}/{self.folder.name}"

    @property
    def has_plain(self) -> bool:
        """Whether PyTorch eager in float32 was made too, and another form is kept."""
        made = {each.candidate.form for each in self.deployment.forms if each.times is not None}
        return self.bundle.form != _PLAIN and _PLAIN in made


def deploy_arms(comparison: Comparison, study: Study, on_event: OnEvent) -> None:
    """Deploys one model of each arm and times all that is kept in one contest, into `deployed.json` of the study.

    Each arm has a folder of its own in `deployed`. An arm that cannot be deployed is left out, and a note says why. The
    same call goes on: what is deployed is not deployed again, and the contest is held again where there is another
    form in it.
    """
    folder, left_out, kept = comparison.folder.resolve(), dict[str, str](), list[_Kept]()
    with hold(folder):
        for arm in study.arms:
            try:
                kept.append(_deployed(comparison, study, arm, on_event))
            except ValueError as error:
                left_out[arm.label] = str(error)
                on_event(Note(f"{arm.label} is not deployed: {error}"))
        if not kept:
            (folder / ARMS_FILE).unlink(missing_ok=True)
            return
        bundles = [(each.place, each.bundle.files) for each in kept]
        found = read_deployed(folder)
        if found is None or [(each.folder, each.files) for each in found.arms] != bundles:
            found = _timed(kept, folder / _HOME / _WORK, comparison.threads, on_event)
            left_out |= found.left_out
        write_record(folder / ARMS_FILE, replace(found, left_out=left_out))


def _deployed(comparison: Comparison, study: Study, arm: Arm, on_event: OnEvent) -> _Kept:
    """The arm's bundle, made unless it is there. Raises ValueError where there can be none."""
    if isinstance(arm.network, TimmNetwork):
        raise ValueError("it is a network of timm, and Dorsal deploys its own only")
    run, folder = _run_of(study, arm), comparison.folder.resolve()
    assert isinstance(comparison.data, str), "several data sets are refused"
    question = Deployment(
        model=str(model_folder(folder, run.key)),
        data=comparison.data,
        threads=comparison.threads,
        calibration=min(_MOST_CALIBRATION, int(study.data.train_images / _OF_TRAINING)),
    )
    home = folder / _HOME / own_folder("", [arm.label], question).name
    on_event(Note(f"now {arm.label} is deployed"))
    made = deploy(replace(question, out=str(home)), on_event=on_event)
    if made.kept is None:
        raise ValueError(f"no form of it is right; see {home / 'deployment.json'}")
    return _Kept(run, home, made, read_bundle(home))


def _run_of(study: Study, arm: Arm) -> PlannedRun:
    """The first finished run of an arm in the first comparison. Raises ValueError where none has finished."""
    recipe = next(iter(recipe_tables(study).values()))[arm.label]
    finished = {trial.key for trial in study.trials if trial.status == "finished"}
    runs = (run for run in study.runs if (run.arm, run.recipe) == (arm.label, recipe) and run.key in finished)
    if (first := min(runs, key=lambda run: study.seeds.index(run.seed), default=None)) is None:
        raise ValueError(f"no run of it under {recipe} has finished")
    return first


def _timed(kept: Sequence[_Kept], work: Path, threads: int, on_event: OnEvent) -> DeployedArms:
    """All kept forms and PyTorch eager of the same arms in one contest."""
    work.mkdir(parents=True, exist_ok=True)
    given = _one_image(kept[0])
    inputs = work / "inputs.npz"
    write_inputs(inputs, given)
    plain = _plain(kept, work, inputs, threads, on_event)
    pixels = any(each.bundle.pixels for each in kept)
    if pixels:
        size = given[0].transpose(0, 2, 3, 1).shape
        write_inputs(inputs, [np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)])
    contest = time_forms(
        [OpenBundle(each, threads) for each in (*(each.folder for each in kept), *plain.values())],
        inputs,
        threads,
        _ROUNDS,
        lambda done: on_event(Stage("timing all deployed arms", done, _ROUNDS)),
    )
    if contest.others > BUSY:
        on_event(Note(f"other work took {100 * contest.others:.0f} % of the processor: times are not to be trusted"))
    rounds = [tuple(float(np.median(calls)) for calls in each.rounds) for each in contest.timings]
    eager = dict(zip(plain, rounds[len(kept) :], strict=True))
    arms, left_out = list[DeployedArm](), dict[str, str]()
    for each, times, ended in zip(kept, rounds, contest.timings, strict=False):
        if ended.error:
            left_out[each.run.arm] = ended.error
            on_event(Note(f"{each.run.arm} is deployed and could not be timed: {ended.error}"))
            continue
        assert each.deployment.kept is not None
        arms.append(
            DeployedArm(
                arm=each.run.arm,
                recipe=each.run.recipe,
                seed=each.run.seed,
                key=each.run.key,
                folder=each.place,
                files=each.bundle.files,
                form=each.bundle.form,
                rounds=times,
                plain=eager.get(each.run.arm, ()),
                loses=each.deployment.kept.candidate.drop,
                score=each.deployment.score,
            )
        )
    shutil.rmtree(work)
    return DeployedArms(
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        arms=tuple(arms),
        left_out=left_out,
        shape=given[0].shape,
        pixels=pixels,
        threads=threads,
        others=contest.others,
        machine=machine("cpu", 1, threads),
        instructions=instructions(),
        versions=versions() | runtime_versions(),
    )


def _one_image(kept: _Kept) -> tuple[NDArray[Any], ...]:
    """The first validation image as a batch of one, as the arm takes it."""
    data = kept.deployment.calibration.data
    return next(iter(prepared_images(kept.bundle.card, data, None, np.array([0]))))


def _plain(kept: Sequence[_Kept], work: Path, inputs: Path, threads: int, on_event: OnEvent) -> dict[str, Path]:
    """Folders of PyTorch eager in float32 by arm, made again of the arms of which it was made."""
    found, wanted = dict[str, Path](), [each for each in kept if each.has_plain]
    with ChildProcess(make_form, threads) as call:
        for number, each in enumerate(wanted):
            on_event(Stage(f"making PyTorch eager of {each.run.arm}", number, len(wanted)))
            calibration = each.deployment.calibration
            job = Make(
                form=_PLAIN,
                folder=work / each.folder.name,
                model=each.folder / SOURCE,
                inputs=inputs,
                aim="latency",
                threads=threads,
                calibration=replace(calibration, held=calibration.held[:2]),
            )
            if isinstance(call(job), Made):
                found[each.run.arm] = job.folder
    return found
