"""Pascal VOC: one XML file an image with boxes, lists of the splits, and label images."""

from __future__ import annotations

from collections.abc import Sequence
from math import nan
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import numpy as np
import numpy.typing as npt

from dorsal.annotations.annotation import IGNORE
from dorsal.annotations.labels import Labels
from dorsal.annotations.rle import Floats
from dorsal.data.errors import DataError, shown
from dorsal.data.formats.index import AnnotatedIndex, Entry, SplitName, count
from dorsal.data.formats.names import VOC, each_once, names_in, read_names
from dorsal.data.formats.problems import Problem
from dorsal.data.formats.truth import NO_CLASS, LabelImage, Truth
from dorsal.language.files import is_file, is_folder
from dorsal.spec.task import Kind

_FOLDERS = ("Annotations", "ImageSets", "JPEGImages", "SegmentationClass", "SegmentationObject")
_SPLITS: tuple[SplitName, SplitName] = ("train", "val")
_TO_EDGES = np.array([-1.0, -1.0, 0.0, 0.0])
"""Pixels are counted from 1, the last one included: the first begins at 0, the last ends at its own number."""


class _Object(msgspec.Struct, frozen=True):
    name: str
    box: tuple[float, float, float, float]
    difficult: bool


class _File(msgspec.Struct, frozen=True):
    """What an XML file says: the image's name, size (height, width) and objects."""

    name: str
    size: tuple[int, int] | None
    objects: tuple[_Object, ...]


def used(root: Path) -> frozenset[str]:
    """The names in `root` that `read_voc` would use, none without Annotations and JPEGImages."""
    if not all(is_folder(root / name) for name in ("Annotations", "JPEGImages")):
        return frozenset()
    return frozenset(_FOLDERS)


def read_voc(
    root: Path, *, train: str = "train", val: str = "val", sets: str = "Main", names: Sequence[str] | None = None
) -> AnnotatedIndex:
    """Reads a data set of Pascal VOC's form in the folder `root`, which holds Annotations, ImageSets and JPEGImages.

    `train` and `val` are lists in ImageSets/`sets`, one name a line; ImageSets/Segmentation lists the images with label
    images. Boxes are from pixels counted from 1 to edges from 0; objects that are difficult are crowds: neither learned
    nor scored.

    Semantic labels are read where every image has a file in SegmentationClass: 0 is stuff named background, k the k-th
    class, 255 is ignored. Classes are `names`, else those that a names.txt, classes.txt or labels.txt in `root` lists,
    else VOC's 20 where all are among them and there are label images, else those found, in the order of the alphabet
    (which VOC's 20 are in, too). In the last case label images are left out, as nothing says what their values mean.

    Raises DataError where a list is missing or empty, or no object has a class.
    """
    problems: list[Problem] = []
    stems = {split: _listed(root, sets, name, problems) for split, name in zip(_SPLITS, (train, val), strict=True)}
    files = {split: [_read(root, stem, problems) for stem in stems[split]] for split in _SPLITS}
    found = {each.name for file in files.values() for read in file for each in read.objects if each.name}
    every = [root / "SegmentationClass" / f"{stem}.png" for split in _SPLITS for stem in stems[split]]
    having = sum(map(is_file, every))
    known, notes = _names(root, names, found, having > 0)
    table = _table(len(known)) if having == len(every) and notes == () else None
    if 0 < having < len(every):
        notes += (f"{count(having, 'image')} of {len(every):,} have label images; sets=Segmentation reads those alone",)
    try:
        labels = Labels(classes=known, stuff=() if table is None else ("background",))
    except ValueError as error:
        raise DataError(shown(root), [f"names of classes: {error}"]) from None
    entries = {
        split: tuple(
            _entry(root, stem, read, labels, table, problems)
            for stem, read in zip(stems[split], files[split], strict=True)
        )
        for split in _SPLITS
    }
    kinds: frozenset[Kind] = frozenset({"boxes"} if table is None else {"boxes", "semantic"})
    numbers = (*range(1, len(known) + 1), *([] if table is None else [0]))
    return AnnotatedIndex(
        format="voc",
        root=root,
        labels=labels,
        kinds=kinds,
        train=entries["train"],
        val=entries["val"],
        category_ids=numbers,
        problems=tuple(problems),
        notes=notes,
    )


