"""What a run is made with reaches the loop; workers may have processes of their own."""

import multiprocessing as mp
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dorsal.data.spec import parse_data
from dorsal.jobs.ahead import data_summary
from dorsal.jobs.engine import LocalPool, Message
from dorsal.jobs.plan import Run
from dorsal.jobs.records import Trial
from dorsal.jobs.resources import Resources
from dorsal.jobs.time_run import time_run
from dorsal.jobs.train import run_trial
from dorsal.recipes.text import read_recipes
from dorsal.study.comparison.plan import plan_comparison
from dorsal.study.comparison.question import Comparison
from tests.contracts.engine import ROOT
from tests.contracts.jobs import make_run

PLACE = Resources(device="cpu", threads=1, precision="bf16", micro_batch=8, loader_processes=3)


@pytest.mark.parametrize("call", [partial(run_trial, tell=lambda _: None, keep_models=False), time_run])
def test_the_loop_gets_all_of_it(call: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = "scenes(train=40, val=10, size=32)"
    asked = Comparison(networks=("small(depths=[1], widths=[16], strides=[2])",), seeds=1, data=data)
    (run,) = plan_comparison(asked, data_summary(parse_data(data)), read_recipes(["plain"], 1)).runs
    given: dict[str, Any] = {}

    def fit(*_: object, **options: Any) -> None:
        given.update(options)
        raise RuntimeError("that is enough")

    for module in ("train", "time_run"):
        monkeypatch.setattr(f"dorsal.jobs.{module}.fit", fit)
    folder = {"folder": tmp_path} if isinstance(call, partial) else {}
    call(run=run, place=PLACE, **folder)
    expected = {"device": "cpu", "precision": "bf16", "micro_batch": 8, "loader_processes": 3}
    assert {name: given[name] for name in expected} == expected


def has_a_child(run: Run, tell: Callable[[Message], None]) -> Trial:
    child = mp.get_context("fork").Process(target=int)
    child.start()
    child.join()
    return Trial(run.key, "finished", float(child.exitcode == 0), (), 0.0)


def test_a_run_may_have_processes_that_load_its_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT)
    (report,) = LocalPool(1, 1, has_a_child).run_all([make_run(1)])
    assert isinstance(report.what, Trial)
    assert report.what.score == 1
