"""Probes as recipes of a comparison: planned, run once where nothing is left to chance, kept, analysed."""

from pathlib import Path
from typing import Any

import pytest

import dorsal
from dorsal.data.summary import DataSummary
from dorsal.jobs.events import JobEnd, Progress
from dorsal.jobs.trained import save_trained, trained_card
from dorsal.recipes.text import read_any_recipes, recipe
from dorsal.report.comparison.figures import level_views
from dorsal.report.words.comparison import caveats
from dorsal.spec.start import Start
from dorsal.study.comparison.plan import Foreign, fitted_network, plan_comparison
from dorsal.study.comparison.question import Comparison
from dorsal.study.comparison.run import compare
from tests.study.conftest import TINY, WIDER

DATA = "scenes(train=120, val=40, size=32)"


def test_neighbors_of_a_start_are_asked_once(summary: DataSummary) -> None:
    asked = Comparison(networks=("small", "small@w"), recipes=("probe", "neighbors(k=3)"), seeds=3)
    (arm,) = (arm for arm in asked.asked_arms if arm.weights)
    starts = {("w", fitted_network(arm, summary)): Start(weights="w", sha256="w")}
    made = plan_comparison(asked, summary, read_any_recipes(asked.recipes, None), foreign=Foreign(starts=starts))
    runs = [(run.arm, run.recipe_name, run.seed) for run in made.runs]
    assert len(runs) == 3 + 3 + 3 + 1  # random weights are other weights with every seed
    assert ("small@w", "neighbors(k=3)", 1) in runs
    assert len({run.key for run in made.runs}) == len(runs)


def test_a_level_that_an_arm_lacks_is_refused_by_its_name(summary: DataSummary) -> None:
    asked = Comparison(networks=("small",), recipes=("probe(level=7)",))
    with pytest.raises(ValueError, match=r"small under probe\(level=7\): level=7 does not exist in small"):
        plan_comparison(asked, summary, read_any_recipes(asked.recipes, None))


def test_probes_of_starts_are_compared_and_not_made_twice(tmp_path: Path) -> None:
    data = dorsal.open_data(DATA)
    networks = []
    for name, text in (("a", TINY), ("b", WIDER)):
        net = dorsal.network(f"{text[:-1]}, classes=10)")
        save_trained(tmp_path / name, dorsal.build(net), trained_card(net, data, "tests", recipe("plain")), 10.0)
        networks.append(f"{name}={text}@{tmp_path / name}")
    asked = Comparison(
        networks=tuple(networks),
        recipes=("probe", "probe(level=1)", "neighbors"),
        seeds=2,
        data=DATA,
        out=str(tmp_path / "out"),
        workers=1,
    )
    events: list[Any] = []
    study = compare(asked, on_event=events.append)
    assert [trial.status for trial in study.trials] == ["finished"] * 10, [trial.error for trial in study.trials]
    assert all(trial.curve == () for trial in study.trials)
    probed = study.ended()["a", "probe", 1]
    assert probed.choice is not None
    assert probed.score is not None
    assert probed.scores.keys() == {"top-5 accuracy", "mean accuracy of classes"}
    assert len(list((tmp_path / "out" / "features").glob("*.npy"))) == 2 * 2 * 3  # arms, splits, levels with the last
    computed = {(event.job.arm, event.job.recipe_name) for event in events if isinstance(event, Progress)}
    assert computed == {(arm, name) for arm in "ab" for name in ("probe", "probe(level=1)")}  # others found them there
    again: list[Any] = []
    assert compare(asked, on_event=again.append).trials == study.trials
    assert not [event for event in again if isinstance(event, JobEnd)]
    found = dorsal.analyse(tmp_path / "out")
    assert found.once == ("neighbors",)
    cell = found.cell("a", "neighbors")
    assert cell is not None
    assert (cell.planned, cell.finished) == (1, 1)
    assert cell.score is not None
    assert cell.score.low is not None  # one run: over test images alone
    assert not any("missing" in line for line in caveats(study, found))
    dorsal.write_report(tmp_path / "out")
    assert "Which level holds it" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    (view,) = level_views(study, found)
    assert view.name == "probe"
    for line, arm in zip(view.figure.data, ("a", "b"), strict=True):
        assert list(line.x) == ["1", "its own"]
        cells = [found.cell(arm, name) for name in ("probe(level=1)", "probe")]
        assert list(line.y) == [cell.score.value for cell in cells if cell and cell.score]


def test_too_few_images_to_probe_with_fail_before_any_work(tmp_path: Path) -> None:
    asked = Comparison(networks=(TINY,), recipes=("neighbors(k=500)",), data=DATA, out=str(tmp_path / "out"))
    with pytest.raises(ValueError, match=r"k=500 of neighbors is above the 120 training images"):
        compare(asked)
    assert not (tmp_path / "out").exists()
