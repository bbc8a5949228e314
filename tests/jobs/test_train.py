"""One training run of a study, and what is measured before."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from dorsal.data.spec import Folder, parse_data
from dorsal.jobs.events import Note
from dorsal.jobs.forecast import RunTiming
from dorsal.jobs.plan import Run
from dorsal.jobs.records import Trial
from dorsal.jobs.resources import Resources
from dorsal.jobs.train import choose_device, data_summary, run_trial, time_run
from dorsal.recipes.epoch import Epoch, Step
from dorsal.recipes.text import read_recipes
from dorsal.study.comparison.plan import plan_comparison
from dorsal.study.comparison.question import Comparison
from tests.study.conftest import TINY

DATA = "scenes(train=100, val=20, size=32)"
PLACE = Resources(device="cpu")


def make_run(recipe: str = "plain(batch=50)", **changes: Any) -> Run:
    comparison = Comparison(networks=(f"tiny={TINY}",), data=DATA, seeds=1)
    (run,) = plan_comparison(comparison, data_summary(parse_data(DATA)), read_recipes([recipe], 2)).runs
    return msgspec.structs.replace(run, **changes)


def make(run: Run, folder: Path) -> tuple[Trial, list[Any]]:
    told: list[Any] = []
    return run_trial(run, told.append, folder=folder, place=PLACE, keep_models=False), told


def test_a_run_tells_all_and_ends_as_its_last_epoch(tmp_path: Path) -> None:
    run = make_run()
    trial, told = make(run, tmp_path)
    epochs = tuple(what for what in told if isinstance(what, Epoch))
    assert (run.arm, run.recipe_name, run.seed) == ("tiny", "plain(batch=50)", 1)
    assert (trial.key, trial.status) == (run.key, "finished")
    assert trial.curve == epochs
    assert [epoch.epoch for epoch in epochs] == [1, 2]
    assert trial.accuracy == epochs[-1].accuracy
    assert trial.seconds == sum(epoch.seconds for epoch in epochs)
    assert [what for what in told if isinstance(what, Step)] == [Step(e, s, 2) for e in (1, 2) for s in (1, 2)]


def test_a_run_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    whole, _ = make(make_run(), tmp_path)
    again, told = make(make_run(), tmp_path)
    assert again == whole
    assert told == []


def test_a_loss_that_is_no_number_is_an_outcome(tmp_path: Path) -> None:
    trial, _ = make(make_run("plain(lr=1e8, warmup_epochs=0)"), tmp_path)
    assert (trial.status, trial.accuracy) == ("diverged", None)
    assert "epoch" in trial.error


def test_an_error_is_recorded_with_its_place(tmp_path: Path) -> None:
    run = make_run()
    (tmp_path / f"{run.key}.pt").mkdir()
    trial, _ = make(run, tmp_path)
    assert (trial.status, trial.accuracy, trial.curve) == ("failed", None, ())
    assert trial.error.startswith("IsADirectoryError: ")
    assert ".py, line " in trial.error


def test_data_that_changed_since_planning_fail_the_run(tmp_path: Path) -> None:
    trial, _ = make(make_run(fingerprint="0" * 64), tmp_path)
    assert trial.status == "failed"
    assert "changed after the study was planned" in trial.error


def test_a_damaged_checkpoint_is_told_of(tmp_path: Path) -> None:
    run = make_run()
    (tmp_path / f"{run.key}.pt").write_bytes(b"damaged" * 100)
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
    assert timing.epoch_seconds > 2 * timing.train_step.low_ms / 1e3


def test_a_run_that_cannot_be_timed_says_why() -> None:
    run = msgspec.structs.replace(make_run(), data=Folder("nowhere"))
    said = time_run(run, place=PLACE)
    assert isinstance(said, str)
    assert said.startswith("DataError: path: 'nowhere' cannot be used as a data set")


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
