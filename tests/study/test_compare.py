"""A whole comparison: what fails, what is made again, and what is refused with nothing lost."""

import errno
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dorsal.data.spec import parse_data
from dorsal.findings.analyse import analyse
from dorsal.findings.comparison import ComparisonFindings
from dorsal.jobs.ahead import data_summary
from dorsal.jobs.events import Event, JobEnd, Note, Progress, Remark, StudyStart
from dorsal.jobs.remarks import BudgetCut, SeveralSettings
from dorsal.jobs.study_file import STUDY_FILE, load_study, read_study_file, write_study_file
from dorsal.recipes.text import read_recipes
from dorsal.study.comparison.plan import plan_comparison
from dorsal.study.comparison.question import Comparison
from dorsal.study.comparison.run import compare
from tests.study.arithmetic import EPOCH, Arithmetic, put_in_place, time_by
from tests.study.conftest import results, tiny

DIVERGES = "plain(lr=1e8, warmup_epochs=0)"


class Crashed:
    """A study in a storage of its own of which one run fails and two diverge, asked twice."""

    def __init__(self, folder: Path) -> None:
        self.out = folder / "out"
        self.url = f"sqlite:///{folder / 'other.db'}"
        self.question = tiny(self.out, recipes=("plain", DIVERGES), seeds=1, epochs=1, storage=self.url, workers=1)
        # In the way of the checkpoint of arm b under the first recipe: a folder.
        self.in_the_way = self.out / "checkpoints" / f"{_key_of_b(self.question)}.pt"
        self.in_the_way.mkdir(parents=True)
        self.first: list[Event] = []
        self.study = compare(self.question, on_event=self.first.append)
        self.in_the_way.rmdir()
        self.second: list[Event] = []
        self.repaired = compare(self.question, on_event=self.second.append)


def _key_of_b(question: Comparison) -> str:
    recipes = read_recipes(question.recipes, question.epochs)
    made = plan_comparison(question, data_summary(parse_data(question.data)), recipes)
    return next(run.key for run in made.runs if (run.arm, run.recipe_name) == ("b", "plain"))


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> Crashed:
    return Crashed(tmp_path_factory.mktemp("crashed"))


def test_a_crashed_run_is_recorded_while_the_others_go_on(crashed: Crashed) -> None:
    outcomes = {(arm, recipe): trial for (arm, recipe, _), trial in crashed.study.ended().items()}
    assert {pair: trial.status for pair, trial in outcomes.items()} == {
        ("a", "plain"): "finished",
        ("b", "plain"): "failed",
        ("a", DIVERGES): "diverged",
        ("b", DIVERGES): "diverged",
    }
    assert outcomes["b", "plain"].error.startswith("IsADirectoryError")
    assert all(outcomes[arm, DIVERGES].error for arm in "ab")


def test_the_same_call_makes_only_the_crashed_run_again(crashed: Crashed) -> None:
    done = [event for event in crashed.second if isinstance(event, JobEnd)]
    assert [(event.job.arm, event.job.recipe_name, event.outcome.status) for event in done] == [
        ("b", "plain", "finished")
    ]
    assert done[0].outcome.key == done[0].job.key
    assert (done[0].done, done[0].total) == (4, 4)
    assert {event.job.arm for event in crashed.second if isinstance(event, Progress)} == {"b"}


def test_events_tell_the_forecast_first_and_every_trial(crashed: Crashed) -> None:
    planned = next(event for event in crashed.first if not isinstance(event, Note | Remark))
    assert isinstance(planned, StudyStart)
    assert (planned.forecast.runs, planned.forecast.done) == (4, 0)
    assert (planned.forecast.seconds or 0) > 0
    assert planned.forecast.disk_bytes > 0
    ended = [event for event in crashed.first if isinstance(event, JobEnd)]
    assert [event.done for event in ended] == [1, 2, 3, 4]
    assert [event.seconds_left > 0 for event in ended] == [True, True, True, False]
    assert all(event.seconds_left >= 0 for event in crashed.first if isinstance(event, Progress))


def test_the_study_holds_what_a_report_needs(crashed: Crashed) -> None:
    study = crashed.repaired
    assert study == load_study(crashed.out)
    assert not (crashed.out / "study.db").exists()
    assert all(arm.forward is not None and arm.train_step is not None for arm in study.arms)
    assert study.command.startswith("dorsal compare 'a=small(")
    assert study.kind == "comparison"
    assert study.recipes == read_recipes(("plain", DIVERGES), 1)
    assert study.data == data_summary(parse_data(crashed.question.data))
    assert (study.machine.workers, study.machine.threads) == (1, 1)  # one run was left
    assert {"python", "torch", "optuna"} <= set(study.versions)
    assert study.created == crashed.study.created
    found = analyse(crashed.out, crashed.url)  # the folder keeps what was said of each image
    assert isinstance(found, ComparisonFindings)
    assert (found.images, found.lost) == (study.data.val_images, "")


def test_another_setting_is_told_of(crashed: Crashed) -> None:
    saved = read_study_file(crashed.out)
    assert saved is not None
    assert len(saved.settings) == 1
    before = crashed.repaired.remarks
    assert not any(isinstance(remark, SeveralSettings) for remark in before)
    write_study_file(crashed.out, msgspec.structs.replace(saved, settings=("torch 1.0", *saved.settings)))
    (remark,) = set(compare(crashed.question).remarks) - set(before)
    assert remark == SeveralSettings(("torch 1.0", *saved.settings))
    write_study_file(crashed.out, saved)


