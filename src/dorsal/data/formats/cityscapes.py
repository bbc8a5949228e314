"""Cityscapes: leftImg8bit with gtFine, label images and polygons."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from dorsal.annotations.annotation import IGNORE
from dorsal.annotations.labels import Labels
from dorsal.annotations.rle import Floats
from dorsal.data.errors import DataError, shown
from dorsal.data.formats.index import AnnotatedIndex, Entry, SplitName
from dorsal.data.formats.pairs import pairs_of
from dorsal.data.formats.problems import Problem
from dorsal.data.formats.truth import NO_CLASS, Truth
from dorsal.language.files import is_file, is_folder
from dorsal.spec.task import Kind

_SPLITS: tuple[SplitName, SplitName] = ("train", "val")
_THINGS = {
    "person": 24,
    "rider": 25,
    "car": 26,
    "truck": 27,
    "bus": 28,
    "train": 31,
    "motorcycle": 32,
    "bicycle": 33,
}
_STUFF = {
    "road": 7,
    "sidewalk": 8,
    "building": 11,
    "wall": 12,
    "fence": 13,
    "pole": 17,
    "traffic light": 19,
    "traffic sign": 20,
    "vegetation": 21,
    "terrain": 22,
    "sky": 23,
}
"""The 19 classes that are trained on and their numbers in label images; the others are ignored."""
_ALL = 34
_GROUP = "group"


class _Object(msgspec.Struct, frozen=True):
    label: str
    polygon: list[tuple[float, float]]


class _File(msgspec.Struct, frozen=True, rename={"height": "imgHeight", "width": "imgWidth"}):
    height: int
    width: int
    objects: list[_Object]


def used(root: Path) -> frozenset[str]:
    """The names in `root` that `read_cityscapes` would use, none without leftImg8bit and gtFine."""
    names = frozenset({"leftImg8bit", "gtFine"})
    return names if all(is_folder(root / name) for name in names) else frozenset()


def read_cityscapes(root: Path) -> AnnotatedIndex:
    """Reads Cityscapes in the folder `root`: the splits train and val of leftImg8bit, with gtFine's labelIds.

    The 19 classes that are trained on have labels: first the 8 things, then the 11 kinds of stuff, each in the order
    of their train ids; what the benchmark ignores is ignored. Where every image has its polygons there are objects,
    too: a polygon of a thing is an object, with its bounds as box; one named a group, such as cargroup, is a crowd.

    Deviation: what lies before an object is not cut out of its mask, as it is in the benchmark's instanceIds.

    Raises DataError where a split has no images.
    """
    table = np.full(256, NO_CLASS, np.int16)
    table[:_ALL] = IGNORE
    table[255] = IGNORE  # license plates, -1, are so in files of 8 bits
    numbers = (*_THINGS.values(), *_STUFF.values())
    table[list(numbers)] = np.arange(len(numbers))
    problems: list[Problem] = []
    pairs = {split: _pairs(root, split, table, problems) for split in _SPLITS}
    if empty := [split for split in _SPLITS if not pairs[split]]:
        folders = [root / "leftImg8bit" / split for split in empty]
        raise DataError(shown(root), [f"{shown(folder)}: holds no images" for folder in folders])
    polygons = all(is_file(_polygons(root, split, entry)) for split in _SPLITS for entry in pairs[split])
    kinds: frozenset[Kind] = frozenset({"semantic", "boxes", "masks"} if polygons else {"semantic"})
    if polygons:
        pairs = {
            split: tuple(_with_objects(entry, _polygons(root, split, entry), problems) for entry in pairs[split])
            for split in _SPLITS
        }
    return AnnotatedIndex(
        format="cityscapes",
        root=root,
        labels=Labels(classes=tuple(_THINGS), stuff=tuple(_STUFF)),
        kinds=kinds,
        train=pairs["train"],
        val=pairs["val"],
        category_ids=numbers,
        problems=tuple(problems),
        notes=() if polygons else ("there are no objects, as not every image has its polygons",),
    )


def _pairs(root: Path, split: SplitName, table: npt.NDArray[np.int16], problems: list[Problem]) -> tuple[Entry, ...]:
    images, labels = root / "leftImg8bit" / split, root / "gtFine" / split
    return pairs_of(images, labels, table, problems, cut="_leftImg8bit", ending="_gtFine_labelIds")


def _polygons(root: Path, split: SplitName, entry: Entry) -> Path:
    base = str(entry.id).removesuffix("_leftImg8bit")
    return root / "gtFine" / split / f"{base}_gtFine_polygons.json"


def _with_objects(entry: Entry, path: Path, problems: list[Problem]) -> Entry:
    """The entry with its size and objects; as it is where its polygons make no sense, which `problems` then says."""
    nothing = msgspec.structs.replace(
        entry.truth, boxes=np.zeros((0, 4)), labels=np.zeros(0, np.int64), crowd=np.zeros(0, bool), shapes=()
    )
    try:
        file = msgspec.json.decode(path.read_bytes(), type=_File)
    except (OSError, ValueError) as error:
        problems.append(Problem("file-malformed", shown(path), "", f"is not Cityscapes' JSON of polygons: {error}"))
        return msgspec.structs.replace(entry, truth=nothing)
    places = {name: label for label, name in enumerate(_THINGS)}
    named = [(number, each, each.label.removesuffix(_GROUP)) for number, each in enumerate(file.objects, 1)]
    found = [(number, each, places[name]) for number, each, name in named if name in places]
    outlines: list[Floats] = [np.array(each.polygon, np.float64).reshape(-1, 2) for _, each, _ in found]
    truth = Truth(
        boxes=np.array([_bounds(outline) for outline in outlines], np.float64).reshape(-1, 4),
        labels=np.array([label for *_, label in found], np.int64),
        crowd=np.array([each.label.endswith(_GROUP) for _, each, _ in found], bool),
        ids=[number for number, *_ in found],
        shapes=tuple((outline,) for outline in outlines),
        semantic=entry.truth.semantic,
    )
    return msgspec.structs.replace(entry, size=(file.height, file.width), truth=truth)


def _bounds(outline: Floats) -> list[float]:
    """The smallest box around an outline, NaN without a point."""
    if not len(outline):
        return [np.nan] * 4
    return [*outline.min(axis=0).tolist(), *outline.max(axis=0).tolist()]
