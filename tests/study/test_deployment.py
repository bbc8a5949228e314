"""A model is deployed: made in all forms, timed, proven, and kept as a bundle that every verb takes."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from msgspec.structs import replace
from PIL import Image

import dorsal
from dorsal.deploy.bundle import BUNDLE_FILE, SCRIPT, SOURCE, open_bundle, read_bundle, write_bundle
from dorsal.deploy.choose import TriedForm
from dorsal.deploy.forms import Form
from dorsal.deploy.possible import _why_no_runtime
from dorsal.deploy.proof import Drop, OutputAgreement
from dorsal.deploy.quantize import Quantization
from dorsal.jobs.events import Event, Note, Stage
from dorsal.jobs.forms import Full, Made, Make
from dorsal.jobs.json_file import write_record
from dorsal.jobs.predict import predict
from dorsal.jobs.records import ModelScore
from dorsal.jobs.trained import save_trained, trained_card
from dorsal.study.deployment import making
from dorsal.study.deployment import run as deployment
from dorsal.study.deployment.question import Deployment, command_line
from dorsal.study.deployment.run import deploy
from dorsal.study.deployment.saved import read_deployment
from dorsal.study.load import load
from dorsal.weights.saved import read_card
from tests.deploy.models import randomised

DATA = "scenes(train=120, val=60, size=32)"


@pytest.fixture(autouse=True, scope="module")
def no_compiler() -> Any:
    """Compilers take a minute for each form."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CXX", "no-such-compiler")
        _why_no_runtime.cache_clear()
        yield
    _why_no_runtime.cache_clear()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "small"
    data = dorsal.open_data(DATA)
    network = dorsal.network(f"small(depths=[1, 1], widths=[16, 32], strides=[1, 2], classes={len(data.classes)})")
    card = trained_card(network, data, "a test", dorsal.Recipe())
    save_trained(folder, randomised(dorsal.build(network)), card, 50.0)
    return folder


def asked(model: Path, out: Path, **more: Any) -> Deployment:
    return Deployment(model=str(model), data=DATA, calibration=16, threads=1, out=str(out), **more)


@pytest.fixture(scope="module")
def deployed(model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, list[Event]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deployment, "_WHOLE", deployment._TEST._replace(images=None, is_whole=True))
        out, heard = tmp_path_factory.mktemp("out") / "deployed", list[Event]()
        study = deploy(asked(model, out, max_drop=100.0), on_event=heard.append)
    return out, study, heard


def test_the_fastest_right_form_is_kept_and_each_other_has_a_reason(deployed: Any) -> None:
    _, study, heard = deployed
    fates = [each.fate for each in study.forms]
    assert fates.count("chosen") == 1
    assert "failed" not in fates, [each.candidate.error for each in study.forms]
    reasons = {each.candidate.impossible for each in study.forms if each.fate == "impossible"}
    assert "there is no C++ compiler (no-such-compiler) to compile with" in reasons
    kept = study.kept
    assert kept is not None
    right = [each.candidate.median for each in study.forms if each.candidate.outcome == "right"]
    assert kept.candidate.median == min(right)
    eager = next(each for each in study.forms if each.candidate.form.name == "torch-float32-none")
    assert eager.candidate.agreement.outcome == "right"
    assert eager.candidate.agreement.error < 1e-6
    assert eager.times.calls >= 2 * 3
    stages = [each.doing for each in heard if isinstance(each, Stage)]
    assert stages[0] == "making torch-float32-none"
    assert any(isinstance(each, Note) and "small network" in each.text for each in heard)


def test_calibration_images_prove_nothing(deployed: Any, model: Path, tmp_path: Path) -> None:
    _, study, _ = deployed
    assert study.calibration.split == "train"
    assert len(set(study.calibration.places) | set(study.calibration.held)) == 16 + 8
    assert study.images.startswith("60 ")
    whole = deployment._prepare(asked(model, tmp_path, split="all"), model, deployment._WHOLE)
    used = {*whole.calibration.places, *whole.calibration.held}
    assert whole.calibration.split == "all"
    assert used.isdisjoint(whole.plan.job.only)
    assert len(used) + len(whole.plan.job.only) == 180


