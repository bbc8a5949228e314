"""What the files of a data set say about one image, as it was read and before anybody judged it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from dorsal.annotations.annotation import IGNORE, Annotation, Objects, objects_of
from dorsal.annotations.polygons import rasterize
from dorsal.annotations.rle import Bools, Floats, Integers, Rle, rle_from_coco
from dorsal.data.formats.problems import TruthError
from dorsal.spec.task import Kind

Shape = msgspec.Raw | tuple[Floats, ...] | Rle | None
"""The outline of an object: COCO's `segmentation` as JSON, polygons [k, 2] of x and y, or its pixels. None where there
is none."""

NO_CLASS = -1
"""In a table of labels: a value that no pixel may have."""
MOST_CLASSES = 254
_INDEXED = ("1", "L", "P", "I", "I;16", "I;16B", "I;16L")
"""Pillow's modes of images with one number a pixel. Of a palette, the number is meant and not its color."""


class LabelImage(msgspec.Struct, frozen=True, eq=False):
    """A file with the label of each pixel. `table`, int16 [V], has the label of each value in the file: `IGNORE` for
    pixels to ignore, `NO_CLASS` for values that none may have, as are all from V on."""

    path: Path
    table: npt.NDArray[np.int16]

    def values(self) -> npt.NDArray[np.integer]:
        """The values in the file [H, W]. Raises TruthError where it is missing, unreadable or in colors."""
        try:
            with Image.open(self.path) as image:
                mode = image.mode
                found = np.asarray(image) if mode in _INDEXED else None
        except FileNotFoundError:
            raise TruthError("label-missing", "there is no such label image") from None
        except UnidentifiedImageError:
            raise TruthError("label-unreadable", "is not an image Pillow can read") from None
        except Exception as error:  # Pillow raises whatever its parsers stumbled on: OSError, SyntaxError, ...
            raise TruthError("label-unreadable", f"cannot be decoded: {error}") from None
        if found is None:
            raise TruthError(
                "label-colors", f"has no whole numbers but colors (mode {mode}); save the number of each pixel's class"
            )
        return found.astype(np.uint8) if found.dtype == np.bool_ else found

    def labels(self, values: npt.NDArray[np.integer]) -> npt.NDArray[np.uint8]:
        """The labels of values, uint8 of the same shape. Raises TruthError for a value that none may have."""
        beyond = (values < 0) | (values >= len(self.table))
        found = self.table[np.where(beyond, 0, values)]
        lost = beyond | (found == NO_CLASS)
        if lost.any():
            wrong = int(values[lost].min())
            share = float((values == wrong).mean())
            raise TruthError("label-value", f"has the value {wrong} ({share:.2%} of the pixels), which is no class")
        labels: npt.NDArray[np.uint8] = found.astype(np.uint8)
        return labels


class LabelArray(msgspec.Struct, frozen=True, eq=False):
    """The label of each pixel [H, W] in memory, below `count` or `IGNORE`. `path` is what messages call it."""

    path: Path
    array: npt.NDArray[np.uint8]
    count: int

    def values(self) -> npt.NDArray[np.integer]:
        """The labels themselves."""
        return self.array

    def labels(self, values: npt.NDArray[np.integer]) -> npt.NDArray[np.uint8]:
        """The labels themselves. Raises TruthError for one that stands for no class."""
        lost = (values >= self.count) & (values != IGNORE)
        if lost.any():
            raise TruthError("label-value", f"has the value {int(values[lost].min())}, which is no class")
        return self.array


class Truth(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What the files say about one image. It may be wrong: `dorsal.data.formats.check` judges it.

    - `boxes`: float64 [n, 4], x0, y0, x1, y1. NaN where a file has no box. None in a format without objects.
    - `labels`: int64 [n]; `crowd`: bool [n]; `ids`: what the format calls each object, for messages.
    - `area`: float64 [n], NaN where the format does not say.
    - `shapes`: the outline of each object; None in a data set without masks.
    - `keypoints`: float64 [n, K, 3] as in `Objects`; None in a data set without points.
    - `normalized`: boxes and outlines are shares of the image's width and height.
    - `semantic`: the label image; None in a data set without them.
    """

    boxes: Floats | None = None
    labels: Integers = np.zeros(0, np.int64)
    crowd: Bools = np.zeros(0, bool)
    ids: Sequence[int | str] = ()
    area: Floats | None = None
    shapes: tuple[Shape, ...] | None = None
    keypoints: Floats | None = None
    normalized: bool = False
    semantic: LabelImage | LabelArray | None = None

    def pixel_boxes(self, size: tuple[int, int]) -> Floats:
        """The boxes in pixels of an image of `size` (height, width), float64 [n, 4]; NaN for infinities."""
        boxes = np.zeros((0, 4)) if self.boxes is None else self.boxes
        with np.errstate(over="ignore"):
            scaled = boxes * np.tile(size[::-1], 2) if self.normalized else boxes
        return np.where(np.isfinite(scaled), scaled, np.nan)

    def mask(self, row: int, size: tuple[int, int]) -> Rle:
        """The mask of one object. Raises TruthError for an outline that makes no sense, or a mask of another size."""
        shape = None if self.shapes is None else self.shapes[row]
        if shape is None:
            raise TruthError("mask-malformed", "has no mask, but other objects have")
        try:
            found = _mask(shape, size, size[::-1] if self.normalized else (1, 1))
        except ValueError as error:
            raise TruthError("mask-malformed", str(error)) from None
        if found.size != size:
            raise TruthError("mask-size", f"has a mask of size {found.size}; the image has {size}, height and width")
        return found

    def annotation(self, size: tuple[int, int], kinds: frozenset[Kind]) -> Annotation:
        """What is known about the image of `size` (height, width), of the `kinds` that are asked for.

        Masks are drawn and label images read only where they are asked for. Objects have their area by the format,
        else by the mask if masks are asked for, else by the box.

        Raises TruthError and ValueError for what a check would have named.
        """
        wants_objects = self.boxes is not None and kinds & {"boxes", "masks", "keypoints"}
        semantic = None
        if self.semantic is not None and "semantic" in kinds:
            semantic = self.semantic.labels(self.semantic.values())
        return Annotation(size=size, objects=self._objects(size, kinds) if wants_objects else None, semantic=semantic)

    def _objects(self, size: tuple[int, int], kinds: frozenset[Kind]) -> Objects:
        masks = None
        if self.shapes is not None and "masks" in kinds:
            masks = [self.mask(row, size) for row in range(len(self.labels))]
        keypoints = self.keypoints if "keypoints" in kinds else None
        found = objects_of(self.pixel_boxes(size), self.labels, masks=masks, keypoints=keypoints, crowd=self.crowd)
        if self.area is None:
            return found
        with np.errstate(over="ignore"):
            area = np.where(np.isnan(self.area), found.area, self.area).astype(np.float32)
        return msgspec.structs.replace(found, area=area)


def _mask(shape: msgspec.Raw | tuple[Floats, ...] | Rle, size: tuple[int, int], scale: tuple[int, int]) -> Rle:
    if isinstance(shape, Rle):
        return shape
    if isinstance(shape, tuple):
        return rasterize([(part * scale).ravel().tolist() for part in shape], size)
    form = msgspec.json.decode(shape)
    match form:
        case dict():
            return rle_from_coco(form)
        case list() if all(isinstance(part, list) for part in form):
            return rasterize(form, size)
    raise ValueError("segmentation must be a list of polygons, each a list of numbers, or a mask of size and counts")
