"""Which files of a folder belong to which class and split. Looks at names, sizes and times; opens no image."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from dorsal.data.decode import Reading
from dorsal.data.errors import nearest, shown
from dorsal.data.layout import Role, find_layout, nested
from dorsal.data.progress import Progress
from dorsal.language.files import is_folder

FILE = np.dtype(
    [
        ("folder", "<u4"),
        ("part", "<u4"),
        ("label", "<u4"),
        ("size", "<i8"),
        ("time", "<i8"),
        ("inode", "<i8"),
    ]
)
"""A file: the places of its folder, part and class in the listing; its size in bytes, time of its last change in
nanoseconds and inode, which are those of the file that a link leads to, and -1 if it leads nowhere."""

_BELOW_2_63 = 2**63 - 1


class Part(msgspec.Struct, frozen=True):
    """The class folders of one split, or of the whole set: the number of images in each class, -1 if a problem of the
    listing hides it, and the number of other files. `folder` is the part's name within the root, "" for the root."""

    role: Role
    folder: str
    images: dict[str, int]
    others: dict[str, int]


class Listing(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """The files of a data set, ordered by part, class and path.

    `folders` are paths within `root`, as the file system spells them, with `/`. `names` are the names of all files, a
    zero byte after each; row i of `files` says where file i is. `problems` and `notes` are sentences.
    """

    root: Path
    classes: tuple[str, ...]
    parts: tuple[Part, ...]
    folders: tuple[bytes, ...]
    names: bytes
    files: NDArray[np.void]
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def part(self, role: Role) -> Part | None:
        """The part of this role, if there is one."""
        return next((part for part in self.parts if part.role == role), None)

    def paths(self) -> Iterator[bytes]:
        """The paths of all files within the root."""
        places, names = self.files["folder"].tolist(), self.names.split(b"\0")[:-1]
        return (self.folders[place] + b"/" + name for place, name in zip(places, names, strict=True))


def list_folder(root: Path, reading: Reading, on_progress: Progress) -> Listing:
    """Lists `train/<class>/*` and `val/<class>/*` if `root` has splits (see `dorsal.data.layout`), else `<class>/*`.

    Classes are the names of folders in the order of their code points; classes of val that train lacks come last.
    Images may lie deeper, and names that begin with a dot are ignored. `on_progress` is called after each folder.
    """
    walk = _Walk(root, reading, on_progress)
    if not is_folder(root):
        walk.problems.append(f"{shown(root)}: is not a folder, or one that may not be entered")
        return walk.listing((), ())
    layout = find_layout(root, [entry.name for entry in walk.entries("") if _leads_to_folder(entry)], reading)
    if layout.problem or walk.problems:
        walk.problems += filter(None, [layout.problem])
        return walk.listing((), layout.notes)
    parts = tuple(walk.part(role, folder) for role, folder in layout.folders.items())
    return walk.listing(parts, layout.notes)


def training_problems(listing: Listing) -> list[str]:
    """Reasons why a listing cannot be trained on, though a model may be scored on it."""
    problems = [
        f"{shown(listing.root / part.folder / name)}: holds no images{_hint(part.others[name])}"
        for part in listing.parts
        for name, count in part.images.items()
        if count == 0
    ]
    whole, train, val = (listing.part(role) for role in ("whole", "train", "val"))
    if whole is not None:
        problems += [
            f"{shown(listing.root / name)}: holds the only image of its class; splitting needs two"
            for name, count in whole.images.items()
            if count == 1
        ]
    elif listing.parts and train is None:
        problems.append(f"{shown(listing.root)}: has {val.folder if val else ''} and no train; add a folder `train`")
    elif train is not None and val is None:
        problems.append(
            f"{shown(listing.root)}: has {train.folder} and no val; add a folder `val`, or name "
            f"{shown(listing.root / train.folder)} itself to have it split"
        )
    elif train is not None and val is not None:
        problems += [
            f"{shown(listing.root / val.folder / name)}: class {name!r} is not in {train.folder}"
            f"{nearest(name, train.images)}"
            for name in val.images
            if name not in train.images
        ]
    known = whole or train
    if known is not None and len(known.images) == 1:
        problems.append(_alone(listing, known))
    return problems


def _alone(listing: Listing, part: Part) -> str:
    name = next(iter(part.images))
    inner = {os.fsdecode(folder).rpartition("/")[0] for folder in listing.folders}
    below = listing.root / part.folder / name
    deeper = f"; did you mean '{shown(below)}'?" if f"{part.folder}/{name}".strip("/") in inner else ""
    return f"{shown(listing.root)}: has one class only, {name!r}; two are needed{deeper}"


def _hint(others: int) -> str:
    return f"; {others} files there are of no known image format" if others else ""


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # reading it as a file will say why


class _Walk:
    """Collects files, problems and notes while it looks. Paths are text within the root, with `/`."""

    def __init__(self, root: Path, reading: Reading, on_progress: Progress) -> None:
        self.problems: list[str] = []
        self._root, self._suffixes, self._on_progress = root, reading.suffixes, on_progress
        self._labels: dict[str, int] = {}
        self._folders: dict[str, int] = {}
        self._names: list[bytes] = []
        self._rows: list[NDArray[np.void]] = []
        self._others, self._first_other = 0, ""
        self._parts = self._found = 0

    def listing(self, parts: tuple[Part, ...], notes: tuple[str, ...]) -> Listing:
        if self._others:
            count = "1 file that is no image" if self._others == 1 else f"{self._others:,} files that are no images"
            first = shown(self._root / self._first_other)
            notes = (*notes, f"{count} or in no class folder passed over, first: {first}")
        train, val = (next((part for part in parts if part.role == role), None) for role in ("train", "val"))
        absent = [name for name in train.images if name not in val.images] if train and val and val.images else []
        if absent:
            count = "1 class has" if len(absent) == 1 else f"{len(absent)} classes have"
            notes = (*notes, f"{count} no validation images, first: {absent[0]!r}")
        return Listing(
            root=self._root,
            classes=tuple(self._labels),
            parts=parts,
            folders=tuple(os.fsencode(folder) for folder in self._folders),
            names=b"".join(self._names),
            files=np.concatenate([np.empty(0, FILE), *self._rows]),
            problems=tuple(self.problems),
            notes=notes,
        )

    def part(self, role: Role, folder: str) -> Part:
        """The images under each class folder of `folder`."""
        problems = len(self.problems)
        part = Part(role, folder, {}, {})
        inside = []
        for entry in self.entries(folder):
            if not _leads_to_folder(entry):
                self._pass_over(f"{folder}/{entry.name}".lstrip("/"))
                continue
            inside.append((entry.name, self._class(part, entry.name)))
        self._parts += 1
        if not part.images and len(self.problems) == problems:
            where = shown(self._root / folder)
            self.problems.append(f"{where}: has no class folders; put the images of each class into their own")
        wrong = nested(self._root / folder, inside)
        if wrong:
            self.problems.append(wrong)
        return part

    def _class(self, part: Part, name: str) -> frozenset[str]:
        """Lists one class. Returns the names of the folders in it, none if it also holds images itself."""
        path = f"{part.folder}/{name}".lstrip("/")
        try:
            name.encode()
        except UnicodeEncodeError:
            self.problems.append(
                f"{shown(self._root / path)}: the name of this class is not valid UTF-8, so no model could carry it; "
                "rename the folder"
            )
        label = self._labels.setdefault(name, len(self._labels))
        others, problems = self._others, len(self.problems)
        images, direct, folders = self._gather(path, (self._identity(part.folder),), label)
        part.images[name] = images if images or len(self.problems) == problems else -1
        part.others[name] = self._others - others
        return frozenset() if direct else frozenset(folders)

    def _gather(self, path: str, above: tuple[tuple[int, int] | None, ...], label: int) -> tuple[int, int, list[str]]:
        """Lists all images in and under a folder. Returns how many there are, how many lie in the folder itself, and
        the names of the folders in it."""
        here = self._identity(path)
        if here is not None and here in above:
            self.problems.append(f"{shown(self._root / path)}: is a link to a folder that contains it")
            return 0, 0, []
        total, direct, folders = 0, 0, []
        names: list[str] = []
        stats: list[tuple[int, int, int]] = []
        for entry in self.entries(path):  # as short as it can be: a set may have a million files
            name = entry.name
            if _leads_to_folder(entry):
                self._keep(path, label, names, stats)
                folders.append(name)
                total += self._gather(f"{path}/{name}", (*above, here), label)[0]
                continue
            stem, dot, suffix = name.rpartition(".")
            if stem and (dot + suffix).lower() in self._suffixes:
                found = self._stat(entry, path)
                if found is not None:
                    direct += 1
                    names.append(name)
                    stats.append(found)
            else:
                self._pass_over(f"{path}/{name}")
        self._keep(path, label, names, stats)
        return total + direct, direct, folders

    def _keep(self, path: str, label: int, names: list[str], stats: list[tuple[int, int, int]]) -> None:
        """Adds files of one folder, in order, and empties both lists."""
        if names:
            rows = np.empty(len(names), FILE)
            rows["folder"] = self._folders.setdefault(path, len(self._folders))
            rows["part"], rows["label"] = self._parts, label
            rows["size"], rows["time"], rows["inode"] = np.array(stats, np.int64).T
            self._rows.append(rows)
            self._names.append(os.fsencode("\0".join(names)) + b"\0")
            self._found += len(names)
            names.clear()
            stats.clear()
        self._on_progress(self._found, 0)

    def _stat(self, entry: os.DirEntry[str], path: str) -> tuple[int, int, int] | None:
        """Size, time and inode. None, and a problem, for what is neither a file nor a folder: a pipe never ends."""
        try:
            found = entry.stat()
        except OSError:
            return -1, -1, -1  # reading it will say why
        if not stat.S_ISREG(found.st_mode):
            self.problems.append(f"{shown(self._root / path / entry.name)}: is neither a file nor a folder")
            return None
        return found.st_size, found.st_mtime_ns, found.st_ino & _BELOW_2_63

    def _pass_over(self, path: str) -> None:
        self._first_other = self._first_other or path
        self._others += 1

    def _identity(self, path: str) -> tuple[int, int] | None:
        try:
            found = (self._root / path).stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def entries(self, path: str) -> list[os.DirEntry[str]]:
        """The entries of a folder by name, without names that begin with a dot. [], and a problem, if it is closed."""
        folder = self._root / path
        try:
            with os.scandir(folder) as entries:
                return sorted([entry for entry in entries if entry.name[0] != "."], key=attrgetter("name"))
        except OSError as error:
            self.problems.append(f"{shown(folder)}: cannot be read: {error.strerror}")
            return []
