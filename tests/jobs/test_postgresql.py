"""A PostgreSQL server as the storage: trials come back, and a comparison goes on from them.

Needs the server's programs (`initdb`, `pg_ctl`) and psycopg. The server is started in a folder of its own, on a free
port, by a user other than root, as which it refuses to run.
"""

import os
import pwd
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dorsal.cli.app import main
from dorsal.jobs.events import Event, JobEnd
from dorsal.jobs.store import Store
from dorsal.jobs.study_file import load_study, read_study_file
from dorsal.study.comparison.run import compare
from tests.study.arithmetic import Arithmetic, put_in_place
from tests.study.conftest import DATA, tiny


def _program(name: str) -> str:
    places = [*Path("/usr/lib/postgresql").glob("*/bin"), *Path("/opt/homebrew/opt").glob("postgresql*/bin")]
    path = os.pathsep.join([os.environ.get("PATH", ""), *map(str, sorted(places, reverse=True))])
    found = shutil.which(name, path=path)
    if found is None:
        pytest.skip(f"no PostgreSQL server here: {name} is not installed")
    return found


def _user() -> str | None:
    """Who may run the server: this user, unless that is root."""
    if os.getuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    pytest.skip("PostgreSQL does not run as root, and there is no user postgres or nobody")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    pytest.importorskip(
        "psycopg", reason="no psycopg with libpq: pip install 'dorsal[postgresql]'", exc_type=ImportError
    )
    initdb, control, user = _program("initdb"), _program("pg_ctl"), _user()
    folder = tmp_path_factory.mktemp("server").resolve()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    if user:
        for parent in (folder, *folder.parents[:3]):  # pytest's folders are closed to others
            parent.chmod(0o755)
        shutil.chown(folder, user)
    data = folder / "data"

    def run(*words: str) -> None:
        subprocess.run(words, user=user, cwd=folder, check=True, capture_output=True, timeout=120)

    run(initdb, "--pgdata", str(data), "--username", "dorsal", "--auth", "trust", "--no-sync")
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    run(control, "--pgdata", str(data), "--log", str(folder / "log"), "--options", options, "--wait", "start")
    try:
        yield f"postgresql+psycopg://dorsal:secret@127.0.0.1:{port}/postgres"
    finally:
        run(control, "--pgdata", str(data), "--mode", "immediate", "--wait", "stop")


@pytest.fixture(autouse=True)
def _nothing_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    put_in_place(Arithmetic(2), monkeypatch)


def test_a_comparison_in_postgresql_goes_on_as_one_in_sqlite_does(url: str, tmp_path: Path) -> None:
    first = compare(tiny(tmp_path, storage=url, seeds=1, epochs=1))
    assert [trial.status for trial in first.trials] == ["finished"] * 2
    events: list[Event] = []
    second = compare(tiny(tmp_path, storage=url, seeds=2, epochs=1), on_event=events.append)
    assert [event.job.seed for event in events if isinstance(event, JobEnd)] == [2, 2]
    assert all(trial in second.trials for trial in first.trials)
    assert not (tmp_path / "study.db").exists()
    with Store(url, "compare") as store:
        assert len(store.trials()) == 4


def test_the_password_is_kept_out_of_the_folder_and_asked_for(url: str, tmp_path: Path) -> None:
    compare(tiny(tmp_path, storage=url, seeds=1, epochs=1, name="other"))
    saved = read_study_file(tmp_path)
    assert saved is not None
    assert ":***@" in saved.storage
    assert b"secret" not in (tmp_path / "study.json").read_bytes()
    with pytest.raises(ValueError, match="give that URL with its password"):
        load_study(tmp_path)
    assert len(load_study(tmp_path, url).trials) == 2


def test_a_connection_that_the_server_dropped_is_made_anew(url: str) -> None:
    import psycopg

    with Store(url, "dropped") as store:
        assert store.trials() == {}
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as other:
            others = "FROM pg_stat_activity WHERE datname = current_database() AND pid != pg_backend_pid()"
            assert (True,) in other.execute(f"SELECT pg_terminate_backend(pid) {others}").fetchall()
        assert store.trials() == {}


def test_a_search_is_compared_with_a_population_whose_storage_has_a_password(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def dorsal_space(*words: object) -> tuple[object, str]:
        monkeypatch.setattr(sys, "argv", ["dorsal", "space", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, "".join(capsys.readouterr())

    words = ["anynetx_e", "--macs", "1M..4M", "--recipe", "plain", "--epochs", 1, "--data", DATA]
    assert dorsal_space("run", *words, "--count", 3, "--storage", url, "--out", tmp_path / "drawn")[0] in (None, 0)
    words += ["--trials", 1, "--sample-seed", 1, "--out", tmp_path / "search", "--against", tmp_path / "drawn"]
    code, said = dorsal_space("search", *words)
    assert code == 2
    assert "give that URL with its password" in said
    code, said = dorsal_space("search", *words, "--against-storage", url)
    assert code in (None, 0)
    assert "3 random networks" in said


def test_a_server_that_is_gone_is_one_sentence(url: str, tmp_path: Path) -> None:
    nowhere = url.rpartition(":")[0] + ":1/postgres"
    with pytest.raises(ValueError, match=r"storage postgresql\+psycopg://dorsal:\*\*\*@127\.0\.0\.1:1/postgres cannot"):
        compare(tiny(tmp_path, storage=nowhere))
