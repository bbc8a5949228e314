"""Reads the annotations of a data set that a record names, and says what they are in one number. No torch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import assert_never

import msgspec

from dorsal.annotations.rle import Rle
from dorsal.data.errors import DataError, shown
from dorsal.data.formats.ade20k import read_ade20k
from dorsal.data.formats.cityscapes import read_cityscapes
from dorsal.data.formats.coco import read_coco
from dorsal.data.formats.facts import Facts
from dorsal.data.formats.index import AnnotatedIndex, Entry, narrowed, spread
from dorsal.data.formats.names import CAMVID, read_names
from dorsal.data.formats.pairs import read_pairs
from dorsal.data.formats.truth import LabelArray, LabelImage, Shape
from dorsal.data.formats.voc import read_voc
from dorsal.data.formats.yolo import read_yolo
from dorsal.data.kinds import what_lacks
from dorsal.data.spec import Annotated
from dorsal.language.files import at_home, is_file
from dorsal.spec.task import Kind


def read_annotated(spec: Annotated, kinds: frozenset[Kind]) -> AnnotatedIndex:
    """The annotations of these kinds, of at most `spec.max_images` images of each split. Opens no image.

    Raises DataError as the reader of the format does, and ValueError, naming formats that have them, where the data
    have none of a kind.
    """
    index = _read(spec)
    if kinds - index.kinds:
        raise ValueError(what_lacks(spec.path, spec.format, index.kinds, kinds))
    train, val = (spread(split, spec.max_images) for split in (index.train, index.val))
    return narrowed(msgspec.structs.replace(index, train=train, val=val), kinds)


def _read(spec: Annotated) -> AnnotatedIndex:
    root, places = Path(spec.path), spec.places
    if spec.names is not None:
        places["names"] = _names(root, spec.names)
    match spec.format:
        case "coco":
            return read_coco(root, **places)
        case "voc":
            return read_voc(root, **places)
        case "yolo":
            return read_yolo(root, **places)
        case "pairs":
            return read_pairs(root, **places)
        case "cityscapes":
            return read_cityscapes(root, **places)
        case "ade20k":
            return read_ade20k(root, **places)
        case _:
            assert_never(spec.format)


def _names(root: Path, names: str) -> tuple[str, ...]:
    """The names of classes that `names` names: those of CamVid, or in a file within the folder or elsewhere."""
    if names == "camvid":
        return CAMVID
    places = [root / names, Path(at_home(names))]
    file = next((path for path in places if is_file(path)), None)
    if file is None:
        raise DataError(
            shown(root), [f"names={names}: there is no such file, within the folder or here, and not camvid"]
        )
    return read_names(file)


def fingerprint_of(index: AnnotatedIndex, facts: Mapping[Path, Facts]) -> str:
    """The sha256 in hex of what images and annotations hold, of which split has them, and of the names of labels.

    It does not depend on where files lie or what they are called. A file whose content nobody read counts by its size.
    `index` has the size of each image.
    """
    total = hashlib.sha256(msgspec.json.encode(index.labels))
    for split in (index.train, index.val):
        total.update(f"{len(split)} images\n".encode())
        for entry in split:
            total.update(_content(facts[entry.path]))
            total.update(repr((entry.size, entry.turned)).encode())
            _add(total, entry, facts)
    return total.hexdigest()


def _content(facts: Facts) -> bytes:
    return facts.scan.digest or f"{facts.bytes} bytes".encode()


def _add(total: hashlib._Hash, entry: Entry, facts: Mapping[Path, Facts]) -> None:
    """Adds what is said about an image."""
    truth = entry.truth
    for name, column in (
        ("boxes", truth.boxes),
        ("labels", truth.labels),
        ("crowd", truth.crowd),
        ("area", truth.area),
        ("keypoints", truth.keypoints),
    ):
        if column is not None:
            total.update(f"{name}{column.shape}".encode() + column.tobytes())
    total.update(f"{truth.normalized}".encode())
    for shape in truth.shapes or ():
        total.update(_outline(shape))
    match truth.semantic:
        case LabelImage():
            there = facts.get(truth.semantic.path)  # None where the file is missing, which a check says
            total.update(truth.semantic.table.tobytes() + (b"" if there is None else _content(there)))
        case LabelArray():
            total.update(truth.semantic.array.tobytes())


def _outline(shape: Shape) -> bytes:
    match shape:
        case None:
            return b"none"
        case Rle():
            return shape.runs.tobytes()
        case tuple():
            return repr([part.shape for part in shape]).encode() + b"".join(part.tobytes() for part in shape)
    return bytes(shape)
