"""A sampled population: the question, what is drawn and trained, what is refused, and going on after a kill."""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import optuna
import pytest

from dorsal.findings.population.analyse import analyse_population
from dorsal.jobs.engine import WorkerDeath
from dorsal.jobs.events import Event, JobEnd, Note, Remark, StudyStart
from dorsal.jobs.json_file import write_record
from dorsal.jobs.remarks import BudgetCut
from dorsal.jobs.store import Categories
from dorsal.jobs.study_file import read_study_file, write_study_file
from dorsal.latency.records import MODEL
from dorsal.space.axis import Axis
from dorsal.space.base import with_edit
from dorsal.space.distributions import Choice
from dorsal.space.named import read_space
from dorsal.space.space import Space, to_toml
from dorsal.spec.cost import cost
from dorsal.spec.network import Network
from dorsal.study import question
from dorsal.study.comparison.run import compare
from dorsal.study.population.question import Population, command_line, from_toml
from dorsal.study.population.records import PopulationStudy
from dorsal.study.population.run import domains_of, run_population, values_of
from dorsal.study.population.saved import load_population
from dorsal.study.recheck.run import Recheck, run_recheck
from dorsal.study.recheck.saved import load_recheck
from dorsal.study.timing.fit import fit_model
from dorsal.zoo import network
from tests.study.arithmetic import Arithmetic, put_in_place, time_by
from tests.study.conftest import Session, results, tiny
from tests.study.populations import timed_by_macs
from tests.study.test_timing import measurements

SMALL = "strides=[1, 2, 2, 2]"
TINY = """
name = "tiny"
base = "small(depths=[1], widths=[16], strides=[2], stem=simple(width=8, stride=2))"
axes.widths = { draw = { type = "uniform", low = 8, high = 64, quantum = 8 }, by_stage = true }
"""
DATA = "scenes(train=64, val=32, size=32)"


def asked(out: Path, **changes: Any) -> Population:
    """Two spaces of two networks each, one epoch."""
    fields = {
        "spaces": ("anynetx_e", "crossed"),
        "count": 2,
        "bounds": {"macs": "1M..3M"},
        "edit": SMALL,
        "recipe": "plain",
        "data": DATA,
        "epochs": 1,
        "out": str(out),
    }
    return Population(**{**fields, **changes})


