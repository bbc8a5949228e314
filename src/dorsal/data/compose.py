"""Cluttered scenes of digits, drawn many at a time from random numbers alone.

All arithmetic is + - * / and square roots on float32, operations that IEEE 754 fixes to the last bit; no
library sine, exponential or matrix product, whose last bit depends on the processor. Equal seeds therefore
give equal bytes.

Coordinates: pixel i covers i to i + 1, its centre is i + 0.5; x runs right, y down. B is the number of
scenes, S the side of a scene in pixels.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np
from numpy.typing import NDArray

from dorsal.data.spec import Scenes

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

_WINDOW = 4  # half the side of a fragment's window, in pixels of the source digit


class Atlas(msgspec.Struct, frozen=True, eq=False):
    """Digits ready for sampling at any scale: at 28, 14 and 7 pixels, each with a border of zeros.

    texels   float32 [n, 30 * 30 + 16 * 16 + 9 * 9], ink in 0..1
    boxes    float32 [n, 4], bounds of the ink at 28 pixels, XYXY
    """

    texels: Floats
    boxes: Floats


class Composition(msgspec.Struct, frozen=True, eq=False):
    """Images uint8 [B, 3, S, S], and what is in them: of each of the D digits the mask bool [B, D, S, S], all False
    where it is not drawn, and the longer side in pixels [B, D]; and the line, bool [B, S, S]."""

    images: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    scales: Floats
    lines: NDArray[np.bool_]


class Cells(msgspec.Struct, frozen=True, eq=False):
    """Where in the images digits lie: squares of `side` pixels from (`x`, `y`) on, [B]. Of the side of a digit, `unit`
    pixels are the whole."""

    x: Floats
    y: Floats
    side: float
    unit: float


class Pose(msgspec.Struct, frozen=True, eq=False):
    """Where source digits lie in an image, all fields [B].

    The source point (source_x, source_y), in pixels of 28, falls on (x, y); `zoom` is image pixels per source
    pixel; (cos, sin) turns the source.
    """

    digit: Ints
    source_x: Floats
    source_y: Floats
    x: Floats
    y: Floats
    zoom: Floats
    cos: Floats
    sin: Floats


def build_atlas(pixels: NDArray[np.uint8]) -> Atlas:
    """`pixels` uint8 [n, 28, 28], ink bright on zero."""
    full = pixels.astype(np.float32) / np.float32(255)
    half = _halved(full)
    levels = [np.pad(level, ((0, 0), (1, 1), (1, 1))) for level in (full, half, _halved(half))]
    texels = np.concatenate([level.reshape(len(pixels), -1) for level in levels], axis=1)
    return Atlas(texels, bounds(pixels > 0).astype(np.float32))


def _halved(level: Floats) -> Floats:
    rows = level[:, ::2] + level[:, 1::2]
    return np.float32(0.25) * (rows[:, :, ::2] + rows[:, :, 1::2])


def bounds(masks: NDArray[np.bool_]) -> Ints:
    """The box of each mask [n, H, W] as [n, 4], XYXY with x1 and y1 exclusive. Masks must not be empty."""
    columns: NDArray[np.bool_] = masks.max(axis=1)
    rows: NDArray[np.bool_] = masks.max(axis=2)
    x1 = columns.shape[1] - columns[:, ::-1].argmax(axis=1)
    y1 = rows.shape[1] - rows[:, ::-1].argmax(axis=1)
    return np.stack([columns.argmax(axis=1), rows.argmax(axis=1), x1, y1], axis=1)


def draw_scenes(atlas: Atlas, digits: Ints, spec: Scenes, rng: np.random.Generator) -> Composition:
    """One scene for each row of `digits` [B, D], indices into `atlas`, which gives the clutter as well.

    One digit lies anywhere in the scene. Of several the first up to all are drawn, each in a quarter of its own and an
    eighth of the scene beyond it; a later one lies over an earlier one, and masks are of what is seen of them.
    """
    count, size = len(digits), spec.size
    images, ground = _draw_ground(count, size, rng)
    for _ in range(spec.fragments):
        _draw_fragment(images, ground, atlas, rng)
    masks: list[NDArray[np.bool_]] = []
    scales = []
    for own, cells, drawn in _places(digits, size, rng):
        pose, longer = _place_digits(atlas, own, spec, cells, rng)
        ink = _ink(atlas, pose, size) * drawn[:, None, None]
        images += ink[:, None] * (_colours(ground, rng)[:, :, None, None] - images)
        mask = (ink > ink.max(axis=(1, 2), keepdims=True) / 2) & drawn[:, None, None]
        masks = [*(below & ~mask for below in masks), mask]
        scales.append(longer)
    lines = _draw_line(images, ground, rng)
    images += _uniform(rng, (count, 1, 1, 1), 0.02, 0.05) * _uniform(rng, (count, 1, size, size), -1, 1)
    return Composition(
        (images.clip(0, 1) * np.float32(255) + np.float32(0.5)).astype(np.uint8),
        np.stack(masks, axis=1),
        np.stack(scales, axis=1),
        lines,
    )


def _places(digits: Ints, size: int, rng: np.random.Generator) -> Iterator[tuple[Ints, Cells, NDArray[np.bool_]]]:
    """For each column of `digits` [B, D]: the digits, where they lie, and which of them are drawn."""
    count, most = digits.shape
    if most == 1:
        nowhere = np.zeros(count, np.float32)
        yield digits[:, 0], Cells(nowhere, nowhere, size, size), np.ones(count, np.bool_)
        return
    quarters = rng.random((count, 4), dtype=np.float32).argsort(axis=1, kind="stable")
    drawn = 1 + (_uniform(rng, (count,), 0, 1) * np.float32(most)).astype(np.int64)
    step = np.float32(0.375 * size)
    for place in range(most):
        row, column = np.divmod(quarters[:, place], 2)
        cells = Cells(step * column.astype(np.float32), step * row.astype(np.float32), 0.625 * size, 0.5 * size)
        yield digits[:, place], cells, place < drawn


def _draw_ground(count: int, size: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Images float32 [B, 3, S, S] of a base colour, a gradient and blotches; and the base colours [B, 3]."""
    base = _uniform(rng, (count, 1), 0.05, 0.55) + _uniform(rng, (count, 3), -0.15, 0.15)
    slope_x, slope_y = _uniform(rng, (2, count, 3, 1, 1), -0.15, 0.15)
    along = (np.arange(size, dtype=np.float32) + np.float32(0.5)) / np.float32(size)
    blotches = _uniform(rng, (count, 3, 6, 6), -0.1, 0.1)
    blotches = _stretch(_stretch(blotches, size, axis=2), size, axis=3)
    centred = along - np.float32(0.5)
    return base[:, :, None, None] + slope_x * centred + slope_y * centred[:, None] + blotches, base


