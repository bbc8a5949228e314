"""Which formats of data sets there are, what each may know about an image, and the sentence for what it does not. No
torch."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, get_args

from dorsal.annotations.labels import Labels
from dorsal.spec.task import Kind

Format = Literal["coco", "voc", "yolo", "pairs", "cityscapes", "ade20k"]
"""The formats of annotated folders. A folder of class folders is "folder"."""

FIELDS: dict[Format, tuple[str, ...]] = {
    "coco": ("train", "val", "images"),
    "voc": ("train", "val", "sets", "names"),
    "yolo": ("file",),
    "pairs": ("images", "labels", "names", "ignore"),
    "cityscapes": (),
    "ade20k": ("train", "val"),
}
"""The fields that say where a format's files are; see its reader in `dorsal.data.formats`."""

KINDS: dict[str, tuple[Kind, ...]] = {
    "coco": ("boxes", "masks", "keypoints"),
    "voc": ("boxes", "semantic"),
    "yolo": ("boxes", "masks"),
    "pairs": ("semantic",),
    "cityscapes": ("boxes", "masks", "semantic"),
    "ade20k": ("semantic",),
    "folder": ("label",),
    "scenes": ("label", "boxes", "masks", "semantic"),
}
"""What data sets of a format can hold. One of them may hold less."""

assert tuple(FIELDS) == get_args(Format)

_NOUNS: dict[Kind, str] = {
    "label": "labels of whole images",
    "boxes": "boxes",
    "masks": "masks",
    "keypoints": "keypoints",
    "semantic": "maps of classes",
    "segments": "segments",
}


def labels_of(kinds: Collection[Kind], labels: Labels, numbers: tuple[int, ...]) -> tuple[Labels, tuple[int, ...]]:
    """The labels, and the format's own number of each, that are left of data with these kinds alone: stuff has names
    only where there are maps of classes."""
    kept = labels if "semantic" in kinds else labels.of_objects
    return kept, numbers[: len(kept.classes) + len(kept.stuff)]


def kinds_in_words(kinds: Collection[Kind], joined: str = " and ") -> str:
    """Kinds for a sentence, in the order of `Kind`: "boxes and masks"."""
    return joined.join(_NOUNS[kind] for kind in get_args(Kind) if kind in kinds)


def data_sets_with(kinds: Collection[Kind]) -> str:
    """The data sets that can have all of these kinds, for a sentence."""
    names = {"folder": "folders of class folders", "scenes": "scenes"}
    return ", ".join(names.get(name, f"{name}:") for name, has in KINDS.items() if frozenset(kinds) <= frozenset(has))


def what_lacks(path: str, what: str, has: Collection[Kind], wanted: Collection[Kind]) -> str:
    """One sentence on data that lack some of the kinds that are wanted, and which data sets have them.

    `data='bccd' is coco and has boxes, no masks; data sets with masks: coco:, yolo:, cityscapes:, scenes`
    """
    missing = frozenset(wanted) - frozenset(has)
    having = data_sets_with(missing)
    there = f"data sets with {kinds_in_words(missing)}: {having}" if having else "no format has them"
    return f"data={path!r} is {what} and has {kinds_in_words(has)}, no {kinds_in_words(missing, ' and no ')}; {there}"
