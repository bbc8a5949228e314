"""One training run of a study, and what is measured before."""

import os
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from dorsal.data import scanning
from dorsal.data.dataset import EvaluationBatches, ImageData, open_data
from dorsal.data.spec import Folder, parse_data
from dorsal.jobs.ahead import data_summary, summaries_at_sizes
from dorsal.jobs.device import choose_device
from dorsal.jobs.engine import Predictions
from dorsal.jobs.evaluate import evaluate
from dorsal.jobs.events import Note
from dorsal.jobs.forecast import RunTiming
from dorsal.jobs.kept import check_disk, disk_needed, model_folder, pack, read_predictions, write_predictions
from dorsal.jobs.plan import Run, checkpoint_file
from dorsal.jobs.records import Trial
from dorsal.jobs.resources import Resources
from dorsal.jobs.time_run import time_run
from dorsal.jobs.train import run_trial
from dorsal.recipes.epoch import Epoch, Step
from dorsal.recipes.text import read_recipes
from dorsal.study.comparison.plan import plan_comparison
from dorsal.study.comparison.question import Comparison
from dorsal.tasks.classify.score import score_of
from dorsal.weights.saved import load_model
from tests.data.pictures import fill
from tests.study.conftest import TINY
from tests.train.tiny import Closed

DATA = "scenes(train=100, val=20, size=32)"
PLACE = Resources(device="cpu")


def make_run(recipe: str = "plain(batch=50)", **changes: Any) -> Run:
    comparison = Comparison(networks=(f"tiny={TINY}",), data=DATA, seeds=1)
    (run,) = plan_comparison(comparison, data_summary(parse_data(DATA)), read_recipes([recipe], 2)).runs
    return msgspec.structs.replace(run, **changes)


def make(run: Run, folder: Path) -> tuple[Trial, list[Any]]:
    told: list[Any] = []
    return run_trial(run, told.append, folder=folder, place=PLACE, keep_models=True), told


def eval_images(data: ImageData) -> torch.Tensor:
    return torch.cat([images for images, _ in EvaluationBatches(data.val, data.size, data.normalization, 64)])


def test_a_run_with_held_out_training_images_never_looks_at_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, data = make_run("plain(batch=40)", inner=0), msgspec.structs.replace(open_data(parse_data(DATA)), val=Closed())
    monkeypatch.setattr("dorsal.jobs.inputs.open_once", lambda *_: data)
    trial, told = make(run, tmp_path)
    assert (trial.status, trial.error) == ("finished", "")
    steps = {what.steps for what in told if isinstance(what, Step)}
    assert (trial.status, steps) == ("finished", {2}), trial.error  # of 80 of the 100 training images


def test_a_run_tells_all_and_ends_as_its_last_epoch(tmp_path: Path) -> None:
    run = make_run()
    trial, told = make(run, tmp_path)
    epochs = tuple(what for what in told if isinstance(what, Epoch))
    assert (run.arm, run.recipe_name, run.seed) == ("tiny", "plain(batch=50)", 1)
    assert (trial.key, trial.status) == (run.key, "finished")
    assert trial.curve == epochs
    assert [epoch.epoch for epoch in epochs] == [1, 2]
    assert trial.score == epochs[-1].score
    assert trial.seconds == sum(epoch.seconds for epoch in epochs)
    assert [what for what in told if isinstance(what, Step)] == [Step(e, s, 2) for e in (1, 2) for s in (1, 2)]


def test_a_run_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    whole, _ = make(make_run(), tmp_path)
    again, told = make(make_run(), tmp_path)
    assert again == whole
    assert [type(what) for what in told] == [Predictions]


def test_a_finished_run_leaves_its_model_and_predictions_that_give_its_score(tmp_path: Path) -> None:
    run = make_run()
    trial, told = make(run, tmp_path)
    (said,) = (what for what in told if isinstance(what, Predictions))
    write_predictions(tmp_path, run.key, said.content)
    found = read_predictions(tmp_path, trial)
    assert score_of(found) == trial.score
    data = open_data(parse_data(DATA))
    assert found["label"].tolist() == data.val.labels.tolist()
    model, card = load_model(model_folder(tmp_path, run.key))
    assert card.metrics == {"accuracy": trial.score}
    assert evaluate(model, data.val, data).score == trial.score
    logits = model(eval_images(data)).detach().half().numpy()
    np.testing.assert_allclose(logits, found["logits"], rtol=1e-2, atol=1e-2)


def test_predictions_that_are_not_those_of_the_run_are_refused(tmp_path: Path) -> None:
    trial = Trial("key", "finished", 50.0, (), 1.0, predictions="0" * 64)
    with pytest.raises(ValueError, match=r"key.npz' is missing"):
        read_predictions(tmp_path, trial)
    write_predictions(tmp_path, "key", pack({"label": np.arange(3)}))
    with pytest.raises(ValueError, match=r"key.npz' is damaged or of another run"):
        read_predictions(tmp_path, trial)
    with pytest.raises(ValueError, match="it has not finished"):
        read_predictions(tmp_path, msgspec.structs.replace(trial, predictions=""))