def test_a_folder_without_splits_is_proven_on_what_training_holds_out(model: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for label in dorsal.open_data(DATA).classes:
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(12):
            pixels = random.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / label / f"{number}.png")
    question = replace(asked(model, tmp_path / "out"), data=str(tmp_path / "photos"))
    prepared = deployment._prepare(question, model, deployment._WHOLE)
    assert (prepared.plan.job.split, prepared.calibration.split) == ("val", "train")
    assert not prepared.plan.has_training
    assert prepared.plan.images < 30
    whole = deployment._prepare(replace(question, split="all"), model, deployment._WHOLE)
    used = {*whole.calibration.places, *whole.calibration.held}
    assert whole.calibration.split == "all"
    assert used.isdisjoint(whole.plan.job.only)
    assert len(used) + len(whole.plan.job.only) == 120


def test_a_key_is_of_weights_images_and_question(model: Path, tmp_path: Path) -> None:
    def key(model: Path, **more: Any) -> str:
        return deployment._prepare(asked(model, tmp_path, **more), model, deployment._WHOLE).key

    other = tmp_path / "other"
    card = trained_card(dorsal.network(read_card(model).text), dorsal.open_data(DATA), "a test", dorsal.Recipe())
    save_trained(other, dorsal.build(card.network), card, 50.0)
    keys = [key(model), key(model, max_drop=2.0), key(model, split="train"), key(other)]
    assert len(set(keys)) == len(keys)
    assert key(model) == keys[0]


def test_the_answer_of_other_weights_is_not_taken_for_this_one(deployed: Any, model: Path, tmp_path: Path) -> None:
    out, study, _ = deployed
    copy = tmp_path / "copy"
    shutil.copytree(out, copy)
    assert deploy(asked(model, copy, max_drop=100.0)) == study, "a folder may be moved"
    command = command_line(asked(model, copy, max_drop=100.0))
    write_record(copy / "deployment.json", replace(study, key="of other weights", command=command))
    with pytest.raises(ValueError, match="with other weights, other images or other versions of the runtimes; delete"):
        deploy(asked(model, copy, max_drop=100.0))


def test_the_bundle_is_whole_and_the_work_is_gone(deployed: Any, model: Path) -> None:
    out, study, _ = deployed
    bundle = read_bundle(out)
    names = {path.name for path in out.iterdir()} - {"lock"}
    assert names == {BUNDLE_FILE, SCRIPT, SOURCE, "README.md", "deployment.json", *bundle.files}
    assert study == read_deployment(out) == load(out)
    assert (out / SOURCE / "model.safetensors").read_bytes() == (model / "model.safetensors").read_bytes()
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "License of the weights: not stated" in card
    assert f"{study.score:.2f} %" in card


