"""A folder is looked at once: what the index keeps, when it is believed, and when it is not."""

from __future__ import annotations

import io
import json
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from dorsal.data import check as check_module
from dorsal.data import decode, index, progress
from dorsal.data.dataset import open_data, open_for_scoring
from dorsal.data.folder import open_folder
from dorsal.data.index import read_indices
from dorsal.data.spec import DataError, Folder, data_spec
from tests.data.pictures import all_paths, fill, paths, picture, ppm


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Files of some age: those of the last two seconds are compared again."""
    root = fill(tmp_path / "pets", {"cat": 6, "dog": 4})
    for path in root.rglob("*.png"):
        os.utime(path, ns=(10**18, 10**18))
    return root


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Grows by one with each image that is decoded."""
    calls: list[object] = []
    original = decode._convert

    def counted(*arguments: object) -> object:
        calls.append(arguments)
        return original(*arguments)

    monkeypatch.setattr(decode, "_convert", counted)
    return calls


def file_of(root: Path, channels: int = 3) -> Path:
    return root / ".dorsal" / f"index-{channels}.npz"


def test_a_folder_is_decoded_once(pets: Path, decoded: list[object]) -> None:
    first = open_data(pets)
    assert len(decoded) == 10
    again = open_data(pets)
    assert len(decoded) == 10
    assert (again.fingerprint, again.normalization, again.notes) == (
        first.fingerprint,
        first.normalization,
        first.notes,
    )
    assert all_paths(again) == all_paths(first)


def test_sizes_seeds_and_fractions_share_what_is_known(pets: Path, decoded: list[object]) -> None:
    open_data(pets)
    for spec in (Folder(str(pets), size=64), Folder(str(pets), seed=3), Folder(str(pets), val_fraction=0.5)):
        open_data(spec)
    assert len(decoded) == 10
    assert open_data(Folder(str(pets), channels=1)).channels == 1  # grey images are measured on their own
    assert len(decoded) == 20


def rewrite(path: Path) -> None:
    picture(99, (30, 20)).save(path)


def replace_in_time_and_size(path: Path) -> None:
    """Another image of the same size and time; only the file is another one."""
    size, other = path.stat().st_size, path.with_name("new")
    picture(98).save(other, "PNG")
    data = other.read_bytes()
    other.write_bytes(data + bytes(size - len(data)) if len(data) < size else data)
    path.write_bytes(path.read_bytes() + bytes(max(0, other.stat().st_size - size)))
    os.utime(path, ns=(10**18, 10**18))
    open_folder(Folder(str(path.parents[1])))
    os.utime(other, ns=(10**18, 10**18))
    assert (other.stat().st_size, other.stat().st_mtime_ns) == (path.stat().st_size, path.stat().st_mtime_ns)
    other.replace(path)


@pytest.mark.parametrize("change", [rewrite, replace_in_time_and_size])
def test_a_changed_file_is_found_and_it_alone_decoded(
    pets: Path, decoded: list[object], change: Callable[[Path], None]
) -> None:
    before = open_data(pets).fingerprint
    change(pets / "cat" / "003.png")
    decoded.clear()
    after = open_data(pets)
    assert len(decoded) == 1
    assert after.fingerprint != before
    assert_as_new(pets)


def assert_as_new(root: Path) -> None:
    """What is opened from the index is what is found without one."""
    known = open_data(root)
    file_of(root).unlink()
    new = open_data(root)
    assert (known.fingerprint, known.normalization, known.notes) == (new.fingerprint, new.normalization, new.notes)
    assert all_paths(known) == all_paths(new)


def test_a_file_of_another_time_is_compared_and_not_decoded(pets: Path, decoded: list[object]) -> None:
    before = open_data(pets).fingerprint
    decoded.clear()
    for path in pets.rglob("*.png"):
        os.utime(path, ns=(10**18, 10**18 + 5))
    assert open_data(pets).fingerprint == before
    assert decoded == []


