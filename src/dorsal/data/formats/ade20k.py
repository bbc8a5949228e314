"""ADE20K of the scene parsing challenge: images and label images, 0 for what is no class."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from dorsal.annotations.annotation import IGNORE
from dorsal.annotations.labels import Labels
from dorsal.data.errors import DataError, shown
from dorsal.data.formats.index import AnnotatedIndex, SplitName
from dorsal.data.formats.pairs import pairs_of
from dorsal.data.formats.problems import Problem
from dorsal.data.formats.truth import NO_CLASS
from dorsal.language.files import is_file, is_folder, read_text_file

_CLASSES = 150
_SPLITS: tuple[SplitName, SplitName] = ("train", "val")
_TABLES = ("objectInfo150.txt", "objectInfo150.csv")


def used(root: Path) -> frozenset[str]:
    """The names in `root` that `read_ade20k` would use, none without images/training and annotations/training."""
    if not all(is_folder(root / name / "training") for name in ("images", "annotations")):
        return frozenset()
    return frozenset({"images", "annotations"})


def read_ade20k(root: Path, *, train: str = "training", val: str = "validation") -> AnnotatedIndex:
    """Reads ADE20K's scene parsing data in the folder `root`, which holds images and annotations.

    `train` and `val` are the folders of the splits within both; "" means that there are none, and all images are in the
    split. In label images 0 is ignored, and k is the label k - 1. Names of the 150 classes are the first ones in
    objectInfo150.txt or .csv; without such a file they are the numbers from 1.

    Raises DataError for a table of other classes, and where a folder is missing or has no images.
    """
    table = np.full(256, NO_CLASS, np.int16)
    table[0] = IGNORE
    table[1 : _CLASSES + 1] = np.arange(_CLASSES)
    problems: list[Problem] = []
    folders = dict(zip(_SPLITS, (train, val), strict=True))
    entries = {
        split: pairs_of(root / "images" / folders[split], root / "annotations" / folders[split], table, problems)
        for split in _SPLITS
    }
    if empty := [root / "images" / folders[split] for split in _SPLITS if not entries[split]]:
        raise DataError(shown(root), [f"{shown(folder)}: holds no images" for folder in empty])
    file = next((root / name for name in _TABLES if is_file(root / name)), None)
    numbers = tuple(range(1, _CLASSES + 1))
    return AnnotatedIndex(
        format="ade20k",
        root=root,
        labels=Labels(classes=tuple(map(str, numbers)) if file is None else _names(root, file)),
        kinds=frozenset({"semantic"}),
        train=entries["train"],
        val=entries["val"],
        category_ids=numbers,
        problems=tuple(problems),
        notes=("classes have numbers for names, as there is no objectInfo150.txt",) if file is None else (),
    )


def _names(root: Path, file: Path) -> tuple[str, ...]:
    """The first name of each class, or all of its names where another class has the same first one."""
    try:
        lines = read_text_file("the table of classes", str(file)).splitlines()
    except ValueError as error:
        raise DataError(shown(root), [str(error)]) from None
    rows = list(csv.DictReader(lines, delimiter="\t" if file.suffix == ".txt" else ","))
    whole = [(row.get("Name") or "").strip() for row in rows]
    if len(whole) != _CLASSES or not all(whole) or len(set(whole)) < _CLASSES:
        problem = f"{shown(file)}: must have the column Name, and {_CLASSES} rows with a name of their own"
        raise DataError(shown(root), [problem])
    first = [name.replace(";", ",").split(",")[0].strip() for name in whole]
    return tuple(short if first.count(short) == 1 else name for short, name in zip(first, whole, strict=True))
