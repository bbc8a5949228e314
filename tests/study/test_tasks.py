"""Studies of other tasks than classification: what is told apart, refused before work, kept, and said of scores."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import dorsal
from dorsal.data.spec import parse_data
from dorsal.findings.pick import pick_networks
from dorsal.findings.population.analyse import analyse_population
from dorsal.findings.search import analyse_search
from dorsal.jobs.ahead import data_summary
from dorsal.jobs.engine import Message, Predictions
from dorsal.jobs.forecast import RunTiming
from dorsal.jobs.kept import read_predictions, write_predictions
from dorsal.jobs.plan import Run, checkpoint_file, run_key, run_of
from dorsal.jobs.records import Trial
from dorsal.jobs.resources import ResourceOptions
from dorsal.jobs.time_run import time_run
from dorsal.jobs.train import run_trial
from dorsal.recipes.epoch import Epoch
from dorsal.recipes.text import read_any_recipes
from dorsal.report.words import populations, search
from dorsal.report.words.search import pick_sentences
from dorsal.spec.task import parse_task
from dorsal.study.comparison.question import Comparison
from dorsal.study.comparison.run import compare, prepare
from dorsal.study.population.question import Population
from dorsal.study.population.run import run_population
from dorsal.study.population.saved import load_population, read_trained
from dorsal.study.recheck.run import Recheck, run_recheck
from dorsal.study.search.question import Search
from dorsal.study.search.run import run_search
from dorsal.tasks.contributions import LARGE, contributions
from tests.study.arithmetic import Arithmetic, put_in_place

NET = "small(depths=[1, 1], widths=[8, 16], strides=[2, 2], stem=simple(width=8, stride=2))"
OTHER = NET.replace("16", "24")
DATA = "scenes(train=16, val=10, size=32)"
QUICK = "dense(epochs=1, batch=4)"
BOUNDS = {"macs": "..30M"}


def question(out: Path, **changes: Any) -> Comparison:
    """Two arms, one short epoch."""
    fields = {
        "networks": (NET, OTHER),
        "task": "detect",
        "recipes": (QUICK,),
        "data": DATA,
        "seeds": 1,
        "out": str(out),
    }
    return Comparison(**{**fields, **changes})


def runs(out: Path, **changes: Any) -> tuple[Run, ...]:
    """The runs that a comparison comes to."""
    asked = question(out, **changes)
    return prepare(asked, asked.seeds, lambda _: None).plan.runs


def drawn(out: Path, **changes: Any) -> Population:
    fields = {
        "spaces": ("anynetx_e",),
        "count": 2,
        "bounds": BOUNDS,
        "task": "detect",
        "recipe": QUICK,
        "data": DATA,
        "out": str(out),
    }
    return Population(**{**fields, **changes})


def searched(out: Path, **changes: Any) -> Search:
    fields = {
        "space": "anynetx_e",
        "trials": 2,
        "bounds": BOUNDS,
        "task": "semantic",
        "recipe": QUICK,
        "data": DATA,
        "out": str(out),
    }
    return Search(**{**fields, **changes})


class Low(Arithmetic):
    """All that it trains scores next to nothing, and has another score beside."""

    def trial(self, run: Run) -> Trial:
        made = super().trial(run)
        return msgspec.structs.replace(
            made, score=0.02 + 0.01 * run.seed, scores={"AP50": 0.5, "AR<1>": float(run.seed)}
        )


@pytest.fixture
def engine() -> Iterator[Arithmetic]:
    """Nothing is trained."""
    with pytest.MonkeyPatch.context() as patch:
        yield put_in_place(Arithmetic(2), patch)


@pytest.fixture
def low() -> Iterator[Low]:
    with pytest.MonkeyPatch.context() as patch:
        engine = Low(2)
        put_in_place(engine, patch)
        yield engine


# What runs are known by


def test_a_task_and_all_that_it_leaves_open_is_part_of_a_runs_key() -> None:
    summaries = {
        text: data_summary(parse_data(DATA, parse_task(text)), task=parse_task(text))
        for text in ("detect", "detect(head=cascade)", "detect(channels=32)", "instance", "semantic")
    }
    (recipe,) = read_any_recipes([QUICK], None).values()
    arm = prepare(question(Path("nowhere")), 1, lambda _: None).plan.arms[0]
    keys = {text: run_key(arm, recipe, 1, data, ResourceOptions()) for text, data in summaries.items()}
    assert len(set(keys.values())) == len(keys)
    filled = parse_task("detect(channels=64, hidden=256)")  # what the size of these images would give
    assert (
        run_key(arm, recipe, 1, data_summary(parse_data(DATA, filled), task=filled), ResourceOptions())
        == keys["detect"]
    )
    assert run_of(arm, QUICK, recipe, 1, summaries["semantic"], ResourceOptions()).task == summaries["semantic"].task


# What is refused before any work


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"recipes": ("neighbors",)},
            "under neighbors: a probe answers with one class for an image; task detect has to",
        ),
        (
            {"networks": (NET, f"{NET} with probe")},
            "a probe answers with one class for an image; task detect has to be",
        ),
        (
            {"recipes": ("dense(mixup=0.2, dropout=0.1)",), "task": "semantic"},
            "mixup=0.2, dropout=0.1 of the recipe do nothing in task semantic; leave them out, as mixup=0.0, dropout=0",
        ),
        ({"recipes": ("plain", "tricks")}, "recipe tricks: mixup=0.1, .* do nothing in task detect"),
        ({"recipes": ("detectron2-1x",)}, "freeze=2 of the recipe would keep random weights"),
        (
            {"networks": (NET, f"odd={OTHER.replace('[2, 2]', '[1, 2]')}")},
            r"network 'odd': a feature pyramid needs maps of strides 4, 8 and so on",
        ),
        ({"resample": 30, "seeds": 30}, "resample=30: the data have 26 groups of images, too few for so many folds"),
        ({"task": "detetc"}, "unknown task 'detetc'; did you mean detect"),
    ],
)
def test_a_comparison_is_refused_in_one_sentence(tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        runs(tmp_path / "out", **changes)
    assert not (tmp_path / "out").exists()


def test_data_without_what_the_task_needs_are_refused_naming_formats_that_have_it(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"has labels of whole images, no boxes; data sets with boxes: coco:"):
        runs(tmp_path / "out", data=_class_folders(tmp_path))


def _class_folders(folder: Path) -> str:
    from PIL import Image

    for part in ("train/a", "train/b", "val/a", "val/b"):
        (folder / "photos" / part).mkdir(parents=True)
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "photos" / part / "0.png")
    return str(folder / "photos")


@pytest.mark.parametrize(
    "ask",
    [lambda out, **more: run_population(drawn(out, **more)), lambda out, **more: run_search(searched(out, **more))],
)
def test_networks_of_a_space_that_the_task_cannot_be_built_on_are_refused_with_the_edit(
    ask: Any, tmp_path: Path, engine: Arithmetic
) -> None:
    with pytest.raises(
        ValueError,
        match=r"network 'anynetx_e/0': a feature pyramid needs.*2, 2, 2, 2, 4; edit the base of the space, as in edit=",
    ):
        ask(tmp_path / "out", edit="strides=[1, 1, 1, 2]")
    assert not engine.made
    assert not (tmp_path / "out").exists()


def test_networks_of_timm_are_arms_of_any_task(tmp_path: Path) -> None:
    pytest.importorskip("timm")
    made = runs(tmp_path / "out", networks=(NET, "timm:resnet10t"), task="semantic")
    assert [run.network.head.classes for run in made] == [0, 0]


# Populations and searches


def test_a_population_of_a_task_is_told_apart_and_says_what_its_errors_are(tmp_path: Path, engine: Arithmetic) -> None:
    out = tmp_path / "out"
    made = run_population(drawn(out))
    assert read_trained(out).task == "detect"
    assert {run.task for run in engine.made} == {made.study.task} == {made.study.data.task}
    with pytest.raises(ValueError, match="a population trained with another task; name another folder"):
        run_population(drawn(out, task="semantic"))
    found = analyse_population(load_population(out))
    assert any("error (100 − AP) " in sentence for sentence in populations.conclusions(found))
    picked = pick_networks(load_population(out))
    assert picked.task == "detect"
    assert any("--task detect" in sentence for sentence in pick_sentences(picked))
    engine.made.clear()
    run_recheck(Recheck(population=str(out), networks=2, epochs=(2,), seeds=1))
    assert {(run.task, run.recipe.epochs) for run in engine.made} == {
        (made.study.task, 2)
    }  # what is there is not run again


def test_a_search_of_a_task_is_told_apart(tmp_path: Path, engine: Arithmetic) -> None:
    out = tmp_path / "out"
    made = run_search(searched(out))
    assert {run.task for run in engine.made} == {made.study.task}
    with pytest.raises(ValueError, match="a search with another task; name another folder"):
        run_search(searched(out, task="instance"))
    assert any("Least error (100 − mIoU): " in sentence for sentence in search.conclusions(analyse_search(made)))
    run_population(drawn(tmp_path / "drawn"))
    with pytest.raises(
        ValueError, match=r"differs from the search in task: detect.*, not semantic.*errors do not compare"
    ):
        run_search(searched(tmp_path / "against", against=str(tmp_path / "drawn")))


# What is said of scores


def test_scores_under_a_point_say_that_nothing_was_learnt(tmp_path: Path, low: Low) -> None:
    compare(question(tmp_path / "out", seeds=2))
    findings = dorsal.analyse(dorsal.load(tmp_path / "out"))
    said = " ".join(findings_sentences(tmp_path / "out"))
    assert findings.learning.nothing
    assert not findings.comparisons
    assert "Nothing was learnt: of 4 results none reaches 1 point of AP. " in said
    assert "one class" not in said


def findings_sentences(folder: Path) -> tuple[str, ...]:
    from dorsal.report.words.comparison import conclusions

    study = dorsal.load(folder)
    return tuple(conclusions(study, dorsal.analyse(study)))


def test_other_scores_are_described_on_terminal_and_page(tmp_path: Path, low: Low) -> None:
    from rich.console import Console

    from dorsal.report.comparison.secondary import secondary_section, secondary_tables

    study = compare(question(tmp_path / "out", seeds=2))
    console = Console(width=80, record=True)
    for table in secondary_tables(study):
        console.print(table)
    text = console.export_text()
    assert "AP50" in text
    assert "1.50" in text  # the mean of AR over seeds 1 and 2
    page = secondary_section(study)
    assert "AR&lt;1&gt;, %" in page
    assert "described, not tested" in page
    assert secondary_section(msgspec.structs.replace(study, task=parse_task("classify"))) == ""


# Runs that are really made


@pytest.mark.parametrize("task", ["detect", "semantic", pytest.param("instance", marks=pytest.mark.slow)])
def test_what_a_run_keeps_gives_its_score(task: str, tmp_path: Path) -> None:
    asked = question(tmp_path, task=task, networks=(NET,))
    execution = prepare(asked, 1, lambda _: None)
    trial = made(execution.plan.runs[0], tmp_path, keep_models=True)
    fold = contributions(execution.plan.data.task, read_predictions(tmp_path, trial, LARGE))
    assert trial.status == "finished", trial.error
    assert fold.images == 10
    assert fold.score() == pytest.approx(trial.score, abs=1e-9)
    assert (tmp_path / "models" / trial.key).is_dir()


@pytest.mark.parametrize("task", ["detect", "semantic"])
def test_a_run_that_was_broken_off_ends_as_one_that_was_not(task: str, tmp_path: Path) -> None:
    (run,) = runs(tmp_path / "x", task=task, networks=(NET,), recipes=("dense(epochs=2, batch=4)",))
    whole = made(run, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        made(run, tmp_path / "broken", stop_after=1)
    assert checkpoint_file(tmp_path / "broken", run.key).exists()
    again = made(run, tmp_path / "broken")
    assert (again.score, again.scores, again.predictions) == (whole.score, whole.scores, whole.predictions)
    assert [point.train_loss for point in again.curve] == [point.train_loss for point in whole.curve]


def test_an_epoch_too_short_for_a_step_to_be_timed_is_guessed(tmp_path: Path) -> None:
    run = runs(tmp_path, networks=(NET,), recipes=("dense(epochs=1, batch=16)",))[0]
    found = time_run(run, place=ResourceOptions(device="cpu").resources)
    assert isinstance(found, RunTiming), found
    assert found.train_step is None
    assert found.epoch_seconds > found.forward.median_ms / 1e3
    assert found.whole is not None


def made(run: Run, folder: Path, *, keep_models: bool = False, stop_after: int | None = None) -> Trial:
    """The trial of a run that is made in this process; Ctrl-C comes after an epoch."""

    def tell(message: Message) -> None:
        match message:
            case Epoch(epoch=epoch) if epoch == stop_after:
                raise KeyboardInterrupt
            case Predictions(content):
                write_predictions(folder, run.key, content)

    folder.mkdir(exist_ok=True)
    place = ResourceOptions(device="cpu").resources
    return run_trial(run, tell, folder=folder, place=place, keep_models=keep_models)
