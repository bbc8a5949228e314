"""Weights chosen for some images: rounds of probing, what they drop, and what is fine-tuned after them."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

import dorsal
from dorsal.jobs.engine import Report
from dorsal.jobs.events import Event, JobEnd
from dorsal.jobs.plan import ProbeRound, Run
from dorsal.recipes.probe import Probe
from dorsal.study.choice.candidates import command_of
from dorsal.study.choice.question import Choice, command_line, read_candidate
from dorsal.study.choice.records import COLORS, RANDOM, ChoiceStudy
from dorsal.study.choice.run import choose
from dorsal.study.question import from_toml, to_toml
from dorsal.train.probe import answer
from tests.study.arithmetic import EPOCH, Arithmetic, put_in_place, time_by
from tests.study.gratings import NET, write_gratings, write_starts
from tests.study.simulate_choice import GRID, Case, rounds_of, shares

ONE = (1e-2,)
"""A list of one penalty: nine take nine times as long."""


class Here:
    """An engine that does its jobs in this process, and is stopped after `reports` of them."""

    def __init__(self, reports: int = 10_000) -> None:
        self.reports, self.made = reports, list[str]()

    def __call__(self, _: Any, work: Callable[..., Any]) -> Here:
        self.work = work
        return self

    def capacity(self) -> int:
        return 1

    def run_all(self, jobs: Sequence[ProbeRound], _: None = None) -> Generator[Report[Any]]:
        for job in jobs:
            if len(self.made) == self.reports:
                raise KeyboardInterrupt
            self.made.append(job.name)
            said = list[Any]()
            outcome = self.work(job, said.append)
            yield from (Report(0, job, each) for each in said)
            yield Report(0, job, outcome)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures `mine` and starts in `models`."""
    folder = tmp_path_factory.mktemp("choice")
    write_gratings(folder / "mine", each=100, val=10)
    write_starts(folder / "models", f"{folder}/mine(size=32)")
    return folder


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Here:
    """Probes are made in this process, and nothing is trained."""
    here = Here()
    put_in_place(Arithmetic(1), monkeypatch)
    monkeypatch.setattr("dorsal.study.choice.run.engine_of", here)
    monkeypatch.setattr("dorsal.jobs.rounds.Probe", lambda: Probe(penalties=ONE))
    monkeypatch.setattr("torch.set_num_threads", lambda _: None)
    return here


def asked(place: Path, out: Path, **changes: Any) -> Choice:
    fields = {"weights": (str(place / "models"),), "data": f"{place}/mine(size=32)", "epochs": 1, "out": str(out)}
    return Choice(**{**fields, "workers": 1, **changes})


def asked_again(choice: Choice) -> tuple[ChoiceStudy, list[Event]]:
    events = list[Event]()
    return choose(choice, on_event=events.append), events


def test_worse_weights_are_dropped_controls_run_and_nothing_is_made_twice(
    place: Path, tmp_path: Path, engine: Here
) -> None:
    with_license(place, tmp_path / "more", twin="MIT")
    choice = asked(place, tmp_path / "out", weights=(str(place / "models"), str(tmp_path / "more")))
    engine.reports = 3
    with pytest.raises(KeyboardInterrupt):
        choose(choice)
    engine.reports = 10_000
    study = choose(choice)
    first, last = study.rounds
    assert [(each.portion.learnt, each.portion.draws) for each in study.rounds] == [(160, 4), (320, 1)]
    assert first.portion.held == last.portion.held == 80  # a fifth of the training images
    assert set(first.scores) == {"random", "twin", "dead", RANDOM, COLORS}
    assert first.scores["dead"].value == 25.0
    dropped = {label for each in study.rounds for label in each.dropped}
    assert dropped == {"dead"}
    assert RANDOM in last.scores
    assert COLORS in last.scores
    assert (study.left, study.finalists, study.waiting) == (("random", "twin"), ("random", "twin"), ())
    assert study.finetuning is not None
    assert [trial.status for trial in study.finetuning.trials] == ["finished"] * 6
    assert [arm.label for arm in study.finetuning.arms] == ["random", "twin"]
    assert all(arm.forward for arm in study.arms)
    assert len(engine.made) == len(set(engine.made))
    kept = set((tmp_path / "out" / "features").iterdir())
    again, events = asked_again(choice)
    assert (again.rounds, again.finetuning) == (study.rounds, study.finetuning)
    assert [event for event in events if isinstance(event, JobEnd)] == []
    assert set((tmp_path / "out" / "features").iterdir()) == kept
    assert dorsal.load(tmp_path / "out") == again


