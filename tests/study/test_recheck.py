"""Networks of a population trained again: what is run, what is not run twice, what is refused."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import dorsal
from dorsal.cli.app import APP
from dorsal.findings.population.analyse import analyse_population
from dorsal.jobs.events import Event, JobEnd
from dorsal.jobs.study_file import read_study_file, write_study_file
from dorsal.report.files import json_of
from dorsal.report.population.results import with_words
from dorsal.study.population.question import Population
from dorsal.study.population.run import run_population
from dorsal.study.population.saved import load_population
from dorsal.study.recheck.run import Recheck, command_line, run_recheck
from dorsal.study.recheck.saved import load_recheck
from tests.study.arithmetic import Arithmetic, put_in_place

TIMES = Path(__file__).parents[2] / "experiments" / "cifar10_spaces" / "population" / "latency"
BASE = "small(depths=[1, 1], widths=[16, 32], strides=[2, 2], stem=simple(width=8, stride=2))"
SPACE = f"""
name = "tiny"
base = "{BASE}"
axes.widths = {{ draw = {{ type = "uniform", low = 8, high = 64, quantum = 8 }}, by_stage = true }}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    base = tmp_path_factory.mktemp("reliability")
    (base / "tiny.toml").write_text(SPACE, encoding="utf-8")
    (base / "twin.toml").write_text(SPACE.replace("tiny", "twin"), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        put_in_place(Arithmetic(2), patch)
        run_population(
            Population(
                spaces=(str(base / "tiny.toml"), str(base / "twin.toml")),
                count=3,
                recipe="plain",
                data="scenes(train=64, val=32, size=32)",
                epochs=1,
                out=str(base / "out"),
            )
        )
        yield base / "out"


def asked(folder: Path, **changes: Any) -> Recheck:
    return Recheck(**{"population": str(folder), "networks": 2, "epochs": (2,), "seeds": 2, **changes})


def test_a_subset_is_trained_longer_and_with_more_seeds_and_nothing_twice(folder: Path) -> None:
    population = load_population(folder)
    assert load_recheck(folder) is None
    events: list[Event] = []
    found = run_recheck(asked(folder), on_event=events.append)
    assert found.labels == ("tiny/0", "twin/0", "tiny/1", "twin/1")
    assert found.budgets == ("1 epoch", "2 epochs")
    runs = {(label, budget): found.runs[i][j] for i, label in enumerate(found.labels) for j, budget in enumerate("12")}
    by_label = {arm: trial.score for (arm, _, _), trial in population.study.ended().items()}
    for label in found.labels:
        accuracy = by_label[label]
        assert accuracy is not None
        assert runs[label, "1"][0] == 100 - accuracy
        assert all(isinstance(run, float) for budget in "12" for run in runs[label, budget])
    made = [(e.job.arm, e.job.recipe_name, e.job.seed) for e in events if isinstance(e, JobEnd)]
    assert len(made) == len(set(made)) == 2 * 3  # both spaces draw the same networks
    assert not any(recipe == "plain, 1 epoch" and seed == 1 for _, recipe, seed in made)
    again: list[Event] = []
    assert run_recheck(asked(folder), on_event=again.append) == found
    assert not any(isinstance(event, JobEnd) for event in again)
    assert load_recheck(folder) == found
    assert load_population(folder) == population
    assert analyse_population(population).reliability.ranks == ()
    assert [rank.space for rank in analyse_population(population, retrained=found).reliability.ranks][:2] == [
        "tiny",
        "twin",
    ]


def test_evidence_on_other_networks_than_the_populations_is_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    run_recheck(asked(tmp_path))
    saved = read_study_file(tmp_path)
    assert saved is not None
    first, *others = saved.study.arms
    changed = msgspec.structs.replace(first, network_hash="another")
    study = msgspec.structs.replace(saved.study, arms=(changed, *others))
    write_study_file(tmp_path, msgspec.structs.replace(saved, study=study))
    with pytest.raises(ValueError, match=r"recheck\.json' is of another tiny/0 than the population there; remove"):
        load_recheck(tmp_path)


def test_evidence_of_another_schema_is_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    run_recheck(asked(tmp_path))
    file = tmp_path / "recheck.json"
    file.write_bytes(msgspec.json.encode({**msgspec.json.decode(file.read_bytes()), "schema": 1}))
    with pytest.raises(
        ValueError, match=r"recheck\.json has schema 1 and this version of dorsal reads 3; use the vers"
    ):
        load_recheck(tmp_path)


def test_runs_that_gave_no_error_are_kept_with_what_became_of_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = put_in_place(Arithmetic(1), monkeypatch)
    engine.ends = {"tiny/2": "diverged", "twin/2": "diverged"}  # the same network, trained once
    run_recheck(asked(folder, networks=3))
    found = load_recheck(folder)
    assert found is not None
    runs = dict(zip(found.labels, found.runs, strict=True))
    assert runs["tiny/2"][1] == ("diverged", "diverged")
    assert [isinstance(run, float) for run in runs["tiny/2"][0]] == [True, False]  # the population has the first
    counts = {
        (each.space, each.budget): each.counts
        for each in analyse_population(load_population(folder), retrained=found).reliability.retrained
    }
    assert (counts["tiny", "2 epochs"].diverged, counts["tiny", "2 epochs"].finished) == (1, 2)
    assert counts["twin", "1 epoch"] == counts["twin", "2 epochs"] == counts["tiny", "2 epochs"]


def test_python_and_the_command_line_report_the_same(folder: Path, tmp_path: Path) -> None:
    where = tmp_path / "study"
    shutil.copytree(folder, where)
    shutil.copytree(TIMES, where / "latency")
    if load_recheck(where) is None:
        run_recheck(asked(where))

    def results(write: Callable[[], object], out: Path = where) -> Any:
        write()
        found = msgspec.json.decode((out / "results.json").read_bytes())
        (out / "results.json").unlink()
        return found

    with pytest.raises(SystemExit) as ended:
        APP(["report", str(where)])
    assert not ended.value.code
    told = results(lambda: None)
    assert told["analysis"]["reliability"]["ranks"]
    assert told["latency"]
    assert results(lambda: dorsal.write_report(str(where))) == told
    assert results(lambda: dorsal.write_report(dorsal.load(where), where)) == told
    assert results(lambda: dorsal.write_report(where, tmp_path / "elsewhere"), tmp_path / "elsewhere") == told
    assert msgspec.json.decode(json_of(with_words(dorsal.analyse(where)))) == told["analysis"]  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="folder=None is of type NoneType; it must be the folder to write into"):
        dorsal.write_report(dorsal.load(where))  # type: ignore[call-overload]


def test_what_is_asked_is_a_command(folder: Path) -> None:
    assert command_line(asked(folder)) == f"dorsal space recheck {folder} --networks 2 --epochs 2, --seeds 2"


def test_bad_questions(folder: Path) -> None:
    for changes, message in (
        ({"epochs": (1,)}, "epochs: 1 must be there once and more than the population's 1; nearest valid: 2"),
        ({"epochs": (3, 3)}, "epochs: 3 must be there once"),
        ({"networks": 4}, "networks=4 is more than the 3 of each space; nearest valid: 3"),
        ({"networks": 0}, "networks=0 is below 1"),
        ({"seeds": 0}, "seeds=0 leaves nothing to run"),
    ):
        with pytest.raises(ValueError, match=message):
            run_recheck(asked(folder, **changes))


def test_a_folder_without_a_population(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no population"):
        run_recheck(asked(tmp_path))