def test_where_nothing_is_run_the_machine_is_that_of_the_runs(crashed: Crashed) -> None:
    saved = read_study_file(crashed.out)
    assert saved is not None
    elsewhere = msgspec.structs.replace(saved.study.machine, processor="another", workers=7)
    study = msgspec.structs.replace(saved.study, machine=elsewhere, versions={"torch": "1.0"})
    write_study_file(crashed.out, msgspec.structs.replace(saved, study=study))
    again = compare(crashed.question)
    assert (again.machine, again.versions) == (elsewhere, {"torch": "1.0"})
    write_study_file(crashed.out, saved)


def test_a_full_disk_leaves_the_old_study_file(crashed: Crashed, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    saved, content = read_study_file(crashed.out), (crashed.out / STUDY_FILE).read_bytes()
    assert saved is not None
    monkeypatch.setattr("dorsal.jobs.json_file.os.fsync", full)
    with pytest.raises(OSError, match="No space left on device"):
        write_study_file(crashed.out, msgspec.structs.replace(saved, settings=("another",)))
    assert (crashed.out / STUDY_FILE).read_bytes() == content
    assert not list(crashed.out.glob("*.tmp"))


def test_another_name_is_refused_with_nothing_lost(crashed: Crashed) -> None:
    """The store knows its runs by the name: all would be made again."""
    with pytest.raises(ValueError, match="holds a study with the name 'compare', not 'b'; give that name, or name ano"):
        compare(tiny(crashed.out, storage=crashed.url, name="b"))
    assert results(load_study(crashed.out)) == results(crashed.repaired)


def test_a_budget_too_small_is_refused_with_nothing_lost(crashed: Crashed) -> None:
    more = tiny(crashed.out, recipes=("plain",), seeds=9, epochs=1000, storage=crashed.url, budget="1s")
    with pytest.raises(ValueError, match="budget='1s' is too small: 1 of 9 seeds for every arm and recipe takes"):
        compare(more)
    assert results(load_study(crashed.out)) == results(crashed.repaired)


def test_a_budget_runs_the_rounds_that_fit_and_says_so(crashed: Crashed) -> None:
    events: list[Event] = []
    more = tiny(crashed.out, seeds=500, epochs=1, storage=crashed.url, budget="2s")
    # The first seed has been run, so it fits any budget; one more does not fit into less than a worker takes to start.
    study = compare(more, on_event=events.append)
    assert study.seeds == (1,)
    assert [trial.status for trial in study.trials] == ["finished"] * 2
    notes = [event.text for event in events if isinstance(event, Note)]
    assert " holds `dorsal compare " in notes.pop(len(study.data.notes))
    assert list(study.notes) == notes
    remarks = [event.value for event in events if isinstance(event, Remark)]
    assert list(study.remarks) == remarks
    (cut,) = (remark for remark in remarks if isinstance(remark, BudgetCut))
    assert (cut.budget, cut.fitting, cut.parts) == ("2s", 1, 500)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"recipes": ("plane",)}, "unknown recipe 'plane'"),
        ({"data": "scene"}, "neither 'scenes' nor an existing folder"),
        ({"device": "tpu"}, "device='tpu' is not there"),
        ({"networks": ("resnet50",), "data": "scenes(train=10, val=10, size=32)", "match": "macs=1k"}, "no widths"),
        ({"storage": "nonsense"}, "storage nonsense cannot be opened"),
    ],
)
def test_bad_questions_are_refused_before_anything_starts(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        compare(tiny(tmp_path / "out", **changes))
    assert list(tmp_path.iterdir()) == []


def test_another_question_in_a_folder_says_what_is_reused_and_what_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = put_in_place(Arithmetic(1), monkeypatch)

    def told(**changes: Any) -> list[str]:
        events: list[Event] = []
        compare(tiny(tmp_path / "out", **changes), on_event=events.append)
        return [event.text for event in events if isinstance(event, Note) and "holds" in event.text]

    assert told() == []
    assert told(seeds=3) == []  # more of the same
    (said,) = told(seeds=1, recipes=("plain", "tricks"))
    assert said.startswith(f"{tmp_path / 'out'} holds `dorsal compare ")
    assert "2 ended runs are reused; plan and report are replaced, without 4 of its runs" in said
    made = len(engine.made)
    assert len(told(seeds=3)) == 1
    assert len(engine.made) == made  # nothing that was trained is lost


def test_what_is_replaced_is_said_before_anything_is_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_in_place(Arithmetic(1), monkeypatch)
    compare(tiny(tmp_path / "out", seeds=1))
    told: list[str] = []
    time_by(lambda _: told.append("timed") or EPOCH, monkeypatch)  # type: ignore[func-returns-value]
    another = tiny(tmp_path / "out", seeds=1, recipes=("tricks",))
    compare(another, on_event=lambda event: told.append(event.text) if isinstance(event, Note) else None)
    assert [text for text in told if "timed" in text or "are reused" in text][1:] == ["timed", "timed"]


def test_the_same_question_within_a_budget_replaces_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_in_place(Arithmetic(1, reports=2), monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        compare(tiny(tmp_path / "out", seeds=3))
    put_in_place(Arithmetic(1), monkeypatch)
    events: list[Event] = []
    compare(tiny(tmp_path / "out", seeds=3, budget="6m"), on_event=events.append)
    notes = [event.text for event in events if isinstance(event, Note)]
    cuts = [event.value for event in events if isinstance(event, Remark) and isinstance(event.value, BudgetCut)]
    assert [(cut.budget, cut.fitting, cut.parts) for cut in cuts] == [("6m", 2, 3)]
    assert not any("replaced" in note for note in notes)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(ValueError, match="photos"):
        compare(tiny(tmp_path / "out", data=str(tmp_path / "photos")))


def test_a_label_that_is_given_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^networks: the label 'a' is given to 2 arms; give each its own$"):
        compare(Comparison(networks=("a=small", "a=resnet_small"), out=str(tmp_path / "out")))
    assert not (tmp_path / "out").exists()