def test_a_start_that_is_no_better_than_chance_does_not_beat_the_controls(
    place: Path, tmp_path: Path, engine: Here
) -> None:
    study = choose(asked(place, tmp_path / "out", weights=(f"{NET}@{place / 'models' / 'dead'}",)))
    assert study.stop == "one left"
    (only,) = dorsal.analyse(study).candidates
    assert only.unbeaten == (RANDOM, COLORS)
    assert only.fate == "fine-tuned"


def test_a_budget_decides_how_far_it_goes(
    place: Path, tmp_path: Path, engine: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    choice = asked(place, tmp_path / "out", budget="30m")

    def slow(run: Run) -> Any:
        return msgspec.structs.replace(EPOCH, epoch_seconds=1e6)

    time_by(slow, monkeypatch)
    with pytest.raises(
        ValueError, match=r"budget='30m' is too small: a first look at 2 candidates takes about .* try a"
    ):
        choose(choice)
    assert not (tmp_path / "out").exists()
    time_by(lambda run: EPOCH if run.recipe_name == "probe" else slow(run), monkeypatch)
    study = choose(choice)
    assert (study.finalists, study.finetuning) == ((), None)
    assert study.waiting == study.left
    found = dorsal.write_report(study, tmp_path / "out")
    assert (found.by, found.top) == ("probing", study.left)
    assert "rests on probing" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    more, _ = asked_again(msgspec.structs.replace(choice, budget="9000h"))
    assert more.finalists == ("random",)
    same, events = asked_again(msgspec.structs.replace(choice, budget="9000h"))
    assert same.finalists == ("random",)
    assert [event for event in events if isinstance(event, JobEnd)] == []


def test_probing_ends_where_half_of_the_budget_would_not_do_and_stays_so(
    place: Path, tmp_path: Path, engine: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_license(place, tmp_path / "more", one="MIT", another="MIT")
    choice = asked(place, tmp_path / "out", weights=(str(tmp_path / "more"),), budget="1h")
    takes = {240: 1.0, 160: 2000.0}  # seconds of the rounds, by the images that they add
    monkeypatch.setattr("dorsal.study.choice.run._seconds", lambda *given: takes[given[2]])
    study = choose(choice)
    assert (study.stop, len(study.rounds), len(study.portions)) == ("budget", 1, 2)
    assert set(study.finalists) == set(study.left)
    takes[160] = 1.0
    assert choose(choice).rounds == study.rounds  # the same command makes no more of it
    assert len(choose(msgspec.structs.replace(choice, budget="2h")).rounds) == 2


def with_license(place: Path, folder: Path, **licenses: str) -> None:
    """Copies of a start under other licenses, with other weights."""
    for name, license in licenses.items():
        model, card = dorsal.load_model(place / "models" / "random")
        with torch.no_grad():
            model.fc.bias.fill_(len(name))
        dorsal.save_model(folder / name, model, msgspec.structs.replace(card, license=license))


def test_a_license_leaves_others_out_and_says_which(place: Path, tmp_path: Path, engine: Here) -> None:
    with_license(place, tmp_path / "models", mit="MIT", forbids="CC-BY-NC-4.0", unsaid="not stated")
    choice = asked(place, tmp_path / "out", weights=(str(tmp_path / "models"),), license="permissive")
    study = choose(choice)
    assert [arm.label for arm in study.arms] == ["mit"]
    assert {each.weights: each.license for each in study.left_out} == {
        "forbids": "CC-BY-NC-4.0",
        "unsaid": "not stated",
    }
    with pytest.raises(ValueError, match=r"license='GPL-3.0' allows none of the 3 weights: forbids \(CC-BY-NC-4.0\)"):
        choose(msgspec.structs.replace(choice, license="GPL-3.0", out=str(tmp_path / "other")))


def test_without_names_it_takes_what_the_machine_has_and_leaves_out_what_does_not_suit(
    place: Path, tmp_path: Path, engine: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DORSAL_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("DORSAL_WEIGHTS", raising=False)
    monkeypatch.setattr("dorsal.weights.fetch.has_copy", lambda _: False)
    monkeypatch.setattr("dorsal.jobs.candidates.has_copy", lambda _: False)
    choice = asked(place, tmp_path / "out", weights=())
    with pytest.raises(ValueError, match=r"no weights to choose from on this machine: name some, as in dorsal choose"):
        choose(choice)
    with_license(place, tmp_path / "runs", mine="MIT")
    (tmp_path / "models" / "old").mkdir(parents=True)
    (tmp_path / "models" / "old" / "model.json").write_text('{"schema": 1}')
    model, card = dorsal.load_model(tmp_path / "runs" / "mine")
    dorsal.save_model(tmp_path / "weights" / "twin", model, card)
    study, _ = asked_again(choice)
    assert [arm.label for arm in study.arms] == ["mine"]
    faults = {each.weights: each.fault for each in study.left_out}
    assert faults.keys() == {"models/old", "weights/twin"}
    assert "has schema 1" in faults["models/old"]
    assert "are the same as 'runs/mine'" in faults["weights/twin"]


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"weights": ("resnet50",)}, r"choose compares weights, and random weights run anyway as a control; e.g. resn"),
        ({"weights": ("resnet05",)}, r"weights 'resnet05' are no folder, nor NETWORK@WEIGHTS"),
        ({"weights": ("small@w with head",)}, "leave 'with head' out"),
        ({"weights": ("nowhere/at all",)}, "'nowhere/at all' holds no model: there is no such folder"),
        ({"weights": ("small@{models}/random",)}, "are of another network: depths is"),
        ({"weights": ("{models}/random", "{models}/random")}, "are the same as '.*random'; leave one of them out"),
        ({"license": "premissive"}, "license='premissive' is no license; did you mean permissive"),
        ({"budget": "soon"}, "budget='soon' is not a duration"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_any_work(
    fields: dict[str, Any], fault: str, place: Path, tmp_path: Path
) -> None:
    weights = tuple(text.format(models=place / "models") for text in fields.get("weights", ("{models}",)))
    with pytest.raises(ValueError, match=fault):
        choose(asked(place, tmp_path / "out", **{**fields, "weights": weights}))
    assert not (tmp_path / "out").exists()


def test_fewer_training_images_than_classes_are_refused(place: Path, tmp_path: Path) -> None:
    write_gratings(tmp_path / "few", each=1, val=1)
    for image in (tmp_path / "few" / "train" / "turn3").iterdir():
        image.unlink()
    with pytest.raises(ValueError, match=r"turn3"):
        choose(asked(place, tmp_path / "out", data=f"{tmp_path}/few(size=32)"))


def test_the_question_reads_back_from_toml_and_as_a_command() -> None:
    choice = Choice(weights=("small@w", "runs/mine"), data="photos", license="MIT", budget="10m")
    assert from_toml(to_toml(choice), Choice) == choice
    assert command_line(choice) == "dorsal choose small@w runs/mine --license MIT --budget 10m --data photos"


def test_the_command_of_the_winner_is_read_by_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from dorsal.cli import train as module
    from dorsal.cli.app import APP

    read = list[module.TrainingRun]()

    def note(asked: module.TrainingRun) -> None:
        """Trains nothing."""
        read.append(asked)

    note.__annotations__ = {"asked": module.TrainingRun, "return": None}
    monkeypatch.setattr(module, "train", note)
    choice = Choice(data="photos of mine(size=32)", epochs=3, accept=True)
    for text in (f"mine={NET}@runs/my model", "resnet50@torchvision_v1"):
        command = command_of(choice, read_candidate(text))
        APP.main(shlex.split(command)[1:], standalone_mode=False)
    mine, other = read
    assert mine.network == f"{NET}@runs/my model"
    assert other.network == "resnet50@torchvision_v1"
    assert (mine.recipe, mine.epochs, mine.data, mine.accept) == ("finetune", 3, "photos of mine(size=32)", True)
    of_timm = command_of(choice, read_candidate("timm:convnext_tiny@in12k_ft_in1k"))
    assert of_timm.startswith("dorsal compare timm:convnext_tiny@in12k_ft_in1k --seeds 1 --recipe finetune")


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case in GRID if case.draws > 1])
def test_candidates_as_good_as_the_best_are_rarely_dropped_in_all_cases(case: Case) -> None:
    equal, _ = shares(case, rounds_of(case, 200))
    assert equal <= 8