@pytest.fixture(scope="module", autouse=True)
def _few_are_timed() -> Iterator[None]:
    """Timing a network takes seconds, and here it forecasts seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dorsal.study.population.run.TIMED", 2)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("population") / "out"


@pytest.fixture(scope="module")
def population(folder: Path) -> PopulationStudy:
    """Nothing is trained: that is done in `tests/cli/test_space.py`, by the command."""
    with pytest.MonkeyPatch.context() as patch:
        put_in_place(Arithmetic(2), patch)
        return run_population(asked(folder))


def test_a_population_is_what_was_drawn_within_the_bounds(population: PopulationStudy) -> None:
    assert [space.space.name for space in population.spaces] == ["anynetx_e", "crossed"]
    arms = {arm.label: arm for arm in population.study.arms}
    for space in population.spaces:
        assert space.labels == (f"{space.space.name}/0", f"{space.space.name}/1")
        assert space.sampling.accepted >= 2
        for row, label in enumerate(space.labels):
            arm = arms[label]
            assert isinstance(arm.network, Network)
            assert (arm.space, arm.row) == (space.space.name, row)
            assert arm.network.head.classes == 10
            assert 1_000_000 <= arm.cost.macs <= 3_000_000
            assert arm.cost == cost(arm.network, 32)
            assert space.costs["macs"][row] == arm.cost.macs
            assert network(arm.text) == arm.network
    depths = population.spaces[0].axes["depths"]
    assert [stage.depth for stage in arms["anynetx_e/0"].network.stages] == depths[0]  # type: ignore[union-attr]


def test_every_network_is_trained_and_told_in_turn(population: PopulationStudy) -> None:
    assert [(arm, trial.status) for (arm, _, _), trial in population.study.ended().items()] == [
        (label, "finished") for label in ("anynetx_e/0", "crossed/0", "anynetx_e/1", "crossed/1")
    ]


def test_optuna_sees_the_axes_of_each_space(population: PopulationStudy, folder: Path) -> None:
    url = f"sqlite:///{folder / 'study.db'}"
    studies = [optuna.load_study(study_name=name, storage=url) for name in optuna.get_all_study_names(url)]
    assert len(studies) == 2
    by_axes = {"mixer.0" in study.trials[0].params: study for study in studies}
    space = population.spaces[0]
    label = space.labels[0]
    (trial,) = (trial for (arm, _, _), trial in population.study.ended().items() if arm == label)
    point = {name: column[0] for name, column in space.axes.items()}
    (stored,) = (t for t in by_axes[False].trials if t.params == {**values_of(point), "seed": 1, "epochs": 1})
    assert stored.params["depths.3"] == point["depths"][3]
    assert stored.distributions["widths.0"] == optuna.distributions.IntDistribution(8, 1024)
    assert stored.value == trial.score
    assert by_axes[True].trials[0].distributions["stem"].choices[0] == "simple"  # type: ignore[attr-defined]


def test_the_same_call_runs_nothing_and_a_larger_count_only_what_is_new(
    population: PopulationStudy, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_in_place(Arithmetic(1), monkeypatch)
    again: list[Event] = []
    same = run_population(asked(folder), on_event=again.append)
    assert (same.spaces, same.study.trials) == (population.spaces, population.study.trials)
    assert not any(isinstance(event, JobEnd) for event in again)
    more: list[Event] = []
    larger = run_population(asked(folder, count=3), on_event=more.append)
    assert {event.job.arm for event in more if isinstance(event, JobEnd)} == {"anynetx_e/2", "crossed/2"}
    assert len(larger.study.trials) == 6
    assert larger.spaces[0].labels[:2] == population.spaces[0].labels


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"spaces": ("anynetx_e",)}, "holds a population of crossed, which is not asked for"),
        ({"bounds": {"macs": "1M..4M"}}, "holds a population of anynetx_e with bounds"),
        ({"sample_seed": 1}, "holds a population of anynetx_e with seed 0 instead of 1"),
        ({"edit": "strides=[2, 2, 2, 2]"}, "holds a population of anynetx_e with another base"),
        ({"recipe": "tricks"}, "trained with another recipe"),
        ({"epochs": 2}, "trained with another recipe"),
        ({"data": DATA.replace("64", "65")}, "trained with another data"),
    ],
)
def test_a_folder_of_another_population_is_refused(
    population: PopulationStudy, folder: Path, changes: dict[str, Any], message: str
) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix == ".json"}
    with pytest.raises(ValueError, match=f"{message}.*name another folder"):
        run_population(asked(folder, **changes))
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix == ".json"} == before


def test_a_changed_axis_is_named(population: PopulationStudy, folder: Path) -> None:
    space = read_space("anynetx_e")
    axes = {**space.axes, "depths": Axis(Choice((1, 2)), by_stage=True)}
    file = folder.with_name("anynetx_e.toml")
    file.write_text(to_toml(msgspec.structs.replace(space, axes=axes)), encoding="utf-8")
    with pytest.raises(ValueError, match="of anynetx_e with another axis 'depths'; name another folder"):
        run_population(asked(folder, spaces=(str(file), "crossed")))


def write_latency_model(folder: Path, slower: float) -> None:
    """A model by which networks take milliseconds in proportion to their MACs."""
    write_record(folder / MODEL, fit_model(measurements(networks=timed_by_macs(slower), spaces=("anynetx_e",))))


def test_other_networks_under_the_same_question_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_in_place(Arithmetic(2), monkeypatch)
    write_latency_model(tmp_path, 1)
    bounds = {"forward_b1_ms": "2..5"}
    question = asked(tmp_path / "out", spaces=("anynetx_e",), bounds=bounds, latency_model=str(tmp_path))
    first = run_population(question)
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.json")}
    write_latency_model(tmp_path, 1.6)
    for count in (1, 2, 3):
        with pytest.raises(ValueError, match="other networks of anynetx_e than are drawn now; the latency model has"):
            run_population(msgspec.structs.replace(question, count=count))
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.json")} == before
    write_latency_model(tmp_path, 1 + 1e-9)  # another model that draws the same
    assert run_population(msgspec.structs.replace(question, count=3)).study.trials[:2] == first.study.trials


def test_a_comparison_does_not_replace_a_population_nor_the_reverse(
    population: PopulationStudy, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="holds a population of `dorsal space run`; name another folder"):
        compare(tiny(folder))
    with pytest.raises(ValueError, match="holds a study with the name 'population', not 'b'"):
        run_population(asked(folder, name="b"))
    for name in ("study.json", "study.db"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(
        ValueError, match=r"holds a population without its spaces\.json; put that back, or name another"
    ):
        run_population(asked(tmp_path))
    with pytest.raises(ValueError, match=r"holds no population: it is the folder of a study without spaces\.json"):
        load_population(tmp_path)
    saved = read_study_file(folder)
    assert saved is not None
    compared = msgspec.structs.replace(saved, study=msgspec.structs.replace(saved.study, kind="comparison"))
    write_study_file(tmp_path, compared)
    with pytest.raises(ValueError, match="holds a comparison; name another folder"):
        run_population(asked(tmp_path))
    (tmp_path / "spaces.json").write_bytes((folder / "spaces.json").read_bytes())
    with pytest.raises(ValueError, match="holds no population but a comparison; see `dorsal space run`"):
        load_population(tmp_path)


def test_a_folder_of_another_schema_is_refused(population: PopulationStudy, folder: Path, tmp_path: Path) -> None:
    for path in folder.iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    for name, read in (("study.json", 3), ("spaces.json", 2)):
        refused = f"has schema 1 and this version of dorsal reads {read}; use the version that wrote it, or name a"
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(msgspec.json.encode({**msgspec.json.decode(whole), "schema": 1}))
        with pytest.raises(ValueError, match=rf"{name} {refused}"):
            load_population(tmp_path)
        with pytest.raises(ValueError, match=rf"{name} {refused}"):
            run_population(asked(tmp_path))
        (tmp_path / name).write_bytes(whole)
    assert load_population(tmp_path) == load_population(folder)


def test_the_storage_of_a_folder_is_kept_and_another_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = put_in_place(Arithmetic(2), monkeypatch)
    out, elsewhere = tmp_path / "out", f"sqlite:///{tmp_path / 'other.db'}"
    first = run_population(asked(out, storage=elsewhere))
    engine.made.clear()
    assert run_population(asked(out, count=3)).study.trials[:4] == first.study.trials[:4]
    assert {run.arm[-2:] for run in engine.made} == {"/2"}
    assert not (out / "study.db").exists()
    run_recheck(Recheck(population=str(out), networks=1, epochs=(2,), seeds=1))
    assert len(engine.made) == 4
    assert load_population(out) == load_population(out, elsewhere)
    own = run_population(asked(tmp_path / "own"))
    third = f"sqlite:///{tmp_path / 'third.db'}"
    with pytest.raises(ValueError, match=rf"is stored at sqlite:.*other\.db, not at {third}; leave storage out"):
        run_population(asked(out, storage=third))
    with pytest.raises(ValueError, match=rf"is stored at sqlite:.*study\.db, not at {elsewhere}; leave storage out"):
        run_population(asked(tmp_path / "own", storage=elsewhere))
    with pytest.raises(ValueError, match=rf"is stored at sqlite:.*study\.db, not at {elsewhere}; leave storage out"):
        load_population(tmp_path / "own", elsewhere)
    assert load_population(tmp_path / "own", f"sqlite:///{tmp_path / 'own' / 'study.db'}") == own


def test_a_network_of_two_spaces_is_trained_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = put_in_place(Arithmetic(4), monkeypatch)
    files = []
    for name in ("tiny", "twin"):
        files.append(tmp_path / f"{name}.toml")
        files[-1].write_text(TINY.replace('"tiny"', f'"{name}"'), encoding="utf-8")
    events: list[Event] = []
    spaces = tuple(map(str, files))
    found = run_population(asked(tmp_path / "out", spaces=spaces, bounds={}, edit="", count=3), on_event=events.append)
    assert [run.arm for run in sorted(engine.made, key=lambda run: run.arm)] == ["tiny/0", "tiny/1", "tiny/2"]
    accuracies = {arm: trial.score for (arm, _, _), trial in found.study.ended().items()}
    assert [accuracies[f"twin/{n}"] for n in range(3)] == [accuracies[f"tiny/{n}"] for n in range(3)]
    (planned,) = (event.forecast for event in events if isinstance(event, StudyStart))
    assert (planned.runs, planned.arm_seconds["tiny/0"], planned.arm_seconds["twin/0"]) == (3, pytest.approx(10), 0)
    assert [(e.done, e.total) for e in events if isinstance(e, JobEnd)] == [(1, 3), (2, 3), (3, 3)]


def test_diverged_and_failed_runs_are_recorded_and_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = put_in_place(Arithmetic(1), monkeypatch)
    engine.ends = {"anynetx_e/0": "diverged", "crossed/0": "failed"}
    found = run_population(asked(tmp_path))
    fared = {arm: (trial.status, trial.score is None) for (arm, _, _), trial in found.study.ended().items()}
    assert fared == {
        "anynetx_e/0": ("diverged", True),
        "crossed/0": ("failed", True),
        "anynetx_e/1": ("finished", False),
        "crossed/1": ("finished", False),
    }
    engine.made.clear()
    engine.ends = {}
    assert {trial.status for trial in run_population(asked(tmp_path)).study.trials} == {"diverged", "finished"}
    assert [run.arm for run in engine.made] == ["crossed/0"]


def test_a_budget_trains_as_many_networks_of_every_space_as_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = put_in_place(Arithmetic(1), monkeypatch)
    with pytest.raises(ValueError, match=r"budget='15s' is too small: 1 of 2 networks of every space takes about"):
        run_population(asked(tmp_path, budget="15s"))
    assert not engine.made
    events: list[Event] = []
    run_population(asked(tmp_path, budget="35s"), on_event=events.append)
    assert {run.arm for run in engine.made} == {"anynetx_e/0", "crossed/0"}
    (planned,) = [event for event in events if isinstance(event, StudyStart)]
    assert (planned.forecast.runs, sum(planned.forecast.arm_seconds.values())) == (2, pytest.approx(20))
    assert any(isinstance(event.value, BudgetCut) for event in events if isinstance(event, Remark))
    run_population(asked(tmp_path, budget="1h"))
    assert len(engine.made) == 4


def test_on_a_cluster_times_are_said_to_be_of_this_machine_and_no_budget_is_met_without_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_in_place(Arithmetic(1), monkeypatch)
    events: list[Event] = []
    run_population(asked(tmp_path / "timed", ray="10.0.0.1:6379"), on_event=events.append)
    assert Note("the forecast is from times of this machine, not of the cluster") in events
    time_by(lambda _: WorkerDeath("worker died"), monkeypatch)
    with pytest.raises(ValueError, match="budget='1h': no network could be timed here"):
        run_population(asked(tmp_path / "not_timed", ray="10.0.0.1:6379", budget="1h"))
    run_population(asked(tmp_path / "not_timed", ray="10.0.0.1:6379"), on_event=events.append)
    forecasts = [event.forecast.seconds for event in events if isinstance(event, StudyStart)]
    assert forecasts == [pytest.approx(46), None]
    assert Note("anynetx_e/0, plain, seed 1 could not be timed: worker died") in events


def test_a_budget_or_a_smaller_count_hides_nothing_that_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = put_in_place(Arithmetic(1), monkeypatch)
    first = run_population(asked(tmp_path))
    less = run_population(asked(tmp_path, seeds=2, budget="35s"))
    assert len(engine.made) == len(less.study.trials) == 6
    assert all(trial in less.study.trials for trial in first.study.trials)
    run_recheck(Recheck(population=str(tmp_path), networks=2, epochs=(2,), seeds=1))
    events: list[Event] = []
    fewer = run_population(asked(tmp_path, count=1, seeds=2), on_event=events.append)
    assert fewer.spaces == first.spaces
    assert all(trial in fewer.study.trials for trial in less.study.trials)
    assert Note(f"count=1: {tmp_path} holds 2 networks of a space, and keeps them") in events
    assert analyse_population(fewer, retrained=load_recheck(tmp_path), fits=0, resamples=20).reliability.ranks


def test_resolution_can_be_an_axis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space = Space(
        name="sizes",
        base="small(depths=[1, 1], widths=[16, 32], strides=[1, 2])",
        axes={"image_size": Axis(Choice((32, 40))), "widths": Axis(Choice((8, 16)), by_stage=True)},
    )
    file = tmp_path / "sizes.toml"
    file.write_text(to_toml(space), encoding="utf-8")
    engine = put_in_place(Arithmetic(1), monkeypatch)
    found = run_population(asked(tmp_path / "out", spaces=(str(file),), count=6, bounds={}, edit="", seeds=1))
    (drawn,) = found.spaces
    assert set(drawn.costs["image_size"]) == {32, 40}
    assert {trial.status for trial in found.study.trials} == {"finished"}
    data_of = {run.arm: run.data for run in engine.made}
    by_label = {arm.label: arm for arm in found.study.arms}
    for row, label in enumerate(drawn.labels):
        net = by_label[label].network
        assert isinstance(net, Network)
        side = int(drawn.costs["image_size"][row])
        assert by_label[label].cost == cost(net, side)
        assert data_of[label].size == side


def test_interrupted_between_any_two_runs_the_same_call_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_in_place(Arithmetic(2), monkeypatch)
    unbroken = run_population(asked(tmp_path / "unbroken"))
    made: list[str] = []
    for reports in (0, 1, 2, 10):
        engine = put_in_place(Arithmetic(2, 1, reports), monkeypatch)
        with pytest.raises(KeyboardInterrupt) if reports < 10 else contextlib.nullcontext():
            run_population(asked(tmp_path / "broken"))
        made += [run.arm for run in engine.made]
    assert len(made) == len(set(made)) == 4
    broken = load_population(tmp_path / "broken")
    assert (broken.spaces, broken.study.trials) == (unbroken.spaces, unbroken.study.trials)


def test_stopped_between_two_files_it_is_read_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    put_in_place(Arithmetic(2), monkeypatch)
    first = run_population(asked(tmp_path / "out", spaces=("anynetx_e",)))
    for changes in ({"count": 4}, {"spaces": ("anynetx_e", "crossed")}):
        with monkeypatch.context() as patch:
            patch.setattr("dorsal.jobs.execution.keep", stop)
            with pytest.raises(KeyboardInterrupt):
                run_population(asked(tmp_path / "out", **{"spaces": ("anynetx_e",), **changes}))
        read = load_population(tmp_path / "out")
        assert read.study == first.study
        assert [(drawn.space.name, drawn.labels) for drawn in read.spaces] == [("anynetx_e", first.spaces[0].labels)]
        assert [(drawn.axes, drawn.costs) for drawn in read.spaces] == [(first.spaces[0].axes, first.spaces[0].costs)]
    grown = run_population(asked(tmp_path / "out"))
    assert [len(drawn.labels) for drawn in grown.spaces] == [4, 4]
    assert len(grown.study.trials) == 8


@pytest.mark.slow
def test_killed_at_any_point_the_same_call_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "tiny.toml"
    file.write_text(TINY, encoding="utf-8")
    slow: dict[str, Any] = {"spaces": (str(file),), "edit": "", "bounds": {}, "epochs": 14, "workers": 1}
    slow["data"] = "scenes(train=320, val=32, size=32)"
    session = Session(asked(tmp_path / "broken", **slow), hold=("tiny/1",))
    session.until(lambda event: event["kind"] == "JobEnd")
    session.until_midway()
    os.killpg(session.process.pid, signal.SIGKILL)
    session.end()
    assert len(load_population(tmp_path / "broken").study.trials) == 1
    events: list[Event] = []
    broken = run_population(asked(tmp_path / "broken", **slow), on_event=events.append)
    assert [event.job.arm for event in events if isinstance(event, JobEnd)] == ["tiny/1"]
    unbroken = run_population(asked(tmp_path / "unbroken", **slow))
    assert results(broken.study) == results(unbroken.study)


def test_toml_and_command_say_the_same(tmp_path: Path) -> None:
    question_asked = asked(tmp_path, ray="local", gpus=0.5, storage="postgresql://me:secret@host/db", seeds=(3,))
    assert from_toml(question.to_toml(question_asked)) == question_asked
    assert command_line(question_asked) == (
        "dorsal space run anynetx_e crossed --count 2 --macs 1M..3M "
        "--edit 'strides=[1, 2, 2, 2]' --recipe plain "
        "--data 'scenes(train=64, val=32, size=32)' --epochs 1 --seeds 3, "
        f"--out {tmp_path} --storage 'postgresql://me:***@host/db' --ray local --gpus 0.5"
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"spaces": ()}, "spaces is empty"),
        ({"spaces": ("anynetx_f",)}, "unknown space 'anynetx_f'.*did you mean anynetx_"),
        ({"spaces": ("regnetx", "regnetx")}, "space 'regnetx' is there twice"),
        ({"spaces": ("none.toml",)}, r"space file 'none\.toml' does not exist"),
        ({"count": 0}, "count=0 is below 1; nearest valid: 1"),
        ({"bounds": {"macs": "400"}}, r"macs='400' is not a range"),
        ({"bounds": {"macs": "360..400"}}, r"360 without a unit .* did you mean 360M\.\.400M"),
        ({"bounds": {"flops": "1M..2M"}}, "unknown bound 'flops'"),
        ({"edit": "stem=simpel"}, "simpel"),
        (
            {"edit": "stem=simple"},
            "edit: crossed draws its stem, so that an edit would not change it; leave it out, or",
        ),
        (
            {"edit": "strides=[1, 1, 1, 1], mixer=conv(group_width=8)", "spaces": ("anynetx_a",)},
            "its mixer.group_width",
        ),
        ({"edit": "widths=[8, 8, 8, 8]", "spaces": ("regnetx",)}, "regnetx draws its widths"),
        ({"edit": "mixer=[conv, conv, conv, conv(group_width=8)]", "spaces": ("anynetx_a",)}, "its mixer.group_width"),
        ({"seeds": 0}, "seeds=0 leaves nothing to run"),
        ({"epochs": 0}, "epochs=0 is below 1"),
        ({"budget": "soon"}, "budget='soon' is not a duration"),
        ({"gpus": 1}, "gpus=1 is for runs on a Ray cluster; give ray as well"),
        ({"processes": 2}, "processes=2 is for runs on a Ray cluster"),
        ({"ray": "head"}, "Ray address 'head' is not HOST:PORT"),
        ({"threads": 0}, "threads=0 is below 1"),
    ],
)
def test_bad_questions(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        asked(tmp_path, **changes)


def test_a_bound_that_no_network_meets_is_said_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"0 of 2 networks of anynetx_e found in .* candidates; none has macs in 900G"):
        run_population(asked(tmp_path, bounds={"macs": "900G..901G"}))
    assert not (tmp_path / "spaces.json").exists()


def test_edits_join_those_of_the_base() -> None:
    space = with_edit(read_space("regnety"), "stem=simple(stride=1), activation=silu")
    twice = with_edit(space, "strides=[1, 1, 1, 1]")
    assert network(twice.base).activation == "silu"
    assert {stage.stride for stage in network(twice.base).stages} == {1}


def test_domains_have_one_entry_a_stage_and_numbers_as_ranges() -> None:
    domains = domains_of(read_space("crossed"))
    assert {f"depths.{stage}" for stage in range(4)} <= set(domains)
    assert domains["attention"] == Categories(("none", "squeeze_excite"))
    assert domains["expansion"].whole  # type: ignore[union-attr]
