"""What is known or said about one image. Truth and prediction are the same types; a prediction has scores."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from dorsal.annotations.rle import Bools, Integers, Rle, check_size

Floats32 = npt.NDArray[np.float32]
IGNORE = 255
"""The label of pixels that are neither learned nor scored, in maps of uint8; in maps of uint16 it is 65535."""


class Objects(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The n objects of one image, in pixels of its file. n may be 0.

    - `boxes`: float32 [n, 4], x0, y0, x1, y1. Pixel i reaches from i to i + 1.
    - `labels`: int64 [n], from 0. `Labels` says what they stand for.
    - `crowd`: bool [n], True where one entry stands for many objects.
    - `area`: float32 [n], pixels, by which a score tells small objects from large ones.
    - `scores`: float32 [n], how sure a prediction is. None in truth.
    - `masks`: one for each object, None where none are known.
    - `keypoints`: float32 [n, K, 3], x, y and the third value: in truth 0 (not labelled), 1 (hidden) or 2 (visible), in
      predictions a score. The middle of the first pixel is at .5. None where none are known.

    `objects_of` fills in `crowd` and `area`. Values that only a check of the data can judge are taken, for example a
    box outside the image or without area.

    Raises ValueError for another type or shape, a box that is not finite, a label below 0, or masks of several sizes.
    """

    boxes: Floats32
    labels: Integers
    crowd: Bools
    area: Floats32
    scores: Floats32 | None = None
    masks: tuple[Rle, ...] | None = None
    keypoints: Floats32 | None = None

    def __post_init__(self) -> None:
        _check_array("boxes", self.boxes, ("float32",), ("n", 4))
        n = len(self.boxes)
        _check_array("labels", self.labels, ("int64",), (n,))
        _check_array("crowd", self.crowd, ("bool",), (n,))
        _check_array("area", self.area, ("float32",), (n,))
        _check_array("scores", self.scores, ("float32",), (n,), optional=True)
        _check_array("keypoints", self.keypoints, ("float32",), (n, "K", 3), optional=True)
        _check_labels(self.labels)
        finite = np.isfinite(self.boxes).all(axis=1)
        if not finite.all():
            row = int(np.argmin(finite))
            raise ValueError(f"boxes[{row}]={self.boxes[row].tolist()} must hold finite numbers: x0, y0, x1, y1")
        if self.masks is not None:
            _check_masks(self.masks, n)


