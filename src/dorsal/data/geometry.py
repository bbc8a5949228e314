"""One affine map from an image file to what a network sees of it, for the image and all that is known about it.

All coordinates are continuous: pixel i reaches from i to i + 1, and its middle is at i + .5. So points, boxes, masks,
maps and images move alike, and mirroring is x -> width - x for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, radians, sin
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.v2.functional import resize as resize_image

from dorsal.spec.layers import Size

Floats = npt.NDArray[np.floating[Any]]
LabelMap = npt.NDArray[np.unsignedinteger[Any]]

_MOST_ENLARGED = 4.0
"""A whole image is resized before a part is cut out unless that makes it more than so many times as wide or high."""
_WHOLE = 1e-6
"""Coordinates this near to a whole number are one: what is left is rounding."""


class Affine(msgspec.Struct, frozen=True, eq=False):
    """x' = a x + b y + c and y' = d x + e y + f, from pixels of the file to pixels of the view.

    `matrix` is float64 [2, 3], ((a, b, c), (d, e, f)). Raises ValueError for another shape, a number that is not
    finite, or a map that makes the plane a line.
    """

    matrix: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.matrix.shape != (2, 3) or self.matrix.dtype != np.float64:
            raise ValueError(f"matrix is {self.matrix.dtype} {self.matrix.shape}; it must be float64 (2, 3)")
        if not np.isfinite(self.matrix).all():
            raise ValueError("matrix holds numbers that are not finite")
        if self.determinant == 0:
            raise ValueError("matrix has no inverse: it makes the plane a line or a point")

    @property
    def determinant(self) -> float:
        """The area of what a pixel of the file becomes; negative if the image is mirrored."""
        (a, b, _), (d, e, _) = self.matrix.tolist()
        return float(a * e - b * d)

    @property
    def is_straight(self) -> bool:
        """Whether rows stay rows and columns stay columns."""
        return bool(self.matrix[0, 1] == 0 and self.matrix[1, 0] == 0)

    def then(self, other: Affine) -> Affine:
        """This map, and `other` after it."""
        linear = other.matrix[:, :2] @ self.matrix[:, :2]
        shift = other.matrix[:, :2] @ self.matrix[:, 2] + other.matrix[:, 2]
        return Affine(np.column_stack([linear, shift]))

    def inverse(self) -> Affine:
        """The way back, from pixels of the view to pixels of the file."""
        linear = np.linalg.inv(self.matrix[:, :2])
        return Affine(np.column_stack([linear, -linear @ self.matrix[:, 2]]))


def resized(size: Size, to: Size) -> Affine:
    """The map that makes an image of `size` one of size `to`; both are (height, width)."""
    return Affine(np.array([[to[1] / size[1], 0, 0], [0, to[0] / size[0], 0]], dtype=np.float64))


def shifted(x: float, y: float) -> Affine:
    """The map that moves everything right by x and down by y. A crop from (left, top) is shifted(-left, -top)."""
    return Affine(np.array([[1, 0, x], [0, 1, y]], dtype=np.float64))


def mirrored(width: float) -> Affine:
    """The map that exchanges left and right in an image of this width."""
    return Affine(np.array([[-1, 0, width], [0, 1, 0]], dtype=np.float64))


def rotated(degrees: float, center: tuple[float, float]) -> Affine:
    """The map that turns everything clockwise, as one sees it, around `center` (x, y)."""
    c, s = cos(radians(degrees)), sin(radians(degrees))
    x, y = center
    return Affine(np.array([[c, -s, x - c * x + s * y], [s, c, y - s * x - c * y]], dtype=np.float64))


def map_points(points: Floats, affine: Affine) -> Floats:
    """Points x, y of the file [..., 2] → those of the view, of the same type."""
    linear, shift = affine.matrix[:, :2], affine.matrix[:, 2]
    return (points.astype(np.float64) @ linear.T + shift).astype(points.dtype)


def map_boxes(boxes: Floats, affine: Affine) -> Floats:
    """Boxes x0, y0, x1, y1 of the file [n, 4] → the smallest upright boxes around them in the view, not clipped."""
    corners = map_points(boxes.astype(np.float64)[:, [[0, 1], [2, 1], [2, 3], [0, 3]]], affine)
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1).astype(boxes.dtype)


def pairs_swapped(keypoints: Floats, pairs: Sequence[tuple[int, int]]) -> Floats:
    """Keypoints [n, K, …] with those of each pair exchanged. After mirroring, the left hand is in the place of the
    right one.
    """
    order = np.arange(keypoints.shape[1])
    for first, second in pairs:
        order[[first, second]] = second, first
    return keypoints[:, order]


def map_semantic(labels: LabelMap, affine: Affine, size: Size) -> LabelMap:
    """A map of labels of the file, uint8 or uint16 [H, W] → one of the view, of `size`.

    A pixel has the label that its middle lies on; outside the file it has none (255 or 65535). Raises ValueError for
    another type.
    """
    if labels.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"labels is {labels.dtype}; a map of labels is uint8, or uint16 for more than 255 classes")
    return _nearest(labels, affine, size, np.iinfo(labels.dtype).max)


def map_mask(mask: npt.NDArray[np.bool_], affine: Affine, size: Size) -> npt.NDArray[np.bool_]:
    """Masks of the file, bool [..., H, W] → those of the view [..., *size]. A pixel is in a mask if its middle is."""
    return _nearest(mask, affine, size, False)


def _nearest(values: npt.NDArray[Any], affine: Affine, size: Size, fill: int) -> npt.NDArray[Any]:
    back = affine.inverse().matrix
    x, y = np.arange(size[1]) + 0.5, np.arange(size[0])[:, None] + 0.5
    # Of a straight map these are a row and a column, else whole planes.
    columns, rows = (
        np.floor((a * x if a else 0.0) + (b * y if b else 0.0) + c).astype(np.int64) for a, b, c in back.tolist()
    )
    height, width = values.shape[-2:]
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    found = values[..., rows.clip(0, height - 1), columns.clip(0, width - 1)]
    return np.where(inside, found, values.dtype.type(fill))


def map_image(image: Tensor, affine: Affine, size: Size, fill: float = 0.0) -> Tensor:
    """An image of the file, uint8 or float [C, H, W] → the view [C, *size], of the same type. Outside the file it is
    `fill`. The view may share the image's memory.

    Cropping and mirroring by whole pixels are exact. Resizing is torchvision's, bilinear and antialiased, where whole
    pixels are cut: before it (a crop that is resized), or after it if the image becomes at most four times as wide and
    high (a crop of a resized image). Every other map takes bilinear samples, as OpenCV's warpAffine does. If it makes
    the image less than half as wide or high, the image is resized first.

    Raises ValueError for another type or shape.
    """
    if image.ndim != 3 or not (image.is_floating_point() or image.dtype == torch.uint8):
        raise ValueError(f"image is {image.dtype} {list(image.shape)}; it must be uint8 or float [C, H, W]")
    found = _straight(image, affine, size, fill) if affine.is_straight else None
    return _sampled(*_reduced(image, affine), size, fill) if found is None else found


def _straight(image: Tensor, affine: Affine, size: Size, fill: float) -> Tensor | None:
    """By crops and resizes of whole pixels; None where a fraction of a pixel is cut."""
    height, width = image.shape[-2:]
    (a, _, c), (_, e, f) = affine.matrix.tolist()
    if a < 0:
        image, a, c = image.flip(-1), -a, c + a * width
    if e < 0:
        image, e, f = image.flip(-2), -e, f + e * height
    region = _whole(-c / a, -f / e, (size[1] - c) / a, (size[0] - f) / e)
    # A region that reaches beyond the file could be of any size.
    if region and min(region) >= 0 and region[2] <= width and region[3] <= height:
        return _resize(_cropped(image, region, fill), size)
    smaller = _whole(-c, -f, a * width, e * height) if max(a, e) <= _MOST_ENLARGED else None
    if smaller is None or min(smaller[2:]) < 1:
        return None
    left, top, width, height = smaller
    return _cropped(_resize(image, (height, width)), (left, top, left + size[1], top + size[0]), fill)


def _reduced(image: Tensor, affine: Affine) -> tuple[Tensor, Affine]:
    """The image resized along the sides that the map makes less than half as long, and the map from there."""
    height, width = image.shape[-2:]
    across, down = np.hypot(*affine.matrix[:, :2]).tolist()
    size = (
        max(round(down * height), 1) if down < 0.5 else height,
        max(round(across * width), 1) if across < 0.5 else width,
    )
    return _resize(image, size), resized((height, width), size).inverse().then(affine)


def _whole(*values: float) -> tuple[int, ...] | None:
    near = tuple(round(value) for value in values)
    return near if all(abs(a - b) <= _WHOLE for a, b in zip(near, values, strict=True)) else None


def _resize(image: Tensor, size: Size) -> Tensor:
    return image if image.shape[-2:] == size else resize_image(image, list(size), antialias=True)


def _cropped(image: Tensor, region: tuple[int, ...], fill: float) -> Tensor:
    """The region x0, y0, x1, y1, which may reach beyond the image."""
    x0, y0, x1, y1 = region
    inner = image[..., max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)]
    if inner.shape[-2:] == (y1 - y0, x1 - x0):
        return inner
    found = image.new_full((*image.shape[:-2], y1 - y0, x1 - x0), fill)
    top, left = max(-y0, 0), max(-x0, 0)
    found[..., top : top + inner.shape[-2], left : left + inner.shape[-1]] = inner
    return found


def _sampled(image: Tensor, affine: Affine, size: Size, fill: float) -> Tensor:
    """Bilinear samples at the middles of the view's pixels; beyond the image its values fade to `fill` in a pixel."""
    height, width = image.shape[-2:]
    middles = np.stack(np.meshgrid(np.arange(size[1]) + 0.5, np.arange(size[0]) + 0.5), axis=-1)
    grid = 2 * map_points(middles, affine.inverse()) / (width, height) - 1
    values = image.to(torch.promote_types(image.dtype, torch.float32))
    places = torch.from_numpy(grid).to(values)[None]
    found = F.grid_sample(values[None] - fill, places, "bilinear", "zeros", align_corners=False)[0] + fill
    return found.to(image.dtype) if image.is_floating_point() else found.round().clamp(0, 255).to(image.dtype)