@pytest.mark.slow
def test_a_trained_start_wins_by_itself(tmp_path: Path) -> None:
    for name, seed in (("seen", 1), ("mine", 2)):
        write_gratings(tmp_path / name, each=100, val=20, seed=seed)
    write_starts(tmp_path / "models", f"{tmp_path}/seen(size=32)", trained=True)
    study = choose(asked(tmp_path, tmp_path / "out", seeds=2, budget="20m"))
    assert "dead" not in study.finalists
    found = dorsal.write_report(tmp_path / "out")
    assert found.top[0] == "good"
    assert next(each for each in found.candidates if each.label == "good").unbeaten == ()
    assert (tmp_path / "out" / "finetune" / "report.html").is_file()


@pytest.mark.parametrize("file", ["choice.json", "scores.json", "model.json", "data_sets.json"])
def test_no_study_begins_in_the_folder_of_something_else(tmp_path: Path, file: str) -> None:
    (tmp_path / file).write_text("{}")
    questions: list[Any] = [
        dorsal.Comparison(networks=("small", "resnet_small"), out=str(tmp_path)),
        dorsal.Population(spaces=("regnetx",), count=2, out=str(tmp_path)),
    ]
    for question in questions:
        with pytest.raises(ValueError, match=r"^out=.* holds .*; name another folder$"):
            dorsal.run(question)
    assert {path.name for path in tmp_path.iterdir()} <= {file, "lock"}