class Segments(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """An image divided into segments, as a panoptic data set has it: each pixel belongs to one at most.

    - `pixels`: uint32 [H, W], the id of each pixel's segment, 0 where there is none.
    - `ids`: uint32 [s], distinct and above 0.
    - `labels`: int64 [s], from 0; `crowd`: bool [s], True where a segment stands for many objects.

    Whether the ids are those of the pixels is for a check of the data.

    Raises ValueError for another type or shape, an id that is 0 or there twice, or a label below 0.
    """

    pixels: npt.NDArray[np.uint32]
    ids: npt.NDArray[np.uint32]
    labels: Integers
    crowd: Bools

    def __post_init__(self) -> None:
        _check_array("pixels", self.pixels, ("uint32",), ("H", "W"))
        _check_array("ids", self.ids, ("uint32",), ("s",))
        _check_array("labels", self.labels, ("int64",), (len(self.ids),))
        _check_array("crowd", self.crowd, ("bool",), (len(self.ids),))
        _check_labels(self.labels)
        ids, times = np.unique(self.ids, return_counts=True)
        if (times > 1).any():
            raise ValueError(f"ids holds {ids[times > 1][0]} twice; each segment must have an id of its own")
        if (ids == 0).any():
            raise ValueError("ids holds 0, which marks pixels of no segment; ids begin at 1")


class Annotation(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What is known or said about one image, in pixels of its file. What is not known is None.

    - `size`: (height, width) of the file.
    - `label`: the class of the whole image, from 0; `probabilities`: float32 [C], the prediction of it.
    - `objects`: an image without objects has some of n = 0; None says that nobody looked for objects.
    - `semantic`: [H, W], the label of each pixel, uint8 with 255 or uint16 with 65535 where it is not known.
    - `segments`: of the same size.

    Raises ValueError for another type or shape, a label below 0, or masks, maps or segments of another size.
    """

    size: tuple[int, int]
    label: int | None = None
    probabilities: Floats32 | None = None
    objects: Objects | None = None
    semantic: npt.NDArray[np.uint8] | npt.NDArray[np.uint16] | None = None
    segments: Segments | None = None

    def __post_init__(self) -> None:
        check_size(self.size)
        if self.label is not None and (type(self.label) is not int or self.label < 0):
            raise ValueError(f"label={self.label!r} must be a whole number from 0, or None")
        _check_array("probabilities", self.probabilities, ("float32",), ("C",), optional=True)
        _check_array("semantic", self.semantic, ("uint8", "uint16"), self.size, optional=True)
        if self.segments is not None:
            _check_array("segments.pixels", self.segments.pixels, ("uint32",), self.size)
        if self.objects is not None and self.objects.masks and self.objects.masks[0].size != self.size:
            raise ValueError(f"objects.masks are of size {self.objects.masks[0].size}; the image has size={self.size}")


def objects_of(
    boxes: npt.ArrayLike,
    labels: npt.ArrayLike,
    *,
    scores: npt.ArrayLike | None = None,
    masks: Sequence[Rle] | None = None,
    keypoints: npt.ArrayLike | None = None,
    crowd: npt.ArrayLike | None = None,
    area: npt.ArrayLike | None = None,
) -> Objects:
    """Objects from lists or arrays of any number type.

    Without `crowd`, none is a crowd. Without `area`, it is that of the masks, or of the boxes where there are no masks.
    An empty list of boxes is none, [0, 4].

    Raises ValueError as `Objects` does, and for labels that are not whole numbers.
    """
    box_array = _float32(boxes)
    if not box_array.size and box_array.ndim < 2:
        box_array = box_array.reshape(0, 4)
    label_array = np.asarray(labels)
    if label_array.size and label_array.dtype.kind not in "iu":
        raise ValueError(f"labels is {label_array.dtype}; it must be whole numbers")
    made = Objects(
        boxes=box_array,
        labels=label_array.astype(np.int64),
        crowd=np.zeros(label_array.size, bool) if crowd is None else np.asarray(crowd, dtype=bool),
        area=np.zeros(label_array.size, np.float32) if area is None else _float32(area),
        scores=None if scores is None else _float32(scores),
        masks=None if masks is None else tuple(masks),
        keypoints=None if keypoints is None else _float32(keypoints),
    )
    return made if area is not None else msgspec.structs.replace(made, area=_areas(made))


def _areas(objects: Objects) -> Floats32:
    """Pixels of each mask, or of each box where there are no masks: 0 where its corners are in the wrong order."""
    if objects.masks is not None:
        return np.array([mask.area() for mask in objects.masks], dtype=np.float32)
    sides = np.diff(objects.boxes.astype(np.float64).reshape(-1, 2, 2), axis=1)[:, 0]
    return _float32(sides.clip(0, None).prod(axis=1))


def _float32(values: npt.ArrayLike) -> Floats32:
    """The values as float32; too large ones become infinite, for a check to name them."""
    with np.errstate(over="ignore"):
        return np.asarray(values).astype(np.float32)


def _check_array(
    field: str, value: object, types: tuple[str, ...], shape: tuple[int | str, ...], optional: bool = False
) -> None:
    """Raises ValueError unless `value` is an array of one of the types and of this shape. A letter is any number."""
    if value is None and optional:
        return
    sides = value.shape if isinstance(value, np.ndarray) else ()
    fits = len(sides) == len(shape) and all(isinstance(b, str) or a == b for a, b in zip(sides, shape, strict=True))
    if fits and isinstance(value, np.ndarray) and value.dtype.name in types:
        return
    given = f"{value.dtype} {list(sides)}" if isinstance(value, np.ndarray) else f"of type {type(value).__name__}"
    wanted = f"{' or '.join(types)} [{', '.join(map(str, shape))}]{' or None' if optional else ''}"
    raise ValueError(f"{field} is {given}; it must be {wanted}")


def _check_labels(labels: Integers) -> None:
    """Raises ValueError for a label below 0."""
    if labels.size and labels.min() < 0:
        raise ValueError(f"labels[{int(labels.argmin())}]={int(labels.min())} must be from 0")


def _check_masks(masks: tuple[Rle, ...], n: int) -> None:
    """Raises ValueError unless there are n masks of one size."""
    if not isinstance(masks, tuple) or not all(isinstance(mask, Rle) for mask in masks):
        raise ValueError(f"masks is of type {type(masks).__name__}; it must be a tuple of Rle, or None")
    if len(masks) != n:
        raise ValueError(f"masks has {len(masks)} entries; boxes has {n}")
    if len(sizes := {mask.size for mask in masks}) > 1:
        raise ValueError(f"masks are of the sizes {sorted(sizes)}; all must be of one image")
