"""Annotated images that a program holds in memory, checked and opened as a data set."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from numpy.typing import NDArray
from torch import Tensor

from dorsal.annotations.annotation import IGNORE, Annotation
from dorsal.annotations.labels import Labels
from dorsal.data.annotated import AnnotatedData, counted_labels
from dorsal.data.check import fact_row
from dorsal.data.decode import measure
from dorsal.data.errors import DataError
from dorsal.data.formats.check import check_annotated, fitted
from dorsal.data.formats.facts import Facts
from dorsal.data.formats.index import AnnotatedIndex, Entry
from dorsal.data.formats.looks import Look
from dorsal.data.formats.problems import Problem
from dorsal.data.formats.read import fingerprint_of
from dorsal.data.formats.truth import MOST_CLASSES, LabelArray, Truth
from dorsal.data.index import fact_type
from dorsal.data.measuring import normalization_of
from dorsal.data.spec import Normalizing, check_normalization
from dorsal.spec.preprocessing import IMAGENET
from dorsal.spec.task import Kind

_NAME = "in memory"
Pixels = NDArray[np.uint8]


class MemorySplit(msgspec.Struct, frozen=True, eq=False):
    """Images uint8 [channels, H, W] and what is said about them, a `dorsal.data.annotated.AnnotatedSplit`."""

    images: tuple[Tensor, ...]
    annotations: tuple[Annotation, ...]
    sizes: NDArray[np.int64]
    groups: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.images)

    def image(self, index: int) -> Tensor:
        """The image itself, not a copy."""
        return self.images[index]

    def annotation(self, index: int) -> Annotation:
        """All that is known about the image."""
        return self.annotations[index]

    def object_labels(self, index: int) -> NDArray[np.int64]:
        """The labels of the objects of the image that are no crowds."""
        return counted_labels(self.annotations[index].objects)


def annotated_data(
    images: Sequence[npt.ArrayLike],
    annotations: Sequence[Annotation],
    labels: Labels,
    *,
    val_images: Sequence[npt.ArrayLike],
    val_annotations: Sequence[Annotation],
    size: int | None = None,
    normalization: Normalizing = "measured",
    flip: bool = True,
) -> AnnotatedData:
    """A data set of images that are in memory, for `dorsal.fit`.

    Images are uint8 [H, W, channels], as Pillow and NumPy have them, red before green before blue, and may differ in
    size; those that begin with `val` are scored and not learned from. The kinds of the data are those that every
    annotation has. `size` is the short side in pixels of an image as the network sees it; None is that of the smallest
    training image. `normalization` is as in `dorsal.data.spec.Folder`. `flip` says whether mirroring
    an image left to right keeps what is said about it.

    Raises DataError, with all problems that the check of a folder would find, and ValueError for images of another
    type or shape, or lists of different lengths.
    """
    pixels = [_pixels(f"images[{place}]", image) for place, image in enumerate(images)]
    val_pixels = [_pixels(f"val_images[{place}]", image) for place, image in enumerate(val_images)]
    for field, found, said in (("", pixels, annotations), ("val_", val_pixels, val_annotations)):
        if len(found) != len(said) or not found:
            lengths = f"{field}images has {len(found)} and {field}annotations {len(said)}"
            raise ValueError(f"{lengths}; they must be as many, and not none")
    if len(channels := {len(each) for each in (*pixels, *val_pixels)}) > 1:
        raise ValueError(f"images have {sorted(channels)} channels; all need the same number")
    count = len(labels.classes) + len(labels.stuff)
    if count > MOST_CLASSES:
        raise ValueError(f"labels has {count} names; {MOST_CLASSES} at most")
    every = [*annotations, *val_annotations]
    kinds = _kinds(every)
    problems: list[Problem] = []
    train = _entries("image", annotations, count, kinds, problems)
    val = _entries("validation image", val_annotations, count, kinds, problems)
    index = AnnotatedIndex(
        format="memory",
        root=Path(_NAME),
        labels=labels,
        kinds=kinds,
        train=train,
        val=val,
        category_ids=tuple(range(count)),
        flip=flip,
        problems=tuple(problems),
    )
    facts = {entry.path: _facts(each) for entry, each in zip((*train, *val), (*pixels, *val_pixels), strict=True)}
    check_normalization(normalization, len(pixels[0]))
    size = min(min(each.shape[1:]) for each in pixels) if size is None else size
    checked = check_annotated(index, size, facts)
    sized = fitted(index, facts)
    if checked.problems or sized is None:
        raise DataError(_NAME, list(map(str, checked.problems)))
    rows = np.array([fact_row(facts[entry.path].scan, 0) for entry in train], fact_type(len(pixels[0])))
    return AnnotatedData(
        labels=labels,
        kinds=kinds,
        category_ids=index.category_ids,
        train=_split(pixels, [_whole(said, kinds) for said in annotations]),
        val=_split(val_pixels, [_whole(said, kinds) for said in val_annotations]),
        normalization=IMAGENET if normalization == "imagenet" else normalization_of(rows, None),
        fingerprint=fingerprint_of(sized, facts),
        size=size,
        flip=flip,
        source=_NAME,
        notes=checked.notes,
    )


def _pixels(field: str, image: npt.ArrayLike) -> Pixels:
    """The image as [channels, H, W]."""
    array = np.asarray(image)
    if array.ndim != 3 or array.dtype != np.uint8 or not array.size or array.shape[2] > 64:
        raise ValueError(f"{field} is {array.dtype} {list(array.shape)}; it must be uint8 [height, width, channels]")
    return np.ascontiguousarray(np.moveaxis(array, 2, 0))


def _whole(said: Annotation, kinds: frozenset[Kind]) -> Annotation:
    """The annotation of an image without objects with the masks that its none objects have."""
    objects = said.objects
    if objects is None or objects.masks is not None or "masks" not in kinds:
        return said
    return msgspec.structs.replace(said, objects=msgspec.structs.replace(objects, masks=()))


def _kinds(annotations: Sequence[Annotation]) -> frozenset[Kind]:
    """What every annotation has. Masks and points of no objects are there."""
    objects = [each.objects for each in annotations]
    found = {
        "boxes": all(each is not None for each in objects),
        "masks": all(each is not None and (each.masks is not None or not len(each.boxes)) for each in objects),
        "keypoints": all(each is not None and (each.keypoints is not None or not len(each.boxes)) for each in objects),
        "semantic": all(each.semantic is not None for each in annotations),
    }
    if not found["boxes"] and not found["semantic"]:
        raise ValueError(
            "annotations have neither objects nor semantic in every image, so that no task learns from them"
        )
    kinds: list[Kind] = ["boxes", "masks", "keypoints", "semantic"]
    return frozenset(kind for kind in kinds if found[kind])


def _entries(
    what: str,
    annotations: Sequence[Annotation],
    count: int,
    kinds: frozenset[Kind],
    problems: list[Problem],
) -> tuple[Entry, ...]:
    """Images with what is said about them, to be checked as those of files are. Adds labels of no class to
    `problems`."""
    entries = []
    for place, said in enumerate(annotations):
        path = Path(f"{what} {place}")
        entries.append(Entry(path=path, id=place, size=said.size, truth=_truth(path, said, count, kinds)))
        problems += _strange(path, said, count, kinds)
    return tuple(entries)


def _truth(path: Path, said: Annotation, count: int, kinds: frozenset[Kind]) -> Truth:
    """What is said, as files say it, without objects of no class."""
    semantic = said.semantic if "semantic" in kinds else None
    pixels = None if semantic is None else LabelArray(path, _as_bytes(semantic), count)
    if said.objects is None or "boxes" not in kinds:
        return Truth(semantic=pixels)
    objects = said.objects
    known = np.flatnonzero(objects.labels < count)
    masks, points = objects.masks or (), objects.keypoints
    return Truth(
        boxes=objects.boxes[known].astype(np.float64),
        labels=objects.labels[known],
        crowd=objects.crowd[known],
        ids=known.tolist(),
        area=objects.area[known].astype(np.float64),
        shapes=tuple(masks[row] for row in known.tolist()) if "masks" in kinds else None,
        keypoints=None if "keypoints" not in kinds or points is None else points[known].astype(np.float64),
        semantic=pixels,
    )


def _as_bytes(semantic: NDArray[np.uint8] | NDArray[np.uint16]) -> Pixels:
    """Labels of 16 bits as of 8: what stands for no class still does."""
    if semantic.dtype == np.uint8:
        return semantic.astype(np.uint8)
    return np.where(semantic == 0xFFFF, IGNORE, np.minimum(semantic, MOST_CLASSES)).astype(np.uint8)


def _strange(path: Path, said: Annotation, count: int, kinds: frozenset[Kind]) -> Iterator[Problem]:
    """Objects whose label stands for no class."""
    labels = [] if said.objects is None or "boxes" not in kinds else said.objects.labels.tolist()
    for row, label in enumerate(labels):
        if label >= count:
            yield Problem(
                "id-dangling", str(path), f"object {row}", f"is of label {label}; labels has 0 to {count - 1}"
            )


def _facts(image: Pixels) -> Facts:
    """What a check finds out about a file, of an image in memory."""
    scan = measure(image, "", hashlib.sha256(image.tobytes()).digest())
    return Facts(image.nbytes, 0, 0, Look(stored=(scan.height, scan.width)), scan)


def _split(images: Sequence[Pixels], annotations: Sequence[Annotation]) -> MemorySplit:
    sizes = np.array([image.shape[1:] for image in images], np.int64)
    return MemorySplit(tuple(map(torch.from_numpy, images)), tuple(annotations), sizes)