def test_each_draw_of_a_round_learns_from_images_of_its_own_and_all_are_scored_on_the_same(
    place: Path, tmp_path: Path, engine: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = list[tuple[Any, Any]]()

    def noted(recipe: Any, known: Any, labels: Any, classes: int, asked: Any, seed: int) -> Any:
        seen.append((known, asked))
        assert labels.bincount().tolist() == [len(labels) // 4] * 4
        return answer(recipe, known, labels, classes, asked, seed)

    monkeypatch.setattr("dorsal.jobs.rounds.answer", noted)
    study = choose(asked(place, tmp_path / "out", weights=(f"{NET}@{place / 'models' / 'random'}",)))
    (first,) = study.rounds  # with one candidate
    draws = seen[:4]
    assert [len(known) for known, _ in draws] == [40] * 4
    assert len(torch.cat([known for known, _ in draws]).unique(dim=0)) == 160
    assert all(torch.equal(asked, draws[0][1]) for _, asked in draws)
    assert len(seen) == 3 * 4  # the candidate and the controls
    assert len(draws[0][1]) == first.portion.held


def test_candidates_as_good_as_the_best_are_rarely_dropped_and_worse_ones_are() -> None:
    case = Case(4, 3, 40, 4, 0.4, held=200)
    equal, _ = shares(case, rounds_of(case, 40, penalties=ONE))
    one_draw = case._replace(each=10, draws=1)
    by_chance, _ = shares(one_draw, rounds_of(one_draw, 40, penalties=ONE))
    worse = case._replace(worse=0.4)
    others, dropped = shares(worse, rounds_of(worse, 5, penalties=ONE))
    assert equal <= 8
    assert by_chance > 10  # why a round has several draws
    assert dropped == 100
    assert others <= 20