def _listed(root: Path, sets: str, name: str, problems: list[Problem]) -> tuple[str, ...]:
    """The stems that a list of images has, each once; a second column, as in lists of one class, is passed over.

    Those that are there twice are added to `problems`.
    """
    path = root / "ImageSets" / sets / f"{name}.txt"
    lines = [line.split()[0] for line in read_names(path)] if is_file(path) else []
    if not lines:
        lists = sorted(each.stem for each in path.parent.glob("*.txt"))[:5]
        there = f"; lists there: {', '.join(lists)}" if lists else ""
        raise DataError(shown(root), [f"{shown(path)}: there is no such list of images, or it is empty{there}"])
    return each_once(path, lines, problems)


def _names(
    root: Path, names: Sequence[str] | None, found: set[str], label_images: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The classes, and a note where label images cannot be read."""
    file = names_in(root)
    if names is not None:
        return tuple(names), ()
    if file is not None:
        return read_names(file), ()
    official = tuple(VOC.split())
    if label_images and found <= set(official):
        return official, ()
    if not found:
        raise DataError(shown(root), ["no object has a class; add names.txt, with one name a line"])
    note = "label images are left out, as nothing says what their values mean; names.txt would, with one name a line"
    return tuple(sorted(found)), ((note,) if label_images else ())


def _table(classes: int) -> npt.NDArray[np.int16]:
    """The label of each value of a label image."""
    table = np.full(256, NO_CLASS, np.int16)
    table[0], table[255] = classes, IGNORE
    table[1 : classes + 1] = np.arange(classes)
    return table


def _read(root: Path, stem: str, problems: list[Problem]) -> _File:
    """The XML file of an image; without objects where it makes no sense, which is added to `problems`."""
    path, nothing = root / "Annotations" / f"{stem}.xml", _File(f"{stem}.jpg", None, ())
    try:
        top = ElementTree.parse(path).getroot()
        height, width = (int(top.findtext(f"size/{side}") or 0) for side in ("height", "width"))
    except FileNotFoundError:
        problems.append(Problem("file-malformed", shown(path), "", "there is no such file, but a list names it"))
        return nothing
    except (OSError, ValueError, ElementTree.ParseError) as error:
        problems.append(Problem("file-malformed", shown(path), "", f"is not XML of Pascal VOC: {error}"))
        return nothing
    objects = tuple(_object(each) for each in top.iter("object"))
    return _File(top.findtext("filename") or nothing.name, (height, width) if height and width else None, objects)


def _object(element: ElementTree.Element) -> _Object:
    sides = [element.findtext(f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax")]
    x0, y0, x1, y1 = (_number(side) for side in sides)
    name, difficult = ((element.findtext(field) or "").strip() for field in ("name", "difficult"))
    return _Object(name, (x0, y0, x1, y1), difficult == "1")


def _number(text: str | None) -> float:
    try:
        return float(text or nan)
    except ValueError:
        return nan


def _entry(
    root: Path,
    stem: str,
    read: _File,
    labels: Labels,
    table: npt.NDArray[np.int16] | None,
    problems: list[Problem],
) -> Entry:
    """The image of an XML file, without objects of unknown classes, which are added to `problems`."""
    places = {name: label for label, name in enumerate(labels.classes)}
    known = [(number, each) for number, each in enumerate(read.objects, 1) if each.name in places]
    for number, each in enumerate(read.objects, 1):
        if each.name not in places:
            where = shown(root / "Annotations" / f"{stem}.xml")
            found = f"is of class {each.name!r}, which is not among the names"
            problems.append(Problem("id-dangling", where, f"object {number}", found))
    boxes: Floats = np.array([each.box for _, each in known], np.float64).reshape(-1, 4) + _TO_EDGES
    image = root / "JPEGImages" / f"{stem}.jpg"
    return Entry(
        path=image if is_file(image) else root / "JPEGImages" / read.name,
        id=stem,
        size=read.size,
        truth=Truth(
            boxes=boxes,
            labels=np.array([places[each.name] for _, each in known], np.int64),
            crowd=np.array([each.difficult for _, each in known], bool),
            ids=[number for number, _ in known],
            semantic=None if table is None else LabelImage(root / "SegmentationClass" / f"{stem}.png", table),
        ),
    )
