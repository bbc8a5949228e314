"""The check of a folder: decodes every file that no earlier index knows, and keeps what it finds. No torch."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from dorsal.data.decode import Reading, Scan
from dorsal.data.errors import DataError, shown
from dorsal.data.index import Index, checking, fact_type, read_indices, write_index, write_text
from dorsal.data.listing import Listing
from dorsal.data.progress import Progress
from dorsal.data.scanning import Task, scan_files

_FEW = 2000
"""Up to this number of files is decoded even if names alone show a problem, so that one message has all problems."""
SETTLED = 2 * 10**9
"""Nanoseconds in which a file may change twice and have one time: some file systems keep times to two seconds only. A
file that changed less than this before the check is compared again next time."""


def check(
    listing: Listing, reading: Reading, on_progress: Progress, problems: Sequence[str] = ()
) -> tuple[Index, tuple[str, ...]]:
    """Returns the index of all files of `listing`, and notes on it.

    A file is not decoded again if an earlier index knows its path, size, time and inode. The index is written for the
    next time, even if there are problems or the check is interrupted. `on_progress` is called after each file.

    Raises DataError, with the listing's problems and `problems` before its own, for images that are unreadable,
    truncated, smaller than 8 px, of 32-bit or floating-point values, or of more than `reading.max_pixels`.
    """
    now, root = time.time_ns(), listing.root
    known, notes = read_indices(root, reading)
    index, waiting = _carry_over(listing, reading, known)
    found = [*listing.problems, *problems]
    if found and len(waiting) > _FEW:
        raise data_error(root, found)
    if len(waiting):
        with checking(root, lambda: say_waiting(root)) as waited:
            if waited:
                known, _ = read_indices(root, reading)
                index, waiting = _carry_over(listing, reading, known)
            try:
                found += _look(index, waiting, on_progress)
            finally:
                notes += _keep(index, now)
    elif len(listing.files) and not (known and _same(listing, known[0].listing)):
        notes += _keep(index, now)
    if found:
        raise data_error(root, found)
    return index, tuple(notes)


def read_unchanged(path: str, size: int, time_ns: int, digest: bytes) -> bytes:
    """What a file holds that was checked when it had this size, time and sha256 (b"" where nobody took it: then the
    size alone counts).

    Raises DataError if it is another file now, and OSError if it cannot be read.
    """
    with Path(path).open("rb") as opened:
        data, found = opened.read(), os.fstat(opened.fileno())
    # On another machine a file may have another time. What it holds is what counts.
    same = found.st_size == size and (found.st_mtime_ns == time_ns or not digest)
    if not same and hashlib.sha256(data).digest() != digest:
        raise DataError(shown(path), ["it was changed after it was checked; open the data set again"])
    return data


def _carry_over(listing: Listing, reading: Reading, known: list[Index]) -> tuple[Index, NDArray[np.int64]]:
    """Returns the index of `listing` with what the newest known index has, and the rows still to be scanned."""
    if not known:
        facts = np.zeros(len(listing.files), fact_type(reading.channels))
        return Index(listing=listing, reading=reading, facts=facts, conversions=[""]), np.arange(len(facts))
    before = known[0]
    facts, files = before.facts, before.listing.files
    if not _same_paths(listing, before.listing):
        rows = {path: row for row, path in enumerate(before.listing.paths())}
        old = np.fromiter((rows.get(path, -1) for path in listing.paths()), np.int64, len(listing.files))
        facts, files = np.zeros(len(old), facts.dtype), np.zeros(len(old), files.dtype)
        facts[old >= 0], files[old >= 0] = before.facts[old[old >= 0]], before.listing.files[old[old >= 0]]
    # An image that is larger than allowed now is scanned as if it were new, and so refused.
    facts[facts["width"].astype(np.int64) * facts["height"] > reading.max_pixels] = 0
    index = Index(listing=listing, reading=reading, facts=facts, conversions=before.conversions)
    unchanged = index.known()
    for column in ("size", "time", "inode"):
        unchanged &= listing.files[column] == files[column]
    return index, np.flatnonzero(~unchanged)


def _same_paths(listing: Listing, before: Listing) -> bool:
    same = listing.names == before.names and listing.folders == before.folders
    return same and np.array_equal(listing.files["folder"], before.files["folder"])


def _look(index: Index, waiting: NDArray[np.int64], on_progress: Progress) -> list[str]:
    """Scans the files of rows `waiting` and puts what it finds into the index. Returns the problems by path."""
    known = index.known()
    places = {conversion: place for place, conversion in enumerate(index.conversions)}
    problems: dict[int, str] = {}

    def task(number: int) -> Task:
        row = int(waiting[number])
        digest = index.facts["digest"][row].tobytes() if known[row] else b""
        return Task(os.fsencode(index.path(row)), digest)

    for done, (number, scan) in enumerate(scan_files(len(waiting), task, index.reading), 1):
        row = int(waiting[number])
        if scan.problem:
            problems[row] = f"{shown(index.path(row))}: {scan.problem}"
            index.facts[row] = 0
        elif scan.width:  # else it is the file that was known, under another time
            if scan.note not in places:
                places[scan.note] = len(index.conversions)
                index.conversions.append(scan.note)
            index.facts[row] = fact_row(scan, places[scan.note])
        on_progress(done, len(waiting))
    return [problems[row] for row in sorted(problems)]


def fact_row(scan: Scan, conversion: int) -> tuple[object, ...]:
    """A scan as a row of `dorsal.data.index.fact_type`."""
    digest = np.frombuffer(scan.digest, np.uint8)
    return digest, scan.width, scan.height, scan.deep, conversion, scan.low, scan.high, scan.mean, scan.square


def _keep(index: Index, now: int) -> list[str]:
    """Writes the index. Returns a note if there is no place for it."""
    listing = index.listing
    files = listing.files.copy()
    files["time"][files["time"] > now - SETTLED] = -1
    kept = msgspec.structs.replace(index, listing=msgspec.structs.replace(listing, files=files))
    try:
        write_index(kept)
    except (OSError, UnicodeEncodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "the name of a class is not valid UTF-8"
        return [f"no index of {shown(listing.root)} could be kept ({reason}); it will be checked anew every time"]
    return []


def _same(listing: Listing, before: Listing) -> bool:
    return (
        (listing.classes, listing.parts, listing.notes) == (before.classes, before.parts, before.notes)
        and _same_paths(listing, before)
        and np.array_equal(listing.files, before.files)
    )


def data_error(root: Path, found: Sequence[str]) -> DataError:
    """The error of a folder with these problems. Where they are many, all of them are written beside its index."""
    text = "".join(f"{problem}\n" for problem in found)
    listed = write_text(root, "problems.txt", text) if len(found) > DataError.SHOWN else None
    return DataError(shown(root), found, listed)


def say_waiting(root: Path) -> None:
    """Says on standard error that another process is at work on the folder."""
    sys.stderr.write(f"another process is checking {shown(root)}; waiting for it\n")
