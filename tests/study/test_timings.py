"""What is timed before the first run: kept as it is made, and no longer than it takes to refuse a budget."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dorsal.data.spec import parse_data
from dorsal.jobs.ahead import data_summary
from dorsal.jobs.events import Event, Note
from dorsal.jobs.execution import OnEvent
from dorsal.jobs.forecast import RunTiming
from dorsal.jobs.machine import machine
from dorsal.jobs.plan import Run
from dorsal.jobs.resources import Resources
from dorsal.jobs.timings import time_runs
from dorsal.recipes.text import read_recipes
from dorsal.study.comparison.plan import plan_comparison
from dorsal.study.comparison.run import compare
from dorsal.study.population.question import Population
from dorsal.study.population.run import run_population
from dorsal.study.search.question import Search
from dorsal.study.search.run import run_search
from tests.contracts.engine import ROOT
from tests.data.pictures import fill
from tests.study.arithmetic import EPOCH, Arithmetic, put_in_place, time_by
from tests.study.conftest import DATA, tiny

SPACE = {"bounds": {"macs": "1M..3M"}, "edit": "strides=[1, 2, 2, 2]", "recipe": "plain", "data": DATA, "epochs": 1}
NO_GUARD = """
from multiprocessing.context import BaseContext
from pathlib import Path
from dorsal.jobs.engine import LocalPool
from dorsal.jobs.lock import hold
from tests.contracts.jobs import at_once, make_run
BaseContext.set_forkserver_preload = lambda *_: None  # its workers train nothing: torch need not be imported
with hold(Path("out")):
    list(LocalPool(2, 1, at_once).run_all([make_run(1), make_run(2)]))
"""


def comparison(out: Path, on_event: OnEvent = lambda _: None, **changes: Any) -> None:
    compare(tiny(out, **changes), on_event=on_event)


def population(out: Path, on_event: OnEvent = lambda _: None, **changes: Any) -> None:
    run_population(Population(spaces=("anynetx_e",), count=3, out=str(out), **{**SPACE, **changes}), on_event=on_event)


def search(out: Path, on_event: OnEvent = lambda _: None, **changes: Any) -> None:
    run_search(Search(space="anynetx_e", trials=3, out=str(out), **{**SPACE, **changes}), on_event=on_event)


class Timer:
    """Times runs, each of which takes `EPOCH`; Ctrl-C comes in place of the second."""

    def __init__(self) -> None:
        self.timed: list[str] = []

    def __call__(self, run: Run) -> RunTiming:
        if len(self.timed) == 1:
            self.timed.append("interrupted")
            raise KeyboardInterrupt
        self.timed.append(run.key)
        return EPOCH


@pytest.mark.parametrize("question", [comparison, population, search])
def test_what_was_timed_before_an_interruption_is_not_timed_again(
    question: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_in_place(Arithmetic(2), monkeypatch)
    timer = Timer()
    time_by(timer, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        question(tmp_path / "out")
    question(tmp_path / "out")
    first, interrupted, *others = timer.timed
    assert interrupted == "interrupted"
    assert others
    assert len({first, *others}) == 1 + len(others)


def test_runs_are_timed_again_with_other_loaders_or_on_another_accelerator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed: list[str] = []
    time_by(lambda run: timed.append(run.arm) or EPOCH, monkeypatch)  # type: ignore[func-returns-value]
    (run, *_) = plan_comparison(tiny(tmp_path), data_summary(parse_data(DATA)), read_recipes(["plain"], 1)).runs
    here, place = machine("cpu", 1, 1), Resources(device="cpu")
    gpu = msgspec.structs.replace(here, accelerator="NVIDIA H200")
    loaders = msgspec.structs.replace(place, loader_processes=2)
    times = []
    for where, on in ((place, here), (loaders, here), (place, gpu), (place, here)):
        time_runs(tmp_path, [run], where, on, lambda _: None)
        times.append(len(timed))
    assert times == [1, 2, 3, 3]


@pytest.mark.parametrize("question", [comparison, population, search])
def test_how_the_data_are_split_is_said_before_all_else(
    question: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, told = put_in_place(Arithmetic(1), monkeypatch), list[Event]()
    photos = fill(tmp_path / "photos", {"boot": 10, "hat": 10})
    question(tmp_path / "out", told.append, data=f"{photos}(size=32)")
    assert engine.made
    notes = [event.text for event in told if isinstance(event, Note)]
    assert told[0] == Note(notes[0])
    said = "photos, split here (val_fraction=0.2, seed=0): 16 training and 4 validation images of 2 classes: boot, hat"
    assert [text for text in notes if "split here" in text] == notes[:1]
    assert notes[0].endswith(said)


def test_a_budget_far_too_small_is_refused_after_one_network_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_in_place(Arithmetic(1), monkeypatch)
    timed: list[Run] = []
    time_by(lambda run: timed.append(run) or EPOCH, monkeypatch)  # type: ignore[func-returns-value]
    asked = tiny(tmp_path / "runs" / "out", budget="1m")  # two arms, 14 epochs of 10 s each
    with pytest.raises(ValueError, match="budget='1m' is too small") as refused:
        compare(asked)
    assert [run.arm for run in timed] == ["a"]  # the one with fewer MACs
    assert list(tmp_path.iterdir()) == []
    offered = str(refused.value).partition("try a budget of ")[2].partition(",")[0]
    assert compare(tiny(tmp_path / "runs" / "out", budget=offered)).trials


@pytest.mark.parametrize("keep_models", [True, False])
@pytest.mark.parametrize("question", [comparison, population, search])
def test_a_full_disk_advises_to_keep_no_models_only_where_they_are_kept(
    question: Callable[..., None], keep_models: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_in_place(Arithmetic(1), monkeypatch)
    full = shutil.disk_usage(tmp_path)._replace(free=0)
    monkeypatch.setattr("dorsal.jobs.kept.shutil.disk_usage", lambda _: full)
    with pytest.raises(ValueError, match="make room, name a folder on another disk") as refused:
        question(tmp_path / "out", keep_models=keep_models)
    assert ("keep_models=false" in str(refused.value)) == keep_models


def test_what_every_budget_has_to_fit_is_timed_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_in_place(Arithmetic(1), monkeypatch)
    timed: list[str] = []
    time_by(lambda run: timed.append(run.arm) or EPOCH, monkeypatch)  # type: ignore[func-returns-value]
    population(tmp_path / "out")
    assert timed[0] == "anynetx_e/0"
    assert sorted(timed) == ["anynetx_e/0", "anynetx_e/1", "anynetx_e/2"]


def test_a_script_without_a_main_guard_is_told_once(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(NO_GUARD, encoding="utf-8")
    said = subprocess.run(
        [sys.executable, script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (said.returncode, said.stdout) == (1, "")
    assert said.stderr == (
        "dorsal: workers import the main module, and this one would begin the study again: put what starts it under "
        '`if __name__ == "__main__":`\n'
    )
    assert list(tmp_path.iterdir()) == [script]
