"""`dorsal predict` and `dorsal train` on the command line: nothing is lost, and no option does nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dorsal.cli.predict import PREDICTIONS_FILE, WRITTEN_FILE

Run = Callable[..., tuple[int, str, str]]

TINY = "small(depths=[1, 1, 1], widths=[16, 32, 64])"
DATA = "scenes(size=64, train=20, val=10)"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained model of each task."""
    from dorsal.data.spec import parse_data
    from dorsal.jobs.trained import save_trained, trained_card
    from dorsal.recipes.text import recipe
    from dorsal.spec.task import at, parse_task
    from dorsal.tasks.data import open_for
    from dorsal.tasks.method import method_of
    from dorsal.zoo import network

    root = tmp_path_factory.mktemp("models")
    for text in ("classify", "semantic", "detect"):
        task, made = parse_task(text), recipe("plain" if text == "classify" else "dense")
        data = open_for(task, parse_data(DATA, task))
        task = at(task, data.size)
        net = network(f"{TINY[:-1]}, classes={10 if text == 'classify' else 0})")
        model = method_of(task, data.labels, data.train if text == "classify" else None).build(net, made, None)
        save_trained(root / text, model, trained_card(net, data, "a test", made, None, task), 50.0)
    return root


def picture(path: Path, size: tuple[int, int] = (40, 50)) -> Path:
    random = np.random.default_rng(0)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(random.integers(0, 255, (*size, 3), dtype=np.uint8)).save(path)
    return path


@pytest.mark.parametrize("task", ["classify", "semantic", "detect"])
def test_pictures_and_results_and_a_second_call(dorsal: Run, models: Path, tmp_path: Path, task: str) -> None:
    for name in ("a.png", "b.png"):
        picture(tmp_path / "in" / name)
    out = tmp_path / "out"
    first = dorsal("predict", str(tmp_path / "in"), "--model", str(models / task), "--out", str(out))
    assert first[0] == 0, first[2]
    assert f"in {out}\n" in first[2]
    there = {path.name for path in out.iterdir()}
    labels = {f"{name}.labels.png" for name in "ab"} if task == "semantic" else set()
    assert there == {"a.jpg", "b.jpg", PREDICTIONS_FILE, WRITTEN_FILE} | labels
    with Image.open(out / "a.jpg") as shown:
        assert shown.width >= 50
    second = dorsal("predict", str(tmp_path / "in" / "b.png"), "--model", str(models / task), "--out", str(out))
    assert f"in {out} (replaced)\n" in second[2]
    assert not (out / "a.jpg").exists(), "a picture of the call before is of no use beside other results"
    json.loads((out / PREDICTIONS_FILE).read_bytes())


def test_no_file_that_predict_did_not_write_is_lost(dorsal: Run, models: Path, tmp_path: Path) -> None:
    photo, out = picture(tmp_path / "photos" / "x.png"), tmp_path / "photos"
    mine = picture(out / "x.jpg")
    before = mine.read_bytes()
    for given, says in (
        (photo, "holds 'x.jpg', which no earlier call wrote; name another folder"),
        (mine, "holds 'x.jpg', which is to be looked at; name another folder"),
    ):
        found = dorsal("predict", str(given), "--model", str(models / "detect"), "--out", str(out))
        assert found[0] == 2
        assert says in found[2]
    found = dorsal("predict", str(photo), "--model", str(models / "detect"), "--out", str(mine))
    assert (found[0], "is a file; name a folder" in found[2]) == (2, True)
    assert mine.read_bytes() == before
    assert sorted(path.name for path in out.iterdir()) == ["x.jpg", "x.png"]


@pytest.mark.parametrize(
    ("task", "words", "says"),
    [
        ("detect", ["--top", "2"], "top=2 is of classifiers; the model is of task detect"),
        ("classify", ["--least-score", "0.3"], "least_score=0.3 is of detectors; the model is of task classify"),
        ("detect", ["--least-score", "nan"], "least_score=nan is not a finite number"),
        ("detect", ["--least-score", "2"], "least_score=2 must be from 0 to 1"),
    ],
)
def test_options_that_cannot_be(
    dorsal: Run, models: Path, tmp_path: Path, task: str, words: list[str], says: str
) -> None:
    found = dorsal("predict", str(picture(tmp_path / "x.png")), "--model", str(models / task), *words)
    assert (found[0], found[1]) == (2, "")
    assert says in found[2]


def test_a_model_is_not_trained_over(dorsal: Run, models: Path, tmp_path: Path) -> None:
    before = (models / "detect" / "model.json").read_bytes()
    words = [TINY, "--data", DATA, "--task", "detect", "--recipe", "dense(epochs=1, batch=10)"]
    found = dorsal("train", *words, "--out", str(models / "detect"))
    assert found[0] == 2
    assert "holds a model that was not trained there; name another folder" in found[2]
    assert (models / "detect" / "model.json").read_bytes() == before
    (tmp_path / "file").write_text("")
    found = dorsal("train", *words, "--out", str(tmp_path / "file"))
    assert (found[0], "is a file; name a folder" in found[2]) == (2, True)


def test_scales_that_are_no_numbers(dorsal: Run, models: Path) -> None:
    for scales in ("nan", "1,inf"):
        found = dorsal("evaluate", str(models / "semantic"), "--data", DATA, "--scales", scales)
        assert (found[0], "is not a finite number" in found[2]) == (2, True)


def test_another_version_of_the_runtime_is_told(dorsal: Run, models: Path, tmp_path: Path) -> None:
    import torch
    from msgspec.structs import replace

    from dorsal.deploy.bundle import make_bundle, write_bundle
    from dorsal.deploy.forms import Form
    from dorsal.deploy.programs import export_program
    from dorsal.tasks.saved import load_model

    (model, card), form, bundle = load_model(models / "classify"), Form("torch", "float32", "none"), tmp_path / "bundle"
    bundle.mkdir()
    export_program(model, (torch.randn(2, 3, 64, 64),), form, bundle / "model.pt2")
    made = make_bundle(bundle, form, card, aim="latency", threads=1)
    call = ("predict", str(picture(tmp_path / "a.png")), "--model", str(bundle), "--json")
    assert dorsal(*call)[::2] == (0, "")
    write_bundle(bundle, replace(made, versions={"torch": "0.1"}))
    status, said, notes = dorsal(*call)
    assert status == 0
    assert len(json.loads(said)) == 1
    assert notes.startswith("note: the bundle was made and shown to be right with torch 0.1, and here is ")