def test_a_file_changed_within_the_grain_of_time_is_found(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Same file, size and time, as a file system may show it that counts in two seconds."""
    path = pets / "dog" / "001.ppm"
    now = time.time_ns()
    path.write_bytes(ppm(np.full((8, 8, 3), 7)))
    os.utime(path, ns=(now, now))
    before = open_data(pets).fingerprint
    path.write_bytes(ppm(np.full((8, 8, 3), 8)))
    os.utime(path, ns=(now, now))
    assert open_data(pets).fingerprint != before


def test_files_that_come_and_go_are_found(pets: Path, decoded: list[object]) -> None:
    open_data(pets)
    decoded.clear()
    (pets / "cat" / "002.png").unlink()
    rewrite(pets / "cat" / "0015.png")
    rewrite(pets / "dog" / "deep.png")
    (pets / "dog" / "000.png").rename(pets / "cat" / "moved.png")
    data = open_data(pets)
    assert len(decoded) == 3
    assert {path.name for path in all_paths(data)} >= {"0015.png", "deep.png", "moved.png"}
    assert "002.png" not in {path.name for path in all_paths(data) if path.parent.name == "cat"}
    assert_as_new(pets)


def test_the_index_moves_with_the_folder(pets: Path, tmp_path: Path, decoded: list[object]) -> None:
    before = open_data(pets).fingerprint
    decoded.clear()
    assert open_data(pets.rename(tmp_path / "moved")).fingerprint == before
    assert decoded == []


def test_a_fingerprint_is_what_it_was_before_there_was_an_index(tmp_path: Path) -> None:
    for number, name in enumerate(("a", "b", "c")):
        (tmp_path / name / "deeper").mkdir(parents=True)
        for place in range(6):
            values = np.full((8, 9 + place, 3), 40 * number + place)
            (tmp_path / name / ("deeper" if place % 2 else "") / f"{place}.ppm").write_bytes(ppm(values))
    for split, more in (("train", 0), ("val", 50)):
        for name in ("a", "b"):
            (tmp_path / "own" / split / name).mkdir(parents=True)
            for place in range(3):
                values = np.full((8, 8, 3), ord(name) + place + more)
                (tmp_path / "own" / split / name / f"{place}.ppm").write_bytes(ppm(values))
    own = (tmp_path / "own").rename(tmp_path.parent / f"{tmp_path.name}_own")
    marks = {
        "9d7966f761f1e29b38d14ffdd2583fdb33fe17fd47bcf8773c5b3355dc345e7a": Folder(str(tmp_path)),
        "e4f86e4297374a51a3df73d24d9a8db5fc0277dd650cbc9dcf9aacdec2b7eb0c": Folder(str(tmp_path), 224, 0.4, 7),
        "3b1e9a95a08e883e6b0afee37765261d729eef0634fbe589c8d6bb0cebc568f1": Folder(str(own)),
    }
    assert [open_data(spec).fingerprint for spec in marks.values()] == list(marks)


# --- an index that is not believed


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-300])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def other_text(path: Path) -> None:
    path.write_text("some notes of mine")


def other_arrays(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, images=np.zeros(3))


def objects(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, allow_pickle=True, header=np.array([{}], dtype=object))


def changed_header(**fields: object) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with np.load(path) as columns:
            kept = dict(columns)
        header = json.loads(kept["header"].tobytes()) | fields
        kept["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
        with path.open("wb") as file:
            np.savez(file, **kept)

    return change


def fewer_rows(path: Path) -> None:
    with np.load(path) as columns:
        kept = dict(columns)
    kept["facts"] = kept["facts"][:-1]
    with path.open("wb") as file:
        np.savez(file, **kept)


@pytest.mark.parametrize(
    "spoil",
    [
        cut,
        flip,
        empty,
        other_text,
        other_arrays,
        objects,
        changed_header(schema=0),
        changed_header(kind="something else"),
        changed_header(channels=1),
        changed_header(folders=[]),
        changed_header(classes=["cat"]),
        changed_header(more=1),
        fewer_rows,
    ],
)
def test_what_is_no_index_of_ours_is_made_anew_with_a_note(
    pets: Path, decoded: list[object], spoil: Callable[[Path], None]
) -> None:
    before = open_data(pets)
    spoil(file_of(pets))
    decoded.clear()
    again = open_data(pets)
    assert len(decoded) == 10
    assert (again.fingerprint, again.normalization) == (before.fingerprint, before.normalization)
    assert f"{file_of(pets)}: is damaged, or no index of this version of Dorsal; it is made anew" in again.notes
    decoded.clear()
    assert open_data(pets).notes == before.notes
    assert decoded == []


def test_an_index_is_written_in_one_step(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What breaks off while it is written leaves the one before, and no litter."""
    open_data(pets)
    before = file_of(pets).read_bytes()
    rewrite(pets / "cat" / "003.png")

    def break_off(*arguments: object, **columns: object) -> None:
        arguments[0].write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", break_off)
    with pytest.raises(KeyboardInterrupt):
        open_data(pets)
    assert file_of(pets).read_bytes() == before
    assert sorted(path.name for path in file_of(pets).parent.iterdir()) == ["index-3.npz", "lock"]


def test_checks_at_the_same_time_do_no_harm(pets: Path, decoded: list[object]) -> None:
    with ThreadPoolExecutor(4) as pool:
        marks = {data.fingerprint for data in pool.map(open_data, [pets] * 4)}
    assert len(marks) == 1
    assert len(decoded) == 10  # one does the work, the others wait for it
    assert len(read_indices(pets, decode.Reading())[0]) == 1
    assert open_data(pets).fingerprint in marks


def test_without_locks_checks_at_the_same_time_do_no_harm(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr(index, "FileLock", refuse)
    with ThreadPoolExecutor(4) as pool:
        marks = {data.fingerprint for data in pool.map(open_data, [pets] * 4)}
    assert {open_data(pets).fingerprint} == marks


def test_an_interrupted_check_goes_on_where_it_was(pets: Path, decoded: list[object]) -> None:
    def interrupt(done: int, total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_data(pets, on_progress=interrupt)
    decoded.clear()
    told: list[tuple[int, int]] = []
    open_data(pets, on_progress=lambda done, total: told.append((done, total)))
    assert len(decoded) == 6
    assert [each for each in told if each[1]] == [(done, 6) for done in range(1, 7)]
    assert [each for each in told if not each[1]] == [(6, 0), (10, 0)]


# --- where the folder cannot be written


@pytest.fixture
def closed(pets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which no index can be made, for root too: a file has its name."""
    (pets / ".dorsal").write_text("")
    monkeypatch.delenv("DORSAL_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return pets


def test_a_closed_folder_has_its_index_in_the_cache(closed: Path, tmp_path: Path, decoded: list[object]) -> None:
    first = open_data(closed)
    assert first.notes == ()
    assert len(list((tmp_path / "cache" / "dorsal" / "data").glob("*/index-3.npz"))) == 1
    decoded.clear()
    assert open_data(closed).fingerprint == first.fingerprint
    assert open_data(closed, fingerprint=first.fingerprint).fingerprint == first.fingerprint
    assert decoded == []


def test_without_any_place_for_an_index_the_folder_is_checked_every_time(
    closed: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, decoded: list[object]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DORSAL_HOME", str(tmp_path / "file"))
    for _ in range(2):
        decoded.clear()
        [note] = open_data(closed).notes
        assert "no index of" in note
        assert "checked anew every time" in note
        assert len(decoded) == 10


def test_the_newest_index_counts(pets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decoded) -> None:
    """One of the folder's own that could not be written later on is older than the cache's."""
    monkeypatch.setenv("DORSAL_HOME", str(tmp_path / "cache"))
    open_data(pets)
    rewrite(pets / "cat" / "003.png")
    (pets / ".dorsal").rename(tmp_path / "aside")
    (pets / ".dorsal").write_text("")
    open_data(pets)
    (pets / ".dorsal").unlink()
    (tmp_path / "aside").rename(pets / ".dorsal")
    decoded.clear()
    open_data(pets)
    assert decoded == []


# --- workers


def test_a_worker_looks_at_no_file_before_its_first_image(
    pets: Path, decoded: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    planned, spec = open_data(pets), data_spec(pets)
    decoded.clear()
    with monkeypatch.context() as patch:

        def refuse(*_: object, **__: object) -> None:
            raise AssertionError("a worker looked at the files")

        patch.setattr(os, "scandir", refuse)
        patch.setattr(decode, "scan", refuse)
        data = open_data(spec, fingerprint=planned.fingerprint)
    assert decoded == []
    assert (data.fingerprint, data.normalization, data.classes) == (
        planned.fingerprint,
        planned.normalization,
        planned.classes,
    )
    assert torch.equal(data.train.image(2), planned.train.image(2))
    assert len(decoded) == 2


def test_a_worker_without_that_index_checks_for_itself(pets: Path, decoded: list[object]) -> None:
    planned = open_data(pets).fingerprint
    file_of(pets).unlink()  # as on another machine, to which the images alone were copied
    decoded.clear()
    assert open_data(pets, fingerprint=planned).fingerprint == planned
    assert len(decoded) == 10
    rewrite(pets / "cat" / "003.png")
    open_data(pets)
    assert open_data(pets, fingerprint=planned).fingerprint != planned


def test_a_worker_believes_no_index_of_what_cannot_be_trained_on(pets: Path) -> None:
    """One that was made to score a model, or by a check that was broken off."""
    planned = open_data(pets).fingerprint
    for name in ("cat", "dog"):
        (pets / "val").mkdir(exist_ok=True)
        (pets / name).rename(pets / "val" / name)
    open_for_scoring(pets)
    with pytest.raises(DataError, match="has val and no train"):
        open_data(pets, fingerprint=planned)


def test_a_copy_with_other_times_is_read_and_a_changed_file_is_not(pets: Path) -> None:
    planned = open_data(pets)
    os.utime(paths(planned.train)[0], ns=(10**18, 10**18 + 5))
    worker = open_data(pets, fingerprint=planned.fingerprint)
    assert worker.train.image(0).shape == (3, 16, 24)
    rewrite(paths(planned.train)[1])
    with pytest.raises(DataError, match="it was changed after it was checked; open the data set again"):
        worker.train.image(1)


def test_a_split_can_be_sent_to_another_process(pets: Path) -> None:
    data = open_data(pets)
    data.train.image(0)
    sent = pickle.loads(pickle.dumps(data.train))
    assert torch.equal(sent.image(1), data.train.image(1))


# --- what is said


def test_all_problems_are_listed_in_a_file(pets: Path) -> None:
    for number in range(30):
        (pets / "cat" / f"bad{number:02}.jpg").write_text("no image")
    with pytest.raises(DataError, match="30 problems") as caught:
        open_data(pets)
    error = pickle.loads(pickle.dumps(caught.value))
    assert len(error.problems) == 30
    assert error.listed == pets / ".dorsal" / "problems.txt"
    assert str(error).endswith(f"and 10 more\n  all of them: {error.listed}")
    assert error.listed.read_text().splitlines() == list(error.problems)


def test_broken_files_alone_are_looked_at_again(pets: Path, decoded: list[object]) -> None:
    (pets / "cat" / "bad.jpg").write_text("no image")
    for expected in (11, 1):
        decoded.clear()
        with pytest.raises(DataError, match=r"bad\.jpg: is not an image"):
            open_data(pets)
        assert len(decoded) == expected
    (pets / "cat" / "bad.jpg").unlink()
    decoded.clear()
    open_data(pets)
    assert decoded == []


def test_names_alone_stop_a_large_check_at_once(pets: Path, monkeypatch: pytest.MonkeyPatch, decoded) -> None:
    (pets / "bird").mkdir()
    monkeypatch.setattr(check_module, "_FEW", 9)
    with pytest.raises(DataError, match="bird: holds no images"):
        open_data(pets)
    assert decoded == []


def test_a_limit_that_was_lowered_counts(pets: Path) -> None:
    open_data(pets)
    with pytest.raises(DataError, match=r"is 24x16 px, more than max_pixels=300"):
        open_data(Folder(str(pets), max_pixels=300))
    open_data(pets)


def test_progress_is_told_in_lines_where_there_is_no_terminal(
    pets: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    open_data(pets)
    assert capsys.readouterr().err == ""
    clock = iter(range(0, 1000, 3))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    file_of(pets).unlink()
    open_data(pets)
    assert capsys.readouterr().err.splitlines() == [
        f"listing {pets}: 6 files so far",
        f"checking {pets}: 3 of 10 images, 0 a second, about 21 s left",
        f"checking {pets}: 7 of 10 images, 0 a second, about 9 s left",
        f"checked {pets}: 10 images in 27 s",
    ]


def test_progress_is_told_in_place_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    screen.isatty = lambda: True  # type: ignore[method-assign]
    clock = iter(range(100))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    monkeypatch.setattr(sys, "stderr", screen)
    tell = progress.on_stderr(Path("photos"))
    for done, total in ((300, 0), (700, 0), (1, 4), (2, 4), (4, 4)):
        tell(done, total)
    assert screen.getvalue().split("\r\x1b[K")[1:] == [
        "listing photos: 700 files so far",
        "checking photos: 1 of 4 images",
        "checking photos: 2 of 4 images, 1 a second, about 2 s left",
        "checked photos: 4 images in 2 s\n",
    ]


def test_looking_at_files_needs_no_torch() -> None:
    code = "import sys, dorsal.data.check, dorsal.data.scanning; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
