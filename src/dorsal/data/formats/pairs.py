"""Pairs of an image and a label image of the same name, as CamVid has them: semantic segmentation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dorsal.annotations.annotation import IGNORE
from dorsal.annotations.labels import Labels
from dorsal.data.errors import DataError, shown
from dorsal.data.formats.index import AnnotatedIndex, Entry, SplitName, image_files
from dorsal.data.formats.names import names_in, read_names
from dorsal.data.formats.problems import Problem
from dorsal.data.formats.truth import MOST_CLASSES, NO_CLASS, LabelImage, Truth
from dorsal.language.files import is_folder

_SPLITS: tuple[SplitName, SplitName] = ("train", "val")


def used(root: Path) -> frozenset[str]:
    """The names in `root` that `read_pairs` would use, none without train, val and their label folders."""
    names = {f"{split}{end}" for split in _SPLITS for end in ("", "annot")}
    if not all(is_folder(root / name) for name in names):
        return frozenset()
    return frozenset(names | {"test", "testannot"})


def read_pairs(
    root: Path,
    *,
    images: str = "{split}",
    labels: str = "{split}annot",
    names: Sequence[str] | None = None,
    ignore: int = IGNORE,
) -> AnnotatedIndex:
    """Reads pairs in the folder `root`: each image has a PNG of the same name, whose values are numbers of classes.

    `images` and `labels` are folders within `root`, in which {split} stands for train or val; images may lie in folders
    of their own within. `names` are the classes from 0, read from names.txt, classes.txt, labels.txt or codes.txt in
    `root` where they are not given. Pixels of the value `ignore` are ignored, and always those of 255; if `ignore` is
    the number of a name, that name is left out.

    Raises DataError without names, with more than 254, and where a folder is missing or has no images.
    """
    if names is None:
        file = names_in(root)
        if file is None:
            raise DataError(shown(root), ["nothing says what the classes are; add names.txt, with one name a line"])
        names = read_names(file)
    table, kept = value_table(names, ignore)
    if len(kept) > MOST_CLASSES:
        raise DataError(shown(root), [f"has {len(kept)} classes; label images of 8 bits have {MOST_CLASSES} at most"])
    problems: list[Problem] = []
    folders = {split: root / images.replace("{split}", split) for split in _SPLITS}
    entries = {
        split: pairs_of(folders[split], root / labels.replace("{split}", split), table, problems) for split in _SPLITS
    }
    if missing := [folders[split] for split in _SPLITS if not entries[split]]:
        names = "images=images/{split}, labels=labels/{split}"
        hint = f"where they are in images/train and labels/train: pairs:{shown(root)}({names})"
        raise DataError(shown(root), [*(f"{shown(folder)}: holds no images" for folder in missing), hint])
    return AnnotatedIndex(
        format="pairs",
        root=root,
        labels=_labels(root, kept),
        kinds=frozenset({"semantic"}),
        train=entries["train"],
        val=entries["val"],
        category_ids=tuple(number for number in range(len(names)) if number != ignore),
        problems=tuple(problems),
    )


def value_table(names: Sequence[str], ignore: int) -> tuple[npt.NDArray[np.int16], tuple[str, ...]]:
    """The label of each value of a label image, and the names that are left."""
    kept = tuple(name for number, name in enumerate(names) if number != ignore)
    table = np.full(max(256, ignore + 1), NO_CLASS, np.int16)
    table[[number for number in range(len(names)) if number != ignore]] = np.arange(len(kept))
    table[[ignore, 255]] = IGNORE
    return table, kept


def pairs_of(
    images: Path, labels: Path, table: npt.NDArray[np.int16], problems: list[Problem], cut: str = "", ending: str = ""
) -> tuple[Entry, ...]:
    """The images in a folder and those within, each with its label image; adds label images without one to `problems`.

    A label image has the name of its image, less `cut` at the end of the stem, plus `ending`, and the suffix .png.
    """
    entries, stems = [], set()
    for path in image_files(images):
        within = path.relative_to(images).with_suffix("")
        label = labels / within.with_name(f"{within.name.removesuffix(cut)}{ending}.png")
        if within in stems:
            problems.append(Problem("id-duplicate", shown(path), "", "another image has this name without its suffix"))
            continue
        stems.add(within)
        truth = Truth(semantic=LabelImage(label, table))
        entries.append(Entry(path=path, id=within.as_posix(), size=None, truth=truth))
    wanted = {entry.truth.semantic.path for entry in entries if entry.truth.semantic}
    for label in sorted(labels.rglob(f"*{ending}.png")):
        if label not in wanted:
            problems.append(Problem("id-dangling", shown(label), "", "there is no image of this name"))
    return tuple(entries)


def _labels(root: Path, names: tuple[str, ...]) -> Labels:
    try:
        return Labels(classes=names)
    except ValueError as error:
        raise DataError(shown(root), [f"names of classes: {error}"]) from None
