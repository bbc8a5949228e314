"""Cluttered scenes of digits, drawn many at a time from random numbers alone.

All arithmetic is + - * / and square roots on float32, operations that IEEE 754 fixes to the last bit; no
library sine, exponential or matrix product, whose last bit depends on the processor. Equal seeds therefore
give equal bytes.

Coordinates: pixel i covers i to i + 1, its centre is i + 0.5; x runs right, y down. B is the number of
scenes, S the side of a scene in pixels.
"""

from __future__ import annotations

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
    """Images uint8 [B, 3, S, S], masks of the digits bool [B, S, S], their longer sides in pixels [B]."""

    images: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    scales: Floats


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
    """One scene for each of `digits` [B], indices into `atlas`, which gives the clutter as well."""
    count, size = len(digits), spec.size
    images, ground = _draw_ground(count, size, rng)
    for _ in range(spec.fragments):
        _draw_fragment(images, ground, atlas, rng)
    pose, scales = _place_digits(atlas, digits, spec, rng)
    ink = _ink(atlas, pose, size)
    images += ink[:, None] * (_colours(ground, rng)[:, :, None, None] - images)
    _draw_line(images, ground, rng)
    images += _uniform(rng, (count, 1, 1, 1), 0.02, 0.05) * _uniform(rng, (count, 1, size, size), -1, 1)
    masks = ink > ink.max(axis=(1, 2), keepdims=True) / 2
    return Composition((images.clip(0, 1) * np.float32(255) + np.float32(0.5)).astype(np.uint8), masks, scales)


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


def _place_digits(atlas: Atlas, digits: Ints, spec: Scenes, rng: np.random.Generator) -> tuple[Pose, Floats]:
    """Digits wholly inside the image, slightly turned."""
    count, size = len(digits), spec.size
    scales = _uniform(rng, (count,), spec.smallest, spec.largest) * np.float32(size)
    cos, sin = _direction(np.ones(count, np.float32), _uniform(rng, (count,), -0.25, 0.25))
    x0, y0, x1, y1 = atlas.boxes[digits].T
    width, height = x1 - x0, y1 - y0
    zoom = scales / np.maximum(width, height)
    pose = Pose(
        digit=digits,
        source_x=(x0 + x1) / np.float32(2),
        source_y=(y0 + y1) / np.float32(2),
        x=_inside(zoom * (width * cos + height * np.abs(sin)), size, rng),
        y=_inside(zoom * (height * cos + width * np.abs(sin)), size, rng),
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


def _draw_line(images: Floats, ground: Floats, rng: np.random.Generator) -> None:
    """Onto each of `images`, in place: a straight line from border to border."""
    count, _, size, _ = images.shape
    cos, sin = _direction(*_uniform(rng, (2, count, 1, 1), -1, 1))
    through_x, through_y = _uniform(rng, (2, count, 1, 1), 0.1, 0.9) * np.float32(size)
    half_width = _uniform(rng, (count, 1, 1), 0.4, 0.9) * np.float32(size / 48)
    centres = np.arange(size, dtype=np.float32) + np.float32(0.5)
    distance = np.abs(cos * (centres - through_x) + sin * (centres[:, None] - through_y))
    cover = (half_width + np.float32(0.5) - distance).clip(0, 1)[:, None]
    images += cover * (_colours(ground, rng)[:, :, None, None] - images)


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


def _inside(extent: Floats, size: int, rng: np.random.Generator) -> Floats:
    """Centres at which `extent` [B] fits into 0..size; the middle where it does not fit."""
    low: Floats = np.float32(0.5) * np.minimum(extent, np.float32(size))
    return low + _uniform(rng, extent.shape, 0, 1) * (np.float32(size) - low - low)


def _uniform(rng: np.random.Generator, shape: tuple[int, ...], low: float, high: float) -> Floats:
    return np.float32(low) + np.float32(high - low) * rng.random(shape, dtype=np.float32)