def test_without_room_for_them_no_model_is_kept(tmp_path: Path) -> None:
    trial = run_trial(make_run(), lambda _: None, folder=tmp_path, place=PLACE, keep_models=False)
    assert trial.status == "finished"
    assert not (tmp_path / "models").exists()


def test_disk_is_counted_before_it_is_used(tmp_path: Path) -> None:
    summary = data_summary(parse_data(DATA))
    with_models, without = (disk_needed([1000, 3000], summary, 1, keep) for keep in (True, False))
    assert with_models - without == 4 * 4000
    assert disk_needed([1000, 3000], summary, 2, False) - without == 4 * 4 * 1000  # one checkpoint more
    check_disk(tmp_path, 1, models=True)
    with pytest.raises(ValueError, match=r"the runs need about 1\.05e\+06 GiB of disk and .* are free; make room"):
        check_disk(tmp_path, 2**50, models=True)


def test_a_loss_that_is_no_number_is_an_outcome(tmp_path: Path) -> None:
    trial, _ = make(make_run("plain(lr=1e8, warmup_epochs=0)"), tmp_path)
    assert (trial.status, trial.score) == ("diverged", None)
    assert "epoch" in trial.error


def test_an_error_is_recorded_with_its_place(tmp_path: Path) -> None:
    run = make_run()
    checkpoint_file(tmp_path, run.key).mkdir(parents=True)
    trial, _ = make(run, tmp_path)
    assert (trial.status, trial.score, trial.curve) == ("failed", None, ())
    assert trial.error.startswith("IsADirectoryError: ")
    assert ".py, line " in trial.error


def test_data_that_changed_since_planning_fail_the_run(tmp_path: Path) -> None:
    trial, _ = make(make_run(fingerprint="0" * 64), tmp_path)
    assert trial.status == "failed"
    assert "changed after the study was planned" in trial.error


def test_a_damaged_checkpoint_is_told_of(tmp_path: Path) -> None:
    run = make_run()
    checkpoint_file(tmp_path, run.key).parent.mkdir()
    checkpoint_file(tmp_path, run.key).write_bytes(b"damaged" * 100)
    trial, told = make(run, tmp_path)
    assert trial.status == "finished"
    (note,) = (what.text for what in told if isinstance(what, Note))
    assert note.startswith("tiny, plain(batch=50), seed 1: ")
    assert "started over" in note


def test_timing_is_of_the_run() -> None:
    timing = time_run(make_run(), place=PLACE)
    assert isinstance(timing, RunTiming)
    for latency, batch in ((timing.forward, 1), (timing.train_step, 50)):
        assert 0 < latency.low_ms <= latency.median_ms <= latency.high_ms
        assert (latency.batch, latency.threads, latency.device) == (batch, 1, "cpu")


def test_an_epoch_is_forecast_as_its_steps_and_its_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dorsal.jobs.time_run.time_forward", lambda *_, **__: [0.25])
    monkeypatch.setattr("dorsal.jobs.time_run.time_step", lambda *_, **__: 3.0)
    timing = time_run(make_run(), place=PLACE)
    assert isinstance(timing, RunTiming)
    assert timing.epoch_seconds == 2 * 3.0 + 0.25


def test_a_folder_is_decoded_once_for_all_sizes_and_not_by_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = str(fill(tmp_path / "pets", {"cat": 5, "dog": 5}))
    scans: list[object] = []
    scan = scanning.scan
    monkeypatch.setattr(scanning, "scan", lambda *given: scans.append(given) or scan(*given))
    facts = data_summary(parse_data(f"{data}(size=32)"))
    assert len(scans) == 10
    at = summaries_at_sizes(facts)
    assert [at(size).image_size for size in (32, 48, 64)] == [32, 48, 64]
    assert {at(size).fingerprint for size in (32, 48, 64)} == {facts.fingerprint}
    comparison = Comparison(networks=(f"tiny={TINY}",), data=data, seeds=1)
    (run,) = plan_comparison(comparison, facts, read_recipes(["plain(batch=5)"], 1)).runs
    monkeypatch.setattr(os, "scandir", None)
    trial, _ = make(run, tmp_path)
    assert trial.status == "finished", trial.error
    assert len(scans) == 10


def test_a_run_that_cannot_be_timed_says_why() -> None:
    run = msgspec.structs.replace(make_run(), data=Folder("nowhere"))
    said = time_run(run, place=PLACE)
    assert isinstance(said, str)
    assert said.startswith("DataError: data='nowhere' cannot be used")


@pytest.mark.parametrize(
    ("recipe", "says"),
    [("plane", "unknown recipe 'plane'; did you mean plain"), ("plain(mixupp=1)", "mixupp.*did you mean mixup")],
)
def test_recipes_that_are_none(recipe: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read_recipes([recipe], None)


def test_devices_that_are_not_there() -> None:
    choose_device("cpu")
    with pytest.raises(ValueError, match="device='tpu' is not there; valid: auto, cpu"):
        choose_device("tpu")
