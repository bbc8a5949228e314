"""Draw cluttered scenes of digits, many at a time, from random numbers alone.

All arithmetic is + - * / and square roots on float32, operations that IEEE 754 fixes to the last bit; no library sine,
exponential or matrix product, whose last bit depends on the processor. Equal seeds therefore give equal bytes.

Coordinates: pixel i covers i to i + 1, its centre is i + 0.5; x runs right, y down. B is the number of scenes, S the
side of a scene in pixels.
"""

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

_FRAGMENTS = 6
_LINES = 2


class Atlas(msgspec.Struct, frozen=True, eq=False):
    """Digits ready for sampling at any scale: every digit at 28, 14 and 7 pixels, each with a border of zeros.

    texels   float32 [n, 30 * 30 + 16 * 16 + 9 * 9], ink in 0..1
    boxes    float32 [n, 4], bounds of the ink at 28 pixels, XYXY
    """

    texels: Floats
    boxes: Floats


class Drawn(msgspec.Struct, frozen=True, eq=False):
    """Scenes: images uint8 [B, 3, S, S], masks of the whole digit bool [B, S, S], its longer side in pixels [B]."""

    images: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    scales: Floats


class Pose(msgspec.Struct, frozen=True, eq=False):
    """Where source digits lie in an image, all fields [B].

    The source point (source_x, source_y), in pixels of 28, falls on (x, y); `zoom` is image pixels per source pixel;
    (cos, sin) turns the source.
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
    level = pixels.astype(np.float32) / np.float32(255)
    texels = []
    for _ in range(3):
        texels.append(np.pad(level, ((0, 0), (1, 1), (1, 1))).reshape(len(pixels), -1))
        level = (level[:, ::2, ::2] + level[:, 1::2, ::2] + level[:, ::2, 1::2] + level[:, 1::2, 1::2]) / np.float32(4)
    return Atlas(np.concatenate(texels, axis=1), bounds(pixels > 0).astype(np.float32))


def bounds(masks: NDArray[np.bool_]) -> Ints:
    """The box of each mask [n, H, W] as [n, 4], XYXY with x1 and y1 exclusive. Masks must not be empty."""
    columns, rows = masks.any(axis=1), masks.any(axis=2)
    x1 = columns.shape[1] - columns[:, ::-1].argmax(axis=1)
    y1 = rows.shape[1] - rows[:, ::-1].argmax(axis=1)
    return np.stack([columns.argmax(axis=1), rows.argmax(axis=1), x1, y1], axis=1)


def draw_scenes(atlas: Atlas, digits: Ints, size: int, rng: np.random.Generator) -> Drawn:
    """One scene of side `size` for each of `digits` [B], indices into `atlas`; clutter comes from the same atlas."""
    count = len(digits)
    images, ground = _draw_ground(count, size, rng)
    for _ in range(_FRAGMENTS):
        _draw_fragment(images, ground, atlas, rng)
    pose, scales = _place_digits(atlas, digits, size, rng)
    ink = _ink(atlas, pose, np.zeros((2, count, 1, 1), np.int64), size)
    images += ink[:, None] * (_colours(ground, rng)[:, :, None, None] - images)
    for _ in range(_LINES):
        _draw_line(images, ground, rng)
    images += _uniform(rng, (count, 1, 1, 1), 0.02, 0.10) * _uniform(rng, (count, 1, size, size), -1, 1)
    masks = ink > ink.max(axis=(1, 2), keepdims=True) / 2
    return Drawn((images.clip(0, 1) * np.float32(255) + np.float32(0.5)).astype(np.uint8), masks, scales)


def _draw_ground(count: int, size: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Images float32 [B, 3, S, S] of a base colour, a gradient and soft blotches; and the base colours [B, 3]."""
    base = _uniform(rng, (count, 1), 0.25, 0.75) + _uniform(rng, (count, 3), -0.15, 0.15)
    slope_x, slope_y = _uniform(rng, (2, count, 3, 1, 1), -0.2, 0.2)
    along = (np.arange(size, dtype=np.float32) + np.float32(0.5)) / np.float32(size)
    blotches = _uniform(rng, (count, 3, 6, 6), -0.15, 0.15)
    blotches = _stretch(_stretch(blotches, size, axis=2), size, axis=3)
    centred = along - np.float32(0.5)
    return base[:, :, None, None] + slope_x * centred + slope_y * centred[:, None] + blotches, base


def _stretch(values: Floats, size: int, axis: int) -> Floats:
    """Linear interpolation along `axis` to `size` samples, first and last kept."""
    at = np.arange(size, dtype=np.float32) * np.float32(values.shape[axis] - 1) / np.float32(size - 1)
    left = np.minimum(at.astype(np.int64), values.shape[axis] - 2)
    weight = (at - left).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(values.ndim)])
    first = values.take(left, axis)
    return first + weight * (values.take(left + 1, axis) - first)


def _colours(ground: Floats, rng: np.random.Generator) -> Floats:
    """Colours [B, 3] lighter or darker than `ground`, by much or by little; the side with room where one has none."""
    contrast = _uniform(rng, (len(ground), 1), 0.25, 0.6)
    grey = (ground[:, :1] + ground[:, 1:2] + ground[:, 2:]) / np.float32(3)
    lighter = _uniform(rng, (len(ground), 1), 0, 1) < np.float32(0.5)
    lighter = np.where(grey + contrast > 1, False, np.where(grey - contrast < 0, True, lighter))
    return ground + np.where(lighter, contrast, -contrast) + _uniform(rng, ground.shape, -0.15, 0.15)


def _place_digits(atlas: Atlas, digits: Ints, size: int, rng: np.random.Generator) -> tuple[Pose, Floats]:
    """Digits wholly inside the image, their longer side log-uniform between 1/6 and 5/6 of its side."""
    count = len(digits)
    # 5 ** u, the log-uniform factor, as 25 ** (u / 2) would need a library power: four-fold squaring of a tabled root
    scales = np.float32(size) * _log_uniform(rng, count, 1 / 6, 5 / 6)
    cos, sin = _turn(_uniform(rng, (count,), -0.25, 0.25))
    x0, y0, x1, y1 = atlas.boxes[digits].T
    zoom = scales / np.maximum(x1 - x0, y1 - y0)
    half_width = zoom * ((x1 - x0) * cos + (y1 - y0) * np.abs(sin)) / np.float32(2)
    half_height = zoom * ((y1 - y0) * cos + (x1 - x0) * np.abs(sin)) / np.float32(2)
    return Pose(
        digit=digits,
        source_x=(x0 + x1) / np.float32(2),
        source_y=(y0 + y1) / np.float32(2),
        x=_between(half_width, size, rng),
        y=_between(half_height, size, rng),
        zoom=zoom,
        cos=cos,
        sin=sin,
    ), scales
