"""The index of an annotated data set: one form for all formats, made by a reader that opens no image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from dorsal.annotations.annotation import Annotation
from dorsal.annotations.labels import Labels
from dorsal.data.decode import SUFFIXES
from dorsal.data.formats.problems import Problem
from dorsal.data.formats.truth import Truth
from dorsal.data.kinds import Format, labels_of
from dorsal.language.files import is_file
from dorsal.spec.task import Kind

SplitName = Literal["train", "val"]


class Entry(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """One image: its file, what the format calls it, its size (height, width) and what is said about it.

    `size` is None where the format does not say it; a check fills it in. `turned` says whether pixels are turned as the
    file's EXIF orientation says, before annotations fit them; a check finds that out too.
    """

    path: Path
    id: int | str
    size: tuple[int, int] | None
    truth: Truth
    turned: bool = True

    def annotation(self, kinds: frozenset[Kind]) -> Annotation:
        """What is known about the image; see `Truth.annotation`. Raises ValueError where its size is not known yet."""
        if self.size is None:
            raise ValueError(f"the size of {self.path} is not known; check the data set first")
        return self.truth.annotation(self.size, kinds)


class AnnotatedIndex(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """The images of a data set and what is said about them.

    - `labels`: what the labels of all annotations stand for. `kinds`: what annotations hold.
    - `category_ids`: the format's own number of each label, classes before stuff, to write results with.
    - `flip`: whether a mirror image is another image of the same kind. False for points of which nobody says which are
      left and right.
    - `problems`: what was found wrong on reading; the objects concerned are left out. `notes`: sentences.
    """

    format: Format | Literal["memory"]
    root: Path
    labels: Labels
    kinds: frozenset[Kind]
    train: tuple[Entry, ...]
    val: tuple[Entry, ...]
    category_ids: tuple[int, ...]
    flip: bool = True
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()

    def split(self, name: SplitName) -> tuple[Entry, ...]:
        """The entries of a split."""
        return self.train if name == "train" else self.val


def spread(entries: Sequence[Entry], most: int) -> tuple[Entry, ...]:
    """At most so many of the entries, evenly spread and in their order; all of them where `most` is 0."""
    if not most or len(entries) <= most:
        return tuple(entries)
    return tuple(entries[place * len(entries) // most] for place in range(most))


def narrowed(index: AnnotatedIndex, kinds: frozenset[Kind]) -> AnnotatedIndex:
    """The index with no more than these kinds, so that nothing else is judged. Those that it lacks are passed over."""
    kept = index.kinds & kinds

    def narrow(entry: Entry) -> Entry:
        truth = entry.truth
        if not kept & {"boxes", "masks", "keypoints"}:
            return msgspec.structs.replace(entry, truth=Truth(semantic=truth.semantic))
        shapes, keypoints = truth.shapes if "masks" in kept else None, truth.keypoints if "keypoints" in kept else None
        semantic = truth.semantic if "semantic" in kept else None
        truth = msgspec.structs.replace(truth, shapes=shapes, keypoints=keypoints, semantic=semantic)
        return msgspec.structs.replace(entry, truth=truth)

    points = "keypoints" in kept
    problems = tuple(each for each in index.problems if points or each.id != "keypoint-count")
    labels, numbers = labels_of(kept, index.labels, index.category_ids)
    return msgspec.structs.replace(
        index,
        labels=labels,
        category_ids=numbers,
        kinds=kept,
        train=tuple(map(narrow, index.train)),
        val=tuple(map(narrow, index.val)),
        problems=problems,
    )


def listed(names: Iterable[object], most: int = 5) -> str:
    """The first names, for a sentence."""
    texts = [str(name) for name in names]
    return ", ".join(texts[:most]) + (", …" if len(texts) > most else "")


def count(number: int, what: str) -> str:
    """A number of things in words: `count(2, "image")` is "2 images"."""
    return f"{number:,} {what}" + ("" if number == 1 else "es" if what.endswith("s") else "s")


def image_files(folder: Path) -> list[Path]:
    """The images in a folder and those within, by path; names that begin with a dot are passed over."""
    return sorted(
        path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    )


def first_folder(folders: Iterable[Path], names: Sequence[str]) -> Path | None:
    """The first of the folders with any of the first few file `names` in it, None if there is none."""
    return next((folder for folder in folders if any(is_file(folder / name) for name in names[:10])), None)