def _stretch(values: Floats, size: int, axis: int) -> Floats:
    """Linear interpolation along `axis` to `size` samples, first and last kept."""
    at = np.arange(size, dtype=np.float32) * np.float32(values.shape[axis] - 1) / np.float32(size - 1)
    left = np.minimum(at.astype(np.int64), values.shape[axis] - 2)
    weight = (at - left).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(values.ndim)])
    first = values.take(left, axis)
    stretched: Floats = first + weight * (values.take(left + 1, axis) - first)
    return stretched


def _colours(ground: Floats, rng: np.random.Generator) -> Floats:
    """Colours [B, 3], lighter than the `ground` by more or by less: at both polarities a small network needs ten
    times the steps to leave chance, and short runs would compare little else."""
    return ground + _uniform(rng, (len(ground), 1), 0.35, 0.6) + _uniform(rng, ground.shape, -0.1, 0.1)


def _place_digits(
    atlas: Atlas, digits: Ints, spec: Scenes, cells: Cells, rng: np.random.Generator
) -> tuple[Pose, Floats]:
    """Digits [B] wholly inside their cells, slightly turned; and their longer sides [B]."""
    count = len(digits)
    scales = _uniform(rng, (count,), spec.smallest, spec.largest) * np.float32(cells.unit)
    cos, sin = _direction(np.ones(count, np.float32), _uniform(rng, (count,), -0.25, 0.25))
    x0, y0, x1, y1 = atlas.boxes[digits].T
    width, height = x1 - x0, y1 - y0
    zoom = scales / np.maximum(width, height)
    pose = Pose(
        digit=digits,
        source_x=(x0 + x1) / np.float32(2),
        source_y=(y0 + y1) / np.float32(2),
        x=cells.x + _inside(zoom * (width * cos + height * np.abs(sin)), cells.side, rng),
        y=cells.y + _inside(zoom * (height * cos + width * np.abs(sin)), cells.side, rng),
        zoom=zoom,
        cos=cos,
        sin=sin,
    )
    return pose, scales


