"""What is told of a study while it runs."""

from pathlib import Path

import pytest

from dorsal.cli.progress import Watch
from dorsal.jobs.events import EvaluationStart, JobEnd, Progress, Remark, StudyStart
from dorsal.jobs.forecast import Forecast
from dorsal.jobs.records import ModelScore, Trial, Visit
from dorsal.latency.records import OtherVersion
from dorsal.recipes.epoch import Step
from tests.contracts.jobs import make_evaluation, make_run


@pytest.mark.parametrize(("seconds", "says"), [(80.0, "about 1m20s"), (None, "no forecast")])
def test_the_forecast_is_said_first(seconds: float | None, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    Watch(Path("runs/x")).on_event(StudyStart((), Forecast(3, 1, seconds, 2, {}, 2**21), "cpu"))
    assert capsys.readouterr().err == f"3 runs, 1 of them done; {says} on 2 workers (cpu), and 2 MiB of disk\n"


@pytest.mark.parametrize(("left", "says"), [(80.0, "  about 1m20s left"), (0.0, "")])
def test_a_run_that_ended_is_one_line_with_the_time_left(
    left: float, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Watch(Path("runs/x")).on_event(JobEnd(make_run(1), Trial("key1", "finished", 50.0, (), 3.0, ""), 2, 3, left))
    assert capsys.readouterr().err == f"2/3  arm, plain, seed 1: 50.00 %  (3s){says}\n"


def test_in_a_terminal_each_worker_has_a_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    with Watch(Path("runs/x")) as watch:
        watch.on_event(StudyStart((), Forecast(3, 1, 80.0, 2, {}), "cuda"))
        for worker in range(2):
            watch.on_event(Progress(worker, make_run(worker), Step(1, 50, 100), 80.0))
    said = capsys.readouterr().err
    assert all(f"arm, plain, seed {seed}" in said for seed in range(2))
    assert "epoch 1/1" in said
    assert "about 1m20s left" in said


def test_visits_to_networks_are_told_of_in_tenths(capsys: pytest.CaptureFixture[str]) -> None:
    watch, job = Watch(Path("runs/x")), make_evaluation(1)
    for done in range(1, 31):
        watch.on_event(JobEnd(job, Visit(job.key, 1.0), done, 30, 0.0 if done == 30 else 80.0))
    tenths = [f"{done} of 30 visits to networks made  about 1m20s left" for done in range(3, 30, 3)]
    tenths.append("30 of 30 visits to networks made")
    assert capsys.readouterr().err.splitlines() == tenths


def test_what_is_told_of_models_that_are_scored(capsys: pytest.CaptureFixture[str]) -> None:
    watch, job = Watch(Path("runs/scores")), make_evaluation(1)
    watch.on_event(EvaluationStart("32 validation scenes", Forecast(1, 0, 9.0, 1, {}, 2**21), "cpu"))
    watch.on_event(JobEnd(job, ModelScore(key=job.key, score=50.0, seconds=3.0), 1, 2, 80.0))
    watch.on_event(JobEnd(job, job.failed("no such folder"), 2, 2, 0.0))
    assert capsys.readouterr().err.splitlines() == [
        "each is scored on 32 validation scenes",
        "1 model, 0 of them done; about 9s on 1 worker (cpu), and 2 MiB of disk",
        "1/2  model 1: 50.00 %  (3s)  about 1m20s left",
        "2/2  model 1: failed: no such folder  (1s)",
    ]


def test_a_remark_is_put_into_words(capsys: pytest.CaptureFixture[str]) -> None:
    Watch(Path("runs/x")).on_event(Remark(OtherVersion("1.0", "2.0"), "tiny"))
    says = "note: tiny: the latency model was measured with torch 1.0, and this is torch 2.0\n"
    assert capsys.readouterr().err == says