def picture(path: Path, size: tuple[int, int]) -> Path:
    random = np.random.default_rng(0)
    small = Image.fromarray(random.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    small.resize(size, Image.Resampling.BICUBIC).save(path, quality=95)
    return path


def test_predict_and_evaluate_take_the_bundle(deployed: Any, model: Path, tmp_path: Path) -> None:
    out, study, _ = deployed
    photos = [picture(tmp_path / f"{number}.jpg", size) for number, size in enumerate([(67, 45), (33, 97), (32, 32)])]
    precise = study.kept.candidate.form.precision == "float32"
    for ours, theirs in zip(predict(out, photos), predict(model, photos), strict=True):
        assert ours.probabilities is not None
        assert theirs.probabilities is not None
        np.testing.assert_allclose(ours.probabilities, theirs.probabilities, rtol=0, atol=1e-5 if precise else 0.2)
    found, exact = dorsal.evaluate(out, "val", DATA), dorsal.evaluate(model, "val", DATA)
    assert exact.score == pytest.approx(study.score)
    lost = study.kept.candidate.drop.value if study.kept.candidate.drop else 0.0
    assert exact.score - found.score == pytest.approx(lost)
    assert found.images == 60


def test_the_same_question_is_answered_once_and_no_other_is(deployed: Any, model: Path) -> None:
    out, study, _ = deployed
    heard: list[Event] = []
    assert deploy(asked(model, out, max_drop=100.0), on_event=heard.append) == study
    assert [each.text for each in heard if isinstance(each, Note)] == [f"{out} holds this already; nothing is done"]
    with pytest.raises(ValueError, match="holds another deployed model, of `dorsal deploy"):
        deploy(asked(model, out, max_drop=3.0))


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only forms of PyTorch eager and of ONNX Runtime in float32 are made, without trying them on a small network."""
    monkeypatch.setattr(deployment, "_WHOLE", deployment._TEST)
    monkeypatch.setattr(deployment, "_try", lambda *_: None)
    forms = [Form("torch", "float32", "none"), Form("torch", "float32", "folded"), Form("torch", "bfloat16", "none")]
    monkeypatch.setattr(making, "forms_of", lambda _: [*forms, Form("onnxruntime", "float32", "folded")])


@pytest.mark.usefixtures("hurried")
def test_a_deployed_model_is_deployed_anew_from_its_source(deployed: Any, tmp_path: Path) -> None:
    out, _, _ = deployed
    again = deploy(Deployment(model=str(out), again=True, threads=1, out=str(tmp_path / "again")))
    assert again.kept is not None
    assert again.max_drop == 100, "what is not given is as it was asked before"
    assert again.images == "24 of 60 validation scenes"
    assert len(again.calibration.places) == 16
    assert (tmp_path / "again" / SOURCE / "model.json").is_file()


@pytest.mark.parametrize("name", ["model", "missing", "schema", "instructions"])
def test_a_bundle_that_was_changed_says_so(deployed: Any, tmp_path: Path, name: str) -> None:
    out, _, _ = deployed
    copy = tmp_path / "copy"
    shutil.copytree(out, copy)
    bundle = read_bundle(copy)
    file = copy / next(iter(bundle.files))
    match name:
        case "model":
            file.write_bytes(file.read_bytes()[:-100])
            said = "is not the file that the bundle was made with"
        case "missing":
            file.unlink()
            said = "is missing"
        case "schema":
            record = json.loads((copy / BUNDLE_FILE).read_bytes())
            (copy / BUNDLE_FILE).write_text(json.dumps(record | {"schema": 9}), encoding="utf-8")
            said = "has schema 9 and this version of dorsal reads 1"
        case _:
            write_bundle(copy, msgspec.structs.replace(bundle, instructions="AVX9"))
            said = "it is compiled for AVX9, and this processor has"
    with pytest.raises(ValueError, match=said):
        open_bundle(copy)


def test_another_version_of_the_runtime_is_told(deployed: Any, tmp_path: Path) -> None:

    from dorsal.study.evaluation.plan import plan_evaluations

    out, _, _ = deployed
    copy = tmp_path / "copy"
    shutil.copytree(out, copy)
    bundle = read_bundle(copy)
    write_bundle(copy, msgspec.structs.replace(bundle, versions=dict.fromkeys(bundle.versions, "0.1")))
    (plan,) = plan_evaluations(dorsal.Evaluation(models=(str(copy),), data=DATA))
    assert any("was made and shown to be right with" in note and "0.1" in note for note in plan.notes)


@pytest.mark.usefixtures("hurried")
def test_interrupted_it_goes_on(model: Path, tmp_path: Path) -> None:
    """What is made is not made again, and nothing looks like a bundle in between."""
    out, made = tmp_path / "out", list[str]()

    def stop(event: Event) -> None:
        if isinstance(event, Stage):
            made.append(event.doing)
            if len(made) == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        deploy(asked(model, out, accept_unshown=True), on_event=stop)
    assert not (out / BUNDLE_FILE).exists()
    first = sorted(path.stat().st_mtime_ns for path in (out / ".work").glob("*/bundle.json"))
    assert len(first) == 2
    times: list[int] = []

    def look(event: Event) -> None:
        if isinstance(event, Stage) and event.doing == "all forms are made":
            times.extend(path.stat().st_mtime_ns for path in (out / ".work").glob("*/bundle.json"))

    study = deploy(asked(model, out, accept_unshown=True), on_event=look)
    assert study.kept is not None
    assert (out / BUNDLE_FILE).is_file()
    assert set(first) < set(times)


class Blocks:
    """A model of four blocks, of which only c does not bear int8. Each form is made in no time, and counted."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.made: list[tuple[str, ...]] = []
        self.proven: list[str] = []
        self.stops_at: int | None = None
        self._kept: tuple[str, ...] = ()
        patch.setattr(making, "ChildProcess", lambda *_: contextlib.nullcontext(self.make))
        patch.setattr(making, "blocks_of", lambda _: ("", "a", "b", "c", "d"))
        patch.setattr(making, "drop", self.drop)
        patch.setattr(making.Making, "_scored", self.scored)
        patch.setattr(making, "contribution", lambda *_: Contributed())
        patch.setattr(making.Making, "_candidate", lambda _, form: TriedForm(form=form))

    def make(self, job: Make) -> Made:
        if len(self.made) == self.stops_at:
            raise KeyboardInterrupt
        assert job.quantization is not None
        self._kept = job.quantization.kept
        self.made.append(self._kept)
        error = 0.01 if "c" in self._kept else 0.5
        return Made(agreement=OutputAgreement(error=error, flips=0, inputs=2), error=error, size=1, executed=None)

    def scored(self, name: str, _: Path) -> ModelScore:
        if name != "model":
            self.proven.append(name)
        return ModelScore(key=name, score=70.0, seconds=0.0)

    def drop(self, *_: Any) -> Drop:
        lost = 0.0 if "c" in self._kept else 20.0
        return Drop(value=lost, low=lost, high=lost, most=1.0, images=60, needed=None)


class Contributed:
    def values(self) -> list[float]:
        return []


def test_blocks_that_are_known_to_bear_int8_are_not_tried_again(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks, base = (
        Blocks(monkeypatch),
        TriedForm(form=Form("openvino", "int8", "folded"), quantization=Quantization(ranges="minmax", images=16)),
    )
    question = asked(model, tmp_path / "out")
    prepared = deployment._prepare(question, model, deployment._TEST)

    def mixed() -> list[TriedForm]:
        return making.Making(question, prepared, tmp_path, lambda _: None)._mixed(base)

    blocks.stops_at = 3
    with pytest.raises(KeyboardInterrupt):
        mixed()
    blocks.stops_at = None
    (found,) = mixed()
    assert found.form == Form("openvino", "mixed", "folded")
    alone = [tuple(other for other in "abcd" if other != each) for each in "abcd"]
    assert blocks.made[:4] == alone, "what is known after the interruption is not made again"
    assert blocks.made[-1] == ("c",)
    done = len(blocks.made), len(blocks.proven)
    (again,) = mixed()
    assert again == found
    assert (len(blocks.made), len(blocks.proven)) == done


def test_a_full_disk_leaves_no_bundle(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployment, "_WHOLE", deployment._TEST)
    monkeypatch.setattr(deployment, "_try", lambda *_: None)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type("Usage", (), {"free": 10}))
    with pytest.raises(ValueError, match=r"forms need about .* of disk and 10 bytes are free"):
        deploy(asked(model, tmp_path / "out"))
    assert not (tmp_path / "out" / BUNDLE_FILE).exists()


def test_a_disk_that_is_full_on_the_way_ends_it_and_leaves_no_bundle(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deployment, "_WHOLE", deployment._TEST)
    monkeypatch.setattr(deployment, "_try", lambda *_: None)
    monkeypatch.setattr(making, "make_form", _full)
    with pytest.raises(OSError, match="no room left on the disk; the same command goes on"):
        deploy(asked(model, tmp_path / "out"))
    assert not (tmp_path / "out" / BUNDLE_FILE).exists()


def _full(job: Make) -> Full:
    return Full(str(job.folder))


def test_too_few_images_are_refused_before_any_work(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="10 images for calibration are too few"):
        Deployment(model=str(model), data=DATA, calibration=10)
    question = Deployment(model=str(model), data=DATA, out=str(tmp_path / "out"))
    with pytest.raises(ValueError, match="the data have 120 for it; nearest valid: calibration=80"):
        deploy(question)
    assert not (tmp_path / "out").exists()


def test_bad_questions(model: Path, tmp_path: Path, deployed: Any) -> None:
    out, _, _ = deployed
    with pytest.raises(ValueError, match="is a deployed model; --again deploys it anew"):
        Deployment(model=str(out))
    with pytest.raises(ValueError, match="holds no deployed model; leave --again out"):
        Deployment(model=str(model), again=True)
    with pytest.raises(ValueError, match="max_drop=101 must be from 0 to 100 points"):
        Deployment(model=str(model), max_drop=101)
    with pytest.raises(ValueError, match="holds no model"):
        deploy(Deployment(model=str(tmp_path), data=DATA))
    torch.manual_seed(0)
    folder = tmp_path / "others" / "train"
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for number in range(3):
            picture(folder / name / f"{number}.png", (40, 40))
    with pytest.raises(ValueError, match="classes are not among the model's"):
        deploy(Deployment(model=str(model), data=str(tmp_path / "others"), out=str(tmp_path / "o")))
