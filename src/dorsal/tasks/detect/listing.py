"""The objects of many images in one list, so that all are dealt with at once. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Places = npt.NDArray[np.int64]


class Objects(Protocol):
    """The objects of one image, o of them, that are there or were found.

    - `boxes`: [o, 4], left, top, right, bottom in pixels. `labels`: [o], 0 to K - 1. `scores`: [o], None for truth.
    - `area`: [o], in square pixels. `crowd`: bool [o], a region of truth that holds many objects. What is found there
      is neither right nor wrong.
    """

    @property
    def boxes(self) -> npt.NDArray[Any]: ...  # noqa: D102
    @property
    def labels(self) -> npt.NDArray[Any]: ...  # noqa: D102
    @property
    def scores(self) -> npt.NDArray[Any] | None: ...  # noqa: D102
    @property
    def area(self) -> npt.NDArray[Any]: ...  # noqa: D102
    @property
    def crowd(self) -> npt.NDArray[Any]: ...  # noqa: D102


class Listed(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """The objects of n images in one list of o.

    - `image`, `place`: [o], the image of each, and its place there. `scores`: 0 for truth. Others: see `Objects`.
    - `images`, `classes`: the numbers of both.
    """

    image: Places
    place: Places
    boxes: Floats
    labels: Places
    scores: Floats
    area: Floats
    crowd: Flags
    images: int
    classes: int

    @property
    def kind(self) -> Places:
        """One number for each image and class [o]."""
        return self.image * self.classes + self.labels

    def at(self, rows: npt.NDArray[Any]) -> Listed:
        """These objects, in this order."""
        columns = ("image", "place", "boxes", "labels", "scores", "area", "crowd")
        return msgspec.structs.replace(self, **{name: getattr(self, name)[rows] for name in columns})


def listed(objects: Sequence[Objects], classes: int, *, scored: bool) -> Listed:
    """The objects of all images in one list, in the order of the images.

    Raises ValueError for columns of different lengths, a class that does not exist, numbers that are not finite, or
    scores that are missing where objects must be `scored`.
    """
    counts = np.array([_count(each, image, scored) for image, each in enumerate(objects)], dtype=np.int64)
    image = np.repeat(np.arange(len(counts)), counts)
    scores = joined([each.scores for each in objects if each.scores is not None], np.float64)
    every = Listed(
        image=image,
        place=turns_of(image),
        boxes=joined([each.boxes.ravel() for each in objects], np.float64).reshape(-1, 4),
        labels=joined([each.labels for each in objects], np.int64),
        scores=scores if scored else np.zeros(len(image)),
        area=joined([each.area for each in objects], np.float64),
        crowd=joined([each.crowd for each in objects], np.bool_),
        images=len(counts),
        classes=classes,
    )
    for name, values in (("boxes", every.boxes.sum(axis=1)), ("scores", every.scores), ("area", every.area)):
        wrong = ~np.isfinite(values)
        if wrong.any():
            raise ValueError(f"{name} of image {image[wrong][0]} must hold finite numbers")
    wrong = (every.labels < 0) | (every.labels >= classes)
    if wrong.any():
        said, first = every.labels[wrong][0], image[wrong][0]
        raise ValueError(f"labels of image {first} holds {said}: there are classes 0 to {classes - 1}")
    return every


def _count(objects: Objects, image: int, scored: bool) -> int:
    """The number of objects. ValueError if the columns do not say the same."""
    if scored and objects.scores is None:
        raise ValueError(f"scores of image {image} is missing: what is found must have a score")
    found = len(objects.labels)
    columns = (objects.area, objects.crowd, objects.labels if objects.scores is None else objects.scores)
    if objects.boxes.shape != (found, 4) or any(column.shape != (found,) for column in columns):
        raise ValueError(f"image {image} holds {found} labels: boxes must be [{found}, 4], all other columns [{found}]")
    return found


def turns_of(kind: Places) -> Places:
    """The place of each entry within its run of equal numbers, from 0."""
    first = np.flatnonzero(np.diff(kind, prepend=kind[:1] - 1))
    found: Places = np.arange(len(kind)) - np.repeat(first, np.diff(first, append=len(kind)))
    return found


def joined(parts: Sequence[npt.NDArray[Any]], kind: type[np.generic]) -> npt.NDArray[Any]:
    """The parts [o] in one array; an empty one if there are none."""
    return np.concatenate(parts).astype(kind) if parts else np.zeros(0, dtype=kind)
