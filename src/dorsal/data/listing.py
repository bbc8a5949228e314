"""Which files of a folder belong to which class and split. Looks at names only; opens no image."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from dorsal.data.decode import SUFFIXES
from dorsal.data.spec import Folder, is_folder, nearest

Files = tuple[tuple[Path, int], ...]


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """Files with the index of their class, per split, ordered by class and path; what is wrong or passed over."""

    classes: tuple[str, ...]
    train: Files
    val: Files
    problems: tuple[str, ...]
    notes: tuple[str, ...]


def list_folder(spec: Folder) -> Listing:
    """List `train/<class>/*` and `val/<class>/*` where `spec.path` has those, else split `<class>/*`.

    Classes are the names of folders in the order of their code points; images may lie deeper, and names that
    begin with a dot are ignored. A split holds out the same files for the same seed on every machine, and a
    file keeps its rank when others are added.
    """
    root = Path(spec.path)
    finder = _Finder()
    if not is_folder(root):
        finder.problems.append(f"{root}: is not a folder, or one that may not be entered")
        return finder.listing((), {}, {})
    if is_folder(root / "train") or is_folder(root / "val"):
        train, val = (finder.images_by_class(root / name) for name in ("train", "val"))
        finder.compare(train, val, root / "val")
    else:
        train, val = finder.hold_out(finder.images_by_class(root), spec)
    if len(train) == 1:
        finder.problems.append(f"{root}: has one class only, {next(iter(train))!r}; two are needed")
    return finder.listing(tuple(train), train, val)


class _Finder:
    """Collects problems and notes while it looks."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._skipped: list[Path] = []
        self._notes: list[str] = []

    def listing(
        self, classes: tuple[str, ...], train: Mapping[str, list[Path]], val: Mapping[str, list[Path]]
    ) -> Listing:
        if self._skipped:
            self._notes.append(f"{len(self._skipped)} files that are no images passed over, first: {self._skipped[0]}")
        first, second = (
            tuple((path, label) for label, name in enumerate(classes) for path in files.get(name, []))
            for files in (train, val)
        )
        return Listing(
            classes=classes,
            train=first,
            val=second,
            problems=tuple(self.problems),
            notes=tuple(self._notes),
        )

    def images_by_class(self, folder: Path) -> dict[str, list[Path]]:
        """The images under each class folder of `folder`; an empty class is a problem."""
        problems = len(self.problems)
        entries = self._entries(folder)
        found = {entry.name: self._images(entry) for entry in entries if is_folder(entry)}
        self._skipped += [entry for entry in entries if not is_folder(entry)]
        if not found and len(self.problems) == problems:
            self.problems.append(f"{folder}: has no class folders; put the images of each class into their own")
        return found

    def _images(self, folder: Path) -> list[Path]:
        images: list[Path] = []
        problems, skipped = len(self.problems), len(self._skipped)
        self._gather(folder, frozenset({folder.parent.resolve()}), images)
        if not images and len(self.problems) == problems:
            others = len(self._skipped) - skipped
            hint = f"; {others} files there are of no known image format" if others else ""
            self.problems.append(f"{folder}: holds no images{hint}")
        return sorted(images)

    def _gather(self, folder: Path, above: frozenset[Path], images: list[Path]) -> None:
        real = folder.resolve()
        if real in above:
            self.problems.append(f"{folder}: is a link to a folder that contains it")
            return
        for entry in self._entries(folder):
            if is_folder(entry):
                self._gather(entry, above | {real}, images)
            elif entry.suffix.lower() in SUFFIXES:
                images.append(entry)
            else:
                self._skipped.append(entry)

    def _entries(self, folder: Path) -> list[Path]:
        try:
            return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
        except OSError as error:
            self.problems.append(f"{folder}: cannot be read: {error.strerror}")
            return []

    def compare(self, train: Mapping[str, list[Path]], val: Mapping[str, list[Path]], val_folder: Path) -> None:
        for name in val:
            if name not in train:
                self.problems.append(f"{val_folder / name}: class {name!r} is not in train{nearest(name, train)}")
        absent = [name for name in train if name not in val]
        if absent and val:
            self._notes.append(f"{len(absent)} classes have no validation images, first: {absent[0]!r}")

    def hold_out(
        self, images: Mapping[str, list[Path]], spec: Folder
    ) -> tuple[dict[str, list[Path]], dict[str, list[Path]]]:
        """Split each class by `val_fraction`, rounded, with at least one image on either side."""
        train: dict[str, list[Path]] = {}
        val: dict[str, list[Path]] = {}

        def rank(path: Path) -> bytes:
            place = path.relative_to(spec.path).as_posix()
            return hashlib.sha256(f"{spec.seed}/".encode() + os.fsencode(place)).digest()

        for name, paths in images.items():
            if len(paths) == 1:
                self.problems.append(f"{paths[0]}: is the only image of its class; splitting needs two")
            held = min(max(round(len(paths) * spec.val_fraction), 1), len(paths) - 1)
            ranked = sorted(paths, key=rank)
            val[name], train[name] = sorted(ranked[:held]), sorted(ranked[held:])
        return train, val
