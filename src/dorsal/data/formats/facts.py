"""What is found out about each file of an annotated data set by itself, and kept for the next time. No torch."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from dorsal.data.check import SETTLED
from dorsal.data.decode import Reading, Scan
from dorsal.data.formats.index import AnnotatedIndex, spread
from dorsal.data.formats.looks import Look, look_at
from dorsal.data.formats.truth import LabelImage
from dorsal.data.index import homes, write_beside
from dorsal.data.progress import Progress
from dorsal.data.scanning import Task, scan_files

WHOLE = 20_000
"""Up to this number of images the check decodes each, draws each mask and reads each label image."""
SAMPLED = 2_000
"""Of more, so many training images are decoded, for the normalization."""
_KIND = "dorsal: facts of annotated files"
_SCHEMA = 1
_VERDICTS = 8
"""Of so many checks it is kept that they found no problem."""


class Facts(msgspec.Struct, frozen=True, array_like=True):
    """A file: its size in bytes, time of its last change in nanoseconds (-1: too fresh to be told from a later change)
    and inode, then what its header and its pixels say. Of a label image there is the sha256 in `scan` alone; where
    pixels were not looked at, `scan` is empty."""

    bytes: int
    time: int
    inode: int
    look: Look = Look()
    scan: Scan = Scan()

    @property
    def identity(self) -> tuple[int, int, int]:
        """Says whether a file is the same as before."""
        return self.bytes, self.time, self.inode


class Kept(msgspec.Struct):
    """Facts of files by their path from the root, and the notes of checks that found no problem, by what was checked;
    the newest check comes last."""

    kind: str = _KIND
    schema: int = _SCHEMA
    files: dict[bytes, Facts] = {}
    verdicts: dict[str, tuple[str, ...]] = {}

    def facts(self, root: Path, paths: Sequence[Path]) -> dict[Path, Facts]:
        """The facts of the files among `paths` that are known, whatever has become of the files."""
        found = {path: self.files.get(_key(root, path)) for path in paths}
        return {path: facts for path, facts in found.items() if facts is not None}


def read_kept(root: Path, channels: int) -> Kept:
    """What earlier checks kept of a data set; nothing where it is damaged or of another version."""
    for home in homes(root):
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            found = msgspec.msgpack.decode((home / _name(channels)).read_bytes(), type=Kept)
            if (found.kind, found.schema) == (_KIND, _SCHEMA):
                return found
    return Kept()


def write_kept(root: Path, channels: int, kept: Kept, facts: Mapping[Path, Facts], began: int) -> None:
    """Adds facts, of a check that `began` at this time in nanoseconds, and writes all of it.

    Raises OSError if there is no place for it.
    """
    new = {_key(root, path): each for path, each in facts.items()}
    fresh = {key for key, each in new.items() if each.time > began - SETTLED}
    new |= {key: msgspec.structs.replace(new[key], time=-1) for key in fresh}
    verdicts = dict(list(kept.verdicts.items())[-_VERDICTS:])
    data = msgspec.msgpack.encode(Kept(files=kept.files | new, verdicts=verdicts))
    write_beside(root, _name(channels), lambda file: file.write(data))


def image_paths(index: AnnotatedIndex) -> list[Path]:
    """The image files of both splits, each once."""
    return list(dict.fromkeys(entry.path for entry in (*index.train, *index.val)))


def label_paths(index: AnnotatedIndex) -> list[Path]:
    """The label images of both splits, each once."""
    found = (entry.truth.semantic for entry in (*index.train, *index.val))
    return list(dict.fromkeys(each.path for each in found if isinstance(each, LabelImage)))


def gather(
    index: AnnotatedIndex,
    reading: Reading = Reading(),
    known: Mapping[Path, Facts] = {},
    on_progress: Progress | None = None,
    whole: int = WHOLE,
) -> dict[Path, Facts]:
    """The facts of all image files and label images that are there.

    A file is not opened again if `known` has facts of the same, and not decoded again if it has another time and holds
    the same. Of more than `whole` images headers are read, and the pixels of some training images alone. `on_progress`
    is called after each file that is decoded.
    """
    images, labels = image_paths(index), label_paths(index)
    every = len(images) <= whole
    decoded = frozenset(images if every else [entry.path for entry in spread(index.train, SAMPLED)])
    fresh = {path: each for path in (*images, *labels) if (each := _identified(path)) is not None}
    found = {path: each for path, each in known.items() if path in fresh and each.identity == fresh[path].identity}
    waiting = [path for path in images if path in fresh and not _enough(found.get(path), path in decoded, every)]
    scans = _scans([path for path in waiting if path in decoded], reading, known, on_progress)
    same = [path for path, scan in scans.items() if scan.digest and not scan.width]  # another time, and nothing else
    changed = [path for path in waiting if path not in frozenset(same)]
    looks = dict(zip(changed, look_at(changed, marks=every), strict=True))
    found |= {path: _with(fresh[path], known[path].look, known[path].scan) for path in same}
    found |= {path: _with(fresh[path], looks[path], scans.get(path, Scan())) for path in changed}
    unread = [
        path for path in labels if path in fresh and (path not in found or (every and not found[path].scan.digest))
    ]
    with ThreadPoolExecutor() as pool:
        read = pool.map(_digest, unread) if every else [Scan() for _ in unread]
        found |= {path: _with(fresh[path], Look(), scan) for path, scan in zip(unread, read, strict=True)}
    return {path: found[path] for path in fresh}


def _identified(path: Path) -> Facts | None:
    """Facts of a file that nobody has opened yet, None if there is no such file."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return Facts(found.st_size, found.st_mtime_ns, found.st_ino) if stat.S_ISREG(found.st_mode) else None


def _enough(facts: Facts | None, decoded: bool, marked: bool) -> bool:
    """Whether an image need not be opened again."""
    if facts is None or not facts.look.stored[0]:
        return False
    return (not decoded or bool(facts.scan.digest)) and (not marked or bool(facts.look.mark))


def _with(facts: Facts, look: Look, scan: Scan) -> Facts:
    return msgspec.structs.replace(facts, look=look, scan=scan)


def _scans(
    paths: Sequence[Path], reading: Reading, known: Mapping[Path, Facts], on_progress: Progress | None
) -> dict[Path, Scan]:
    """The scan of each file."""

    def task(number: int) -> Task:
        before = known.get(paths[number])
        return Task(os.fsencode(paths[number]), before.scan.digest if before and before.look.mark else b"")

    found = {}
    for done, (number, scan) in enumerate(scan_files(len(paths), task, reading), 1):
        found[paths[number]] = scan
        if on_progress is not None:
            on_progress(done, len(paths))
    return found


def _digest(path: Path) -> Scan:
    """The sha256 of a file, empty where it cannot be read, of which the check tells."""
    try:
        return Scan(digest=hashlib.sha256(path.read_bytes()).digest())
    except OSError:
        return Scan()


def _key(root: Path, path: Path) -> bytes:
    return os.fsencode(os.path.relpath(path, root))


def _name(channels: int) -> str:
    return f"annotated-{channels}.msgpack"
