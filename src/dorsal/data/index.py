"""The index of a folder: what a check found out about every file, in memory and on disk. No torch.

An index lies in `.dorsal` within the folder itself, so it moves and is shared with the folder. If that cannot be
written, it lies in `data` in DORSAL_HOME, else in `dorsal/data` in XDG_CACHE_HOME. There is one for each number of
channels. It is an uncompressed `.npz` of plain columns, and nothing in it is ever executed. One that is damaged, of
another version, or no index at all is not used.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

import msgspec
import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from dorsal.data.decode import Reading
from dorsal.data.listing import FILE, Listing, Part

_KIND = "dorsal: index of a folder of images"
_SCHEMA = 1
"""To be raised whenever the columns or what they mean change, the conversions of `dorsal.data.decode` among them."""
_HIDDEN = ".dorsal"


def fact_type(channels: int) -> np.dtype[np.void]:
    """The row of a file: `dorsal.data.decode.Scan` in columns. If the digest is zero, nothing is known yet. `note` is a
    place in `Index.conversions`."""
    return np.dtype(
        [
            ("digest", "u1", (32,)),
            ("width", "<u4"),
            ("height", "<u4"),
            ("deep", "u1"),
            ("note", "u1"),
            ("low", "<i4", (channels,)),
            ("high", "<i4", (channels,)),
            ("mean", "<f8", (channels,)),
            ("square", "<f8", (channels,)),
        ]
    )


class Index(msgspec.Struct, frozen=True, eq=False, kw_only=True, dict=True):
    """A listing and the facts of its files, row by row. `conversions` are what was done to images, "" first; a check
    adds to them."""

    listing: Listing
    reading: Reading
    facts: NDArray[np.void]
    conversions: list[str]

    def path(self, row: int) -> str:
        """The path of a file, as the file system spells it."""
        start, end = (int(self._ends[row - 1]) + 1 if row else 0), int(self._ends[row])
        folder = self.listing.folders[int(self.listing.files["folder"][row])]
        return f"{self.listing.root}/{os.fsdecode(folder)}/{os.fsdecode(self.listing.names[start:end])}"

    def known(self) -> NDArray[np.bool_]:
        """Which files have been scanned and are sound, bool [n]."""
        known: NDArray[np.bool_] = np.logical_or.reduce(self.facts["digest"], axis=1)
        return known

    @functools.cached_property
    def _ends(self) -> NDArray[np.int64]:
        return np.flatnonzero(np.frombuffer(self.listing.names, np.uint8) == 0)


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    kind: str
    schema: int
    channels: int
    classes: tuple[str, ...]
    parts: tuple[Part, ...]
    folders: tuple[bytes, ...]
    notes: tuple[str, ...]
    conversions: list[str]


def homes(root: Path) -> tuple[Path, Path]:
    """Where the index of a folder may lie: within it, and in the cache."""
    base = os.environ.get("DORSAL_HOME")
    cache = Path(base) if base else Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "dorsal"
    name = hashlib.sha256(os.fsencode(os.path.realpath(root))).hexdigest()[:16]
    return root / _HIDDEN, cache / "data" / name


def read_indices(root: Path, reading: Reading) -> tuple[list[Index], list[str]]:
    """Reads the indices of a folder, the newest first. Returns them, and a note on each that cannot be used."""
    ages = {}
    for home in homes(root):
        with contextlib.suppress(OSError):
            ages[home / _name(reading)] = (home / _name(reading)).stat().st_mtime_ns
    found, notes = [], []
    for path in sorted(ages, key=lambda path: -ages[path]):
        try:
            found.append(_read(path, root, reading))
        except OSError as error:
            notes.append(f"{path}: the index cannot be read ({error.strerror or error}); it is made anew")
        except Exception:  # zip, NumPy and msgspec each have errors of their own for what is not as it should be
            notes.append(f"{path}: is damaged, or no index of this version of Dorsal; it is made anew")
    return found, notes


def write_index(index: Index) -> Path:
    """Writes an index as `write_beside` does."""

    def save(file: IO[bytes]) -> None:
        np.savez(file, allow_pickle=False, **_columns(index))

    return write_beside(index.listing.root, _name(index.reading), save)


def write_beside(root: Path, name: str, save: Callable[[IO[bytes]], object]) -> Path:
    """Writes a file about a folder, in one step, to the first place that can be written. Returns its path.

    Raises OSError if there is no such place.
    """
    problem: OSError | None = None
    for home in homes(root):
        path = home / name
        part = home / f"{name}.{os.getpid()}-{secrets.token_hex(4)}"
        try:
            _make(home)
            try:
                with part.open("xb") as file:
                    save(file)
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)
        except OSError as error:
            problem = error
        else:
            return path
    raise problem or OSError("there is no place for an index")


def write_text(root: Path, name: str, text: str) -> Path | None:
    """Writes a text beside the index of a folder. Returns its path, None if there is no place for it."""
    for home in homes(root):
        with contextlib.suppress(OSError):
            _make(home)
            (home / name).write_text(text, encoding="utf-8")
            return home / name
    return None


@contextlib.contextmanager
def checking(root: Path, on_wait: Callable[[], None]) -> Iterator[bool]:
    """Holds a folder while it is checked, so that one of many processes does the work. Yields whether another process
    held it before; `on_wait` is called before waiting for that. On a file system without locks all processes work, and
    their indices replace each other as a whole."""
    for home in homes(root):
        try:
            _make(home)
            lock = FileLock(home / "lock")
            waited = False
            try:
                lock.acquire(timeout=0)
            except Timeout:
                waited = True
                on_wait()
                lock.acquire()
        except (OSError, NotImplementedError):
            continue
        try:
            yield waited
        finally:
            lock.release()
        return
    yield False


def _make(home: Path) -> None:
    home.mkdir(parents=home.name != _HIDDEN, exist_ok=True)  # never the folder of images itself


def _name(reading: Reading) -> str:
    return f"index-{reading.channels}.npz"


def _columns(index: Index) -> dict[str, NDArray[np.generic]]:
    listing = index.listing
    header = _Header(
        kind=_KIND,
        schema=_SCHEMA,
        channels=index.reading.channels,
        classes=listing.classes,
        parts=listing.parts,
        folders=listing.folders,
        notes=listing.notes,
        conversions=index.conversions,
    )
    text = np.frombuffer(msgspec.json.encode(header), np.uint8)
    return {
        "header": text,
        "names": np.frombuffer(listing.names, np.uint8),
        "files": listing.files,
        "facts": index.facts,
    }


def _read(path: Path, root: Path, reading: Reading) -> Index:
    """Raises whatever is wrong with the file."""
    with path.open("rb") as file, np.load(file, allow_pickle=False) as columns:
        header = msgspec.json.decode(columns["header"].tobytes(), type=_Header)
        names, files, facts = columns["names"].tobytes(), columns["files"], columns["facts"]
    count = len(files)
    fits = (
        (header.kind, header.schema, header.channels) == (_KIND, _SCHEMA, reading.channels)
        and (files.dtype, facts.dtype) == (FILE, fact_type(reading.channels))
        and files.shape == facts.shape == (count,)
        and names.count(b"\0") == count
        and (not names or names.endswith(b"\0"))
        and _within(files["folder"], header.folders)
        and _within(files["part"], header.parts)
        and _within(files["label"], header.classes)
        and _within(facts["note"], header.conversions)
    )
    if not fits:
        raise ValueError("the columns do not fit together")
    listing = Listing(
        root=root,
        classes=header.classes,
        parts=header.parts,
        folders=header.folders,
        names=names,
        files=files,
        notes=header.notes,
    )
    return Index(listing=listing, reading=reading, facts=facts, conversions=header.conversions)


def _within(places: NDArray[np.integer], of: Sequence[object]) -> bool:
    return not len(places) or int(places.max()) < len(of)
