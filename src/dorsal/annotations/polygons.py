"""Polygons become masks, to the pixel as pycocotools draws them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dorsal.annotations.rle import Floats, Integers, Rle, check_size, rle_of_flips, union

_SCALE = 5
"""The outline is walked on a grid five times as fine as the pixels. Of the five places 0 to 4, 2 is the middle."""
_MIDDLE = 2
_FARTHEST = 100_000
"""Pixels beyond the image. Points that are farther away are slips, and would take gigabytes to walk to."""


def rasterize(polygons: Sequence[Sequence[float]], size: tuple[int, int]) -> Rle:
    """The mask of one object in an image of `size` (height, width).

    Each polygon is one part of it, x0, y0, x1, y1, … in pixels, where pixel i reaches from i to i + 1. Parts are
    united; within a part, what its outline goes around an even number of times is outside. Parts may reach beyond the
    image.

    The pixels are those of pycocotools (frPyObjects, merge), whose rule is: points are rounded to a grid of fifths of a
    pixel and joined by lines of grid points. Where the outline passes the middle of a column of pixels, the column
    turns on or off from the first pixel on whose middle is not above the outline.

    Raises ValueError without a polygon, and for one with fewer than three points, an odd number of values, values that
    are not finite, or a point far from the image (100,000 pixels).
    """
    check_size(size)
    if not len(polygons):
        raise ValueError("polygons is empty; an object needs at least one, of three points or more")
    parts = [rle_of_flips(size, _flips(_points(polygon, part, size), size)) for part, polygon in enumerate(polygons)]
    return union(parts)


def _points(polygon: Sequence[float], part: int, size: tuple[int, int]) -> Floats:
    """The checked points [k, 2]."""
    try:
        values = np.asarray(polygon, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"polygons[{part}] must be a flat list of numbers: x0, y0, x1, y1, …") from None
    if values.ndim != 1 or values.size < 6 or values.size % 2:
        raise ValueError(
            f"polygons[{part}] has shape {list(values.shape)}; it must be a flat list of 6 numbers or more, "
            "x and y of each point"
        )
    near = np.abs(values) <= max(size) + _FARTHEST  # False for NaN too
    if not near.all():
        worst = values[~near][0]
        raise ValueError(
            f"polygons[{part}] holds {worst}; it must be finite and within {_FARTHEST:,} pixels of the image"
        )
    return values.reshape(-1, 2)


def _flips(points: Floats, size: tuple[int, int]) -> Integers:
    """Where the mask of one outline turns on or off, counted column by column."""
    height, width = size
    x, y = _outline((_SCALE * points + 0.5).astype(np.int64))
    steps = np.flatnonzero(x[1:] != x[:-1])
    left, upper = (np.minimum(each[steps], each[steps + 1]) for each in (x, y))
    columns, beyond = np.divmod(left - _MIDDLE, _SCALE)
    rows = -((_MIDDLE - upper) // _SCALE)  # divides by 5 and rounds up
    passed = (beyond == 0) & (columns >= 0) & (columns < width)
    flips: Integers = columns[passed] * height + rows[passed].clip(0, height)
    return flips


def _outline(corners: Integers) -> tuple[Integers, Integers]:
    """x and y of every grid point on the closed line through the corners [k, 2].

    Each side is walked in the coordinate in which it is longer (x if both are equal), one grid point a step. The other
    coordinate follows from the end where the first is lower, so that a side that two polygons share is the same in
    both. It is rounded by adding a half and cutting off the fraction, as in the reference: below 0, that is upwards.
    """
    start, end = corners.T, np.roll(corners, -1, axis=0).T
    across, down = np.abs(end - start)
    steep = down > across
    walked_from, walked_to = (np.where(steep, point[1], point[0]) for point in (start, end))
    other_from, other_to = (np.where(steep, point[0], point[1]) for point in (start, end))
    backwards = walked_from > walked_to
    lowest = np.minimum(walked_from, walked_to)
    at_lowest, at_highest = np.where(backwards, other_to, other_from), np.where(backwards, other_from, other_to)
    length = np.maximum(across, down)
    slope = (at_highest - at_lowest) / np.maximum(length, 1)

    side = np.repeat(np.arange(len(corners)), length + 1)
    step = np.arange(side.size) - np.repeat(np.cumsum(length + 1) - (length + 1), length + 1)
    step = np.where(backwards[side], length[side] - step, step)
    walked = lowest[side] + step
    other = (at_lowest[side] + slope[side] * step + 0.5).astype(np.int64)
    return np.where(steep[side], other, walked), np.where(steep[side], walked, other)
