"""Ended runs in an Optuna storage, and storages that are refused."""

import contextlib
import multiprocessing
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import msgspec
import optuna
import pytest

from dorsal.data.summary import DataSummary
from dorsal.jobs.lock import hold
from dorsal.jobs.plan import Plan, Run
from dorsal.jobs.records import Status, Trial
from dorsal.jobs.store import SEEDS, Categories, Domains, Store, Values
from dorsal.jobs.study_file import STUDY_FILE, load_study, storage_url
from dorsal.recipes.epoch import Epoch
from dorsal.recipes.recipe import Recipe
from dorsal.study.comparison.plan import plan_comparison
from dorsal.study.comparison.question import Comparison

ARMS, RECIPES = ["small", "wide"], ["plain", "tricks"]


@pytest.fixture
def made(summary: DataSummary, recipes: dict[str, Recipe]) -> Plan:
    return plan_comparison(
        Comparison(networks=("small", "wide=small(widths=[128,256,512])"), seeds=3), summary, recipes
    )


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'study.db'}"


def trial(made: Plan, index: int, status: Status = "finished") -> Trial:
    run = made.runs[index]
    curve = tuple(Epoch(e, 1 / e, 1 / e, 10.0 * e, 0.1, 1.5) for e in (1, 2, 3))
    error = "" if status == "finished" else "loss is nan"
    accuracy = 30.0 if status == "finished" else None
    return Trial(run.key, status, accuracy, curve, 4.5, error)


def described(run: Run, arms: Sequence[str] = ARMS) -> tuple[Domains, Values]:
    domains: Domains = {"arm": Categories(tuple(arms)), "recipe": Categories(tuple(RECIPES)), "seed": SEEDS}
    return domains, {"arm": run.arm, "recipe": run.recipe_name, "seed": run.seed}


def test_trials_come_back_whole(made: Plan, url: str) -> None:
    kept = {made.runs[i].key: trial(made, i, s) for i, s in enumerate(("finished", "diverged", "failed"))}
    with Store(url, "compare") as store:
        assert store.trials() == {}
        for index, each in enumerate(kept.values()):
            store.add(each, *described(made.runs[index]))
    with Store(url, "compare") as store:
        assert store.trials() == kept
    with Store(url, "another") as store:
        assert store.trials() == {}


def test_optuna_sees_ordinary_trials(made: Plan, url: str) -> None:
    with Store(url, "compare") as store:
        store.add(trial(made, 0), *described(made.runs[0]))
        store.add(trial(made, 1, "diverged"), *described(made.runs[1]))
    (name,) = optuna.get_all_study_names(url)
    study = optuna.load_study(study_name=name, storage=url)
    good, bad = study.trials
    assert study.best_value == 30.0
    assert good.params == {"arm": "small", "recipe": "plain", "seed": 1}
    assert good.intermediate_values == {1: 10.0, 2: 20.0, 3: 30.0}
    assert (bad.state, bad.user_attrs["error"]) == (optuna.trial.TrialState.FAIL, "loss is nan")
    assert bad.user_attrs["error"] == "loss is nan"


def test_of_a_run_made_again_the_latest_counts(made: Plan, url: str) -> None:
    with Store(url, "compare") as store:
        store.add(trial(made, 0, "failed"), *described(made.runs[0]))
        store.add(trial(made, 0), *described(made.runs[0]))
        assert store.trials()[made.runs[0].key].status == "finished"


def test_with_an_arm_more_what_was_run_counts(made: Plan, url: str) -> None:
    with Store(url, "compare") as store:
        store.add(trial(made, 0), *described(made.runs[0]))
        store.add(trial(made, 1), *described(made.runs[1], [*ARMS, "third"]))
        assert set(store.trials()) == {made.runs[0].key, made.runs[1].key}


def test_opening_says_nothing(made: Plan, url: str, capfd: pytest.CaptureFixture[str]) -> None:
    with Store(url, "compare") as store:
        store.add(trial(made, 0), *described(made.runs[0]))
    assert capfd.readouterr() == ("", "")


def test_another_schema_is_refused_and_left_alone(made: Plan, url: str, tmp_path: Path) -> None:
    with Store(url, "compare") as store:
        store.add(trial(made, 0), *described(made.runs[0]))
    (name,) = optuna.get_all_study_names(url)
    optuna.load_study(study_name=name, storage=url).set_user_attr("dorsal_schema", 1)
    before = (tmp_path / "study.db").read_bytes()
    with pytest.raises(
        ValueError,
        match="has schema 1 and this version of dorsal reads 2; name another folder",
    ):
        Store(url, "compare")
    assert (tmp_path / "study.db").read_bytes() == before