def _draw_fragment(images: Floats, ground: Floats, atlas: Atlas, rng: np.random.Generator) -> None:
    """Onto each of `images`, in place: a window of a digit, centred anywhere in its box, at any angle."""
    count, _, size, _ = images.shape
    side = 3 * size // 8
    left, top = (_uniform(rng, (2, count), 0, 1) * np.float32(size - side + 1)).astype(np.int64)
    digit = (_uniform(rng, (count,), 0, 1) * np.float32(len(atlas.boxes))).astype(np.int64)
    x0, y0, x1, y1 = atlas.boxes[digit].T
    cos, sin = _direction(*_uniform(rng, (2, count), -1, 1))
    pose = Pose(
        digit=digit,
        source_x=x0 + _uniform(rng, (count,), 0, 1) * (x1 - x0),
        source_y=y0 + _uniform(rng, (count,), 0, 1) * (y1 - y0),
        x=np.full(count, side / 2, np.float32),
        y=np.full(count, side / 2, np.float32),
        zoom=_uniform(rng, (count,), 0.5, 1.2) * np.float32(size / 48),
        cos=cos,
        sin=sin,
    )
    ink = _ink(atlas, pose, side, window=_WINDOW)[:, None]
    scene, channel = np.arange(count)[:, None, None, None], np.arange(3)[:, None, None]
    rows = (top[:, None] + np.arange(side))[:, None, :, None]
    columns = (left[:, None] + np.arange(side))[:, None, None, :]
    patch = images[scene, channel, rows, columns]
    images[scene, channel, rows, columns] = patch + ink * (_colours(ground, rng)[:, :, None, None] - patch)


def _draw_line(images: Floats, ground: Floats, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Onto each of `images`, in place: a straight line from border to border. Returns its mask [B, S, S]."""
    count, _, size, _ = images.shape
    cos, sin = _direction(*_uniform(rng, (2, count, 1, 1), -1, 1))
    through_x, through_y = _uniform(rng, (2, count, 1, 1), 0.1, 0.9) * np.float32(size)
    half_width = _uniform(rng, (count, 1, 1), 0.4, 0.9) * np.float32(size / 48)
    centres = np.arange(size, dtype=np.float32) + np.float32(0.5)
    distance = np.abs(cos * (centres - through_x) + sin * (centres[:, None] - through_y))
    cover = (half_width + np.float32(0.5) - distance).clip(0, 1)[:, None]
    images += cover * (_colours(ground, rng)[:, :, None, None] - images)
    mask: NDArray[np.bool_] = cover[:, 0] > np.float32(0.5)
    return mask


def _ink(atlas: Atlas, pose: Pose, side: int, window: float = 28) -> Floats:
    """How much ink lies on each pixel of an image of `side`, in 0..1, float32 [B, side, side].

    Bilinear between the texels of the level whose texels are nearest in size to the image's pixels, so that
    small digits keep their strokes. Only source pixels within `window` of the pose's source point are drawn.
    """
    cos, sin, zoom = pose.cos[:, None, None], pose.sin[:, None, None], pose.zoom[:, None, None]
    centres = np.arange(side, dtype=np.float32) + np.float32(0.5)
    right = (centres - pose.x[:, None, None]) / zoom
    down = (centres[:, None] - pose.y[:, None, None]) / zoom
    along, across = cos * right + sin * down, cos * down - sin * right

    level = (pose.zoom < np.float32(0.7)).astype(np.int64) + (pose.zoom < np.float32(0.35))
    start, stride = np.array([0, 900, 1156])[level], np.array([30, 16, 9])[level]
    texel = np.array([1, 2, 4], np.float32)[level][:, None, None]  # side of a texel in source pixels
    # + 1 for the border of zeros, - 0.5 from a texel's corner to its centre; what lies beyond sees the border
    last = (stride - np.float32(1.001)).astype(np.float32)[:, None, None]
    column = ((along + pose.source_x[:, None, None]) / texel + np.float32(0.5)).clip(0, last)
    row = ((across + pose.source_y[:, None, None]) / texel + np.float32(0.5)).clip(0, last)
    left, top = column.astype(np.int32), row.astype(np.int32)
    column -= left
    row -= top

    texels, width = atlas.texels.reshape(-1), stride.astype(np.int32)[:, None, None]
    first = (pose.digit * atlas.texels.shape[1] + start).astype(np.int32)[:, None, None]
    at = first + top * width + left
    upper = texels[at] + column * (texels[at + 1] - texels[at])
    at += width
    lower = texels[at] + column * (texels[at + 1] - texels[at])
    seen = (np.abs(along) < np.float32(window)) & (np.abs(across) < np.float32(window))
    ink: Floats = (upper + row * (lower - upper)) * seen
    return ink


def _direction(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """(x, y) at length one."""
    length = np.sqrt(x * x + y * y) + np.float32(1e-6)
    return x / length, y / length


def _inside(extent: Floats, size: float, rng: np.random.Generator) -> Floats:
    """Centres at which `extent` [B] fits into 0..size; the middle where it does not fit."""
    low: Floats = np.float32(0.5) * np.minimum(extent, np.float32(size))
    return low + _uniform(rng, extent.shape, 0, 1) * (np.float32(size) - low - low)


def _uniform(rng: np.random.Generator, shape: tuple[int, ...], low: float, high: float) -> Floats:
    return np.float32(low) + np.float32(high - low) * rng.random(shape, dtype=np.float32)
