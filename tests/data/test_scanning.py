"""Many files at a time, in this process and in others."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from dorsal.data import scanning
from dorsal.data.decode import Reading, Scan
from dorsal.data.scanning import Task, _Child, scan_files
from tests.data.pictures import fill, picture

DEADLY = """
import os, sys
from dorsal.data import scanning
scan = scanning.scan
scanning.scan = lambda path, *rest: os._exit(3) if "deadly" in path else scan(path, *rest)
scanning.serve(sys.stdin.buffer, sys.stdout.buffer)
"""


def tasks(root: Path) -> list[Task]:
    return [Task(os.fsencode(path)) for path in sorted(root.rglob("*.*"))]


def scans(todo: list[Task], reading: Reading = Reading()) -> list[Scan]:
    found = dict(scan_files(len(todo), todo.__getitem__, reading))
    return [found[number] for number in range(len(todo))]


def test_processes_find_what_threads_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    todo = tasks(fill(tmp_path, {"a": 7, "b": 6}))
    (tmp_path / "a" / "bad.png").write_bytes(b"no image")
    picture(1).convert("P").save(tmp_path / "a" / "palette.png")
    here = scans(todo := tasks(tmp_path), Reading(channels=1))
    assert len({scan.digest for scan in here}) == 15
    monkeypatch.setattr(scanning, "_WORTH", 5)
    monkeypatch.setattr(scanning, "_CHUNK", 4)
    monkeypatch.setattr(scanning, "_cores", lambda: 2)
    started: list[object] = []
    monkeypatch.setattr(scanning, "_Child", lambda *given: started.append(_Child(*given)) or started[-1])
    assert scans(todo, Reading(channels=1)) == here
    assert len(started) == 2
    assert all(child._process.poll() is not None for child in started)


def test_where_no_process_can_start_threads_do_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    todo = tasks(fill(tmp_path, {"a": 4}))
    here = scans(todo)
    monkeypatch.setattr(scanning, "_WORTH", 1)
    monkeypatch.setattr(scanning, "_cores", lambda: 2)
    monkeypatch.setattr(_Child.__init__, "__defaults__", ((sys.executable, "-c", "raise SystemExit(1)"),))
    assert scans(todo) == here


def test_a_file_that_ends_the_process_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    fill(tmp_path, {"a": 3})
    picture(1).save(tmp_path / "a" / "deadly.png")
    child = _Child(Reading(), (sys.executable, "-c", DEADLY))
    try:
        found = child.scan(tasks(tmp_path))
    finally:
        child.close()
    assert [scan.problem for scan in found] == ["", "", "", "ends the process that decodes it (exit code 3)"]
    assert found[0].width == 24


def test_breaking_off_ends_the_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    todo = tasks(fill(tmp_path, {"a": 8}))
    monkeypatch.setattr(scanning, "_WORTH", 1)
    monkeypatch.setattr(scanning, "_CHUNK", 1)
    monkeypatch.setattr(scanning, "_cores", lambda: 2)
    started: list[_Child] = []
    monkeypatch.setattr(scanning, "_Child", lambda *given: started.append(_Child(*given)) or started[-1])
    scanned = scan_files(len(todo), todo.__getitem__, Reading())
    next(scanned)
    scanned.close()
    assert started
    assert all(child._process.poll() is not None for child in started)