def test_an_outcome_of_another_version_is_refused_in_a_sentence(made: Plan, url: str) -> None:
    class Older(msgspec.Struct, frozen=True, tag="assessment"):
        key: str
        score: float = 1.0
        error: str = ""

    with Store(url, "study") as store:
        store.add(Older(made.runs[0].key), *described(made.runs[0]))  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r"holds what another version of Dorsal stored .*; name another folder"):
            store.outcomes()


def test_a_store_of_an_older_optuna_is_refused(url: str, tmp_path: Path) -> None:
    Store(url, "compare").__exit__(None, None, None)
    with sqlite3.connect(tmp_path / "study.db") as database:
        database.execute("UPDATE alembic_version SET version_num = 'v2.6.0.a'")
    database.close()
    with pytest.raises(ValueError, match=r"storage .* cannot be opened: .*no longer compatible"):
        Store(url, "compare")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nonsense", "storage nonsense cannot be opened: Could not parse"),
        ("nonsense://here", "cannot be opened: Can't load plugin"),
        ("sqlite:////no/such/folder/a.db", "cannot be opened: unable to open database file"),
    ],
)
def test_storages_that_are_none(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Store(text, "compare")


def test_a_damaged_file_is_refused_and_left_alone(url: str, tmp_path: Path) -> None:
    (tmp_path / "study.db").write_text("not a database" * 100)
    with pytest.raises(ValueError, match="cannot be opened: file is not a database"):
        Store(url, "compare")
    assert (tmp_path / "study.db").read_text().startswith("not a database")


def test_a_full_disk_keeps_what_is_stored(made: Plan, url: str) -> None:
    with Store(url, "compare") as store:
        store.add(trial(made, 0), *described(made.runs[0]))
    with Store(url, "compare") as store:
        _fill_disk(store)
        with pytest.raises(OSError, match="cannot be written, what it holds is safe: database or disk is full"):
            store.add(msgspec.structs.replace(trial(made, 1), error="x" * 100_000), *described(made.runs[1]))
        assert set(store.trials()) == {made.runs[0].key}


def _fill_disk(store: Store) -> None:
    """SQLite's own limit on the size of its file, which it reports as it does a full disk."""
    import sqlalchemy

    @sqlalchemy.event.listens_for(store._storage.engine, "checkout")
    def limit(connection: sqlite3.Connection, *_: object) -> None:
        connection.execute("PRAGMA max_page_count = 1")


def test_one_process_holds_a_study(tmp_path: Path) -> None:
    with hold(tmp_path / "out"):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            said = pool.apply(_try_to_hold, (tmp_path / "out",))
        assert "another process (pid" in said
    with hold(tmp_path / "out"):
        assert (tmp_path / "out" / "lock.pid").is_file()


def test_a_refusal_leaves_no_folder_that_was_not_there(tmp_path: Path) -> None:
    out = tmp_path / "runs" / "out"
    for there in (False, True):
        _refuse(out, "timings.json")
        assert [path.exists() for path in (out.parent, out)] == [there, there]
        out.mkdir(parents=True, exist_ok=True)


def test_a_refusal_beside_another_study_that_began_meanwhile_is_told(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    _refuse(runs / "out", "../other")  # which lets a ValueError pass and no other
    assert list(runs.iterdir()) == [runs / "other"]


def test_a_refusal_leaves_what_has_been_written_down(tmp_path: Path) -> None:
    _refuse(tmp_path / "out", "study.json")
    assert (tmp_path / "out" / "study.json").is_file()


def _refuse(folder: Path, wrote: str) -> None:
    with contextlib.suppress(ValueError), hold(folder):
        (folder / wrote).touch()
        raise ValueError


def _try_to_hold(folder: Path) -> str:
    try:
        with hold(folder):
            return "held"
    except ValueError as error:
        return str(error)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="cannot be written: "), hold(tmp_path / "file" / "out"):
        pass


@pytest.mark.parametrize("name", ["what?now=1", "#1", "%41", "{x}", "a b+c", "ü@h:1"])
def test_the_file_of_runs_lies_in_the_folder_whatever_its_name(name: str, made: Plan, tmp_path: Path) -> None:
    folder = tmp_path / name
    folder.mkdir()
    with Store(storage_url(folder, None), "study") as store:
        store.add(trial(made, 0), *described(made.runs[0]))
    assert [path.name for path in folder.iterdir()] == ["study.db"]
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_folder_without_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds no study: there is no study.json"):
        load_study(tmp_path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (
            '{"schema": 1}',
            r"study.json has schema 1 and this version of dorsal reads 3; use the version",
        ),
        ("{", "is no study"),
        ("{}", "is no study"),
    ],
)
def test_study_files_that_cannot_be_read(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / STUDY_FILE).write_text(content)
    with pytest.raises(ValueError, match=says):
        load_study(tmp_path)
