"""A comparison on several data sets: its runs, its order, what is refused before them, and what it says."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace
from rich.console import Console

import dorsal
from dorsal.findings.data_sets import DataSetsFindings, analyse_data_sets
from dorsal.jobs.events import Event, JobEnd, Note, StudyStart
from dorsal.jobs.plan import Run
from dorsal.jobs.records import Trial
from dorsal.jobs.remarks import BudgetCut
from dorsal.report.data_sets.page import data_sets_page
from dorsal.report.data_sets.terminal import print_data_sets
from dorsal.report.words.data_sets import caveats, conclusions
from dorsal.stats.data_sets import compare_over_data_sets
from dorsal.study.comparison.data_sets import compare_data_sets
from dorsal.study.comparison.question import Comparison, command_line, from_toml
from dorsal.study.comparison.records import DataSetStudies
from dorsal.study.comparison.run import compare
from dorsal.study.comparison.saved import load_data_sets
from tests.study.arithmetic import Arithmetic, put_in_place
from tests.study.conftest import results, tiny

DATA = tuple(f"scenes(train=40, val=20, seed={seed})" for seed in (1, 2))
NAMES = ["scenes-seed-1", "scenes-seed-2"]
THIRD = DATA[0].replace("seed=1", "seed=3")


class Noisy(Arithmetic):
    """Arm b is better than arm a by about 20 points."""

    def trial(self, run: Run) -> Trial:
        noise = np.random.default_rng([run.seed, run.data.seed, run.arm == "b"]).normal()
        return replace(super().trial(run), score=60.0 + 20 * (run.arm == "b") + float(noise))


def asked(out: Path, **fields: Any) -> Comparison:
    return tiny(out, **{"data": DATA, **fields})


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Arithmetic:
    return put_in_place(Noisy(2), monkeypatch)


def test_it_is_what_single_comparisons_are_and_goes_seed_by_seed(tmp_path: Path, engine: Arithmetic) -> None:
    events: list[Event] = []
    found = dorsal.run(asked(tmp_path / "out"), on_event=events.append)
    assert isinstance(found, DataSetStudies)
    assert list(found.studies) == NAMES
    assert [(run.seed, run.data.seed) for run in engine.made[::2]] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    made = len(engine.made)
    for name, data in zip(NAMES, DATA, strict=True):
        home = tmp_path / "out" / name
        again = compare(tiny(home, data=data))
        assert len(engine.made) == made  # nothing is trained twice
        assert results(again) == results(found.studies[name])
        assert again.command == found.studies[name].command
        assert [arm.label for arm in again.arms] == ["a", "b"]
    ended = [(event.done, event.total) for event in events if isinstance(event, JobEnd)]
    assert ended == [(done, 8) for done in range(1, 9)]
    assert [event.forecast.runs for event in events if isinstance(event, StudyStart)] == [8]
    assert Note("now on scenes-seed-2, seed 2") in events


def test_workers_without_work_get_more_seeds_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = put_in_place(Noisy(4, seed=None), monkeypatch)
    compare_data_sets(asked(tmp_path / "out"))
    assert [run.data.seed for run in engine.made] == [1] * 4 + [2] * 4


def test_the_same_question_goes_on_after_an_interruption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = put_in_place(Noisy(1, reports=3), monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        compare_data_sets(asked(tmp_path / "out"))
    broken = load_data_sets(tmp_path / "out")
    assert [len(study.trials) for study in broken.studies.values()] == [2, 1]
    found = analyse_data_sets(broken)
    assert (found.planned, found.done, found.overall, found.waiting) == (8, 3, None, (NAMES[1],))
    assert conclusions(found)[0] == "Unfinished: 3 of 8 runs done."
    second = put_in_place(Noisy(1), monkeypatch)
    whole = compare_data_sets(asked(tmp_path / "out"))
    assert [len(study.trials) for study in whole.studies.values()] == [4, 4]
    assert not {run.key for run in first.made[:3]} & {run.key for run in second.made}
    assert len(second.made) == 5


def test_a_budget_has_as_many_seeds_on_every_data_set(tmp_path: Path, engine: Arithmetic) -> None:
    events: list[Event] = []
    found = compare_data_sets(asked(tmp_path / "out", seeds=3, budget="11m"), on_event=events.append)
    assert [study.seeds for study in found.studies.values()] == [(1, 2)] * 2
    cuts = {remark for study in found.studies.values() for remark in study.remarks if isinstance(remark, BudgetCut)}
    assert [(cut.fitting, cut.parts, cut.part_name) for cut in cuts] == [
        (2, 3, "seeds for every arm and recipe on every data set")
    ]
    assert not any("replaced" in event.text for event in events if isinstance(event, Note))


@pytest.mark.slow
def test_arms_are_tuned_on_each_data_set(tmp_path: Path, engine: Arithmetic) -> None:
    data = tuple(each.replace("40", "600") for each in DATA)
    found = compare_data_sets(asked(tmp_path / "out", data=data, seeds=1, epochs=1, tune=2))
    assert [len(study.tuning) for study in found.studies.values()] == [2, 2]
    assert {run.data.seed for run in engine.made[:8]} == {1, 2}  # the tries come first
    assert analyse_data_sets(found).compared == "plain, tuned"


def test_a_data_set_more_keeps_the_others(tmp_path: Path, engine: Arithmetic) -> None:
    compare_data_sets(asked(tmp_path / "out", data=(THIRD, DATA[0]), seeds=1))
    made, events = len(engine.made), list[Event]()
    found = compare_data_sets(asked(tmp_path / "out", seeds=1), on_event=events.append)
    assert {run.data.seed for run in engine.made[made:]} == {2}
    assert list(found.studies) == NAMES
    assert any("holds scenes-seed-3 too" in event.text for event in events if isinstance(event, Note))


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"data": (DATA[0], DATA[0])}, "'scenes.* is given twice"),
        ({"data": (DATA[0], "scenes(seed=1, val=20, train=40)")}, "has the images of 'scenes"),
        ({"data": (*DATA, "photo")}, "data='photo' is neither"),
        ({"data": (*DATA, "one")}, "one: has one class only"),
        ({"until_decided": True}, "over 2 data sets more seeds decide nothing"),
        ({"budget": "1m"}, "too small: 1 of 2 seeds for every arm and recipe on every data set takes about 4m52s"),
        ({"recipes": ("probe",), "tune": 2}, "no recipe .probe. has a learning rate"),
        ({"budget": "9m", "tune": 2}, "budget='9m' does not go with tune=2 over 2 data sets"),
    ],
)
def test_what_is_wrong_is_refused_before_any_work(
    tmp_path: Path, engine: Arithmetic, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], says: str
) -> None:
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    Path("one/cat").mkdir(parents=True)
    for place in range(4):
        Image.new("RGB", (32, 32), (place, 0, 0)).save(f"one/cat/{place}.png")
    with pytest.raises(ValueError, match=says):
        dorsal.run(asked(tmp_path / "out", **fields))
    assert engine.made == []
    assert not (tmp_path / "out").exists()


def test_a_folder_holds_one_or_several(tmp_path: Path, engine: Arithmetic) -> None:
    compare(tiny(tmp_path / "one", seeds=1))
    compare_data_sets(asked(tmp_path / "several", seeds=1))
    with pytest.raises(ValueError, match="one' holds a comparison; name another folder"):
        compare_data_sets(asked(tmp_path / "one"))
    with pytest.raises(ValueError, match="several' holds a comparison on several data sets; name another folder"):
        compare(tiny(tmp_path / "several"))
    with pytest.raises(ValueError, match="know different classes; name one of the folders in it: sc"):
        dorsal.run(dorsal.Evaluation(models=(str(tmp_path / "several"),)))


def test_the_question_is_one_in_every_form() -> None:
    question = from_toml("data = ['scenes', 'scenes(seed=1)']")
    assert question == Comparison(data=["scenes", "scenes(seed=1)"])
    assert command_line(question) == "dorsal compare --data scenes --data 'scenes(seed=1)'"
    alone = Comparison(data=("scenes(seed=1)",))
    assert (alone.data, alone.folder) == ("scenes(seed=1)", Comparison(data="scenes(seed=1)").folder)
    assert question.folder != alone.folder


def test_the_answer_is_over_data_sets(tmp_path: Path, engine: Arithmetic) -> None:
    studies = compare_data_sets(asked(tmp_path / "out", recipes=("plain", "tricks"), seeds=3))
    found = dorsal.write_report(tmp_path / "out")
    assert isinstance(found, DataSetsFindings)
    assert found == dorsal.analyse(studies) == dorsal.analyse(dorsal.load(tmp_path / "out"))
    tables = {
        name: {
            arm: [np.mean([study.ended()[arm, recipe, seed].score for recipe in study.recipes]) for seed in study.seeds]
            for arm in "ab"
        }
        for name, study in studies.studies.items()
    }
    over = compare_over_data_sets(tables)
    assert found.overall is not None
    assert found.overall.pairs[0].difference.value == pytest.approx(over.overall.pairs[0].difference.value)
    assert (found.compared, found.overall.repeats) == ("mean of the recipes", 2)
    assert list(found.by_recipe) == ["mean of the recipes", "plain", "tricks"]
    (record,) = found.records
    assert (record.first, record.wins, record.ties, record.losses, record.ahead) == ("b", 2, 0, 0, 2)
    assert conclusions(found)[0].startswith("b is better than a by ")
    assert "2 data sets show next to nothing about others like them" in "".join(caveats(found))
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    for name in NAMES:
        assert f'href="{name}/report.html"' in page
        assert (tmp_path / "out" / name / "report.html").is_file()
    whole = json.loads((tmp_path / "out" / "results.json").read_text())
    assert whole["analysis"]["sentences"] == list(conclusions(found))
    assert "comparison on 2 data sets; 24 of 24 runs have ended" in studies._repr_html_()


def test_a_data_set_on_which_nothing_was_learnt_is_left_out(tmp_path: Path, engine: Arithmetic) -> None:
    studies = dorsal.run(asked(tmp_path / "out", data=(*DATA, THIRD)))
    assert isinstance(studies, DataSetStudies)
    third = studies.studies["scenes-seed-3"]
    lost = replace(third, trials=tuple(replace(trial, score=third.data.constant) for trial in third.trials))
    found = analyse_data_sets(replace(studies, studies={**studies.studies, "scenes-seed-3": lost}))
    assert (found.unlearnt, list(found.data_sets)) == (("scenes-seed-3",), NAMES)
    assert "Nothing was learnt on scenes-seed-3: that says nothing about the arms, and is left out." in conclusions(
        found
    )
    assert found.overall is not None
    assert found.overall.repeats == 2


def test_the_only_data_set_with_an_answer_shows_it(
    tmp_path: Path, engine: Arithmetic, capsys: pytest.CaptureFixture[str]
) -> None:
    studies = dorsal.run(asked(tmp_path / "out"))
    assert isinstance(studies, DataSetStudies)
    first = studies.studies[NAMES[0]]
    lost = replace(first, trials=tuple(replace(trial, score=first.data.constant) for trial in first.trials))
    found = analyse_data_sets(replace(studies, studies={**studies.studies, NAMES[0]: lost}))
    assert (found.overall, list(found.data_sets)) == (None, NAMES[1:])
    said = conclusions(found)
    assert said[1].startswith("No answer over data sets")
    assert said[2].startswith("On scenes-seed-2: b is ")
    print_data_sets(studies, found, Console(width=80))
    printed = capsys.readouterr().out
    assert "scenes-seed-2" in printed
    assert "b − a" in printed
    assert "<table" in data_sets_page(studies, found)


def test_seeds_that_draw_their_images_cover_new_images_on_each_data_set(tmp_path: Path, engine: Arithmetic) -> None:
    studies = dorsal.run(asked(tmp_path / "out", seeds=4, resample="random"))
    assert isinstance(studies, DataSetStudies)
    found = analyse_data_sets(studies)
    assert [each.overlap for each in found.data_sets.values()] == pytest.approx([0.5, 0.5])
    assert "Intervals on a single data set cover training and test images, which each seed draws anew, " in "".join(
        caveats(found)
    )


def test_markup_stays_text(tmp_path: Path, engine: Arithmetic) -> None:
    evil = "<script>document.title='owned'</script>"
    studies = dorsal.run(asked(tmp_path / "out"))
    assert isinstance(studies, DataSetStudies)
    plan = replace(studies.plan, name=evil, command=evil)
    arms = {
        name: replace(
            study,
            arms=tuple(replace(arm, label=f"{arm.label}{evil}") for arm in study.arms),
            runs=tuple(replace(run, arm=f"{run.arm}{evil}") for run in study.runs),
        )
        for name, study in studies.studies.items()
    }
    evils = replace(studies, plan=plan, studies=arms)
    page = data_sets_page(evils, analyse_data_sets(evils))
    assert evil not in page
    assert page.count("&lt;script&gt;document.title") > 10
