"""Boxes: their changes as numbers to learn, their overlap, their place in the image.

A box is x0 y0 x1 y1 in pixels, its corners real numbers: its width is x1 - x0, and an image W wide spans 0 to W. Sets
of boxes have a fixed size; which boxes count is said beside them.
"""

from __future__ import annotations

import math

import msgspec
import torch
from torch import Tensor

LARGEST_GROWTH = math.log(1000 / 16)
"""The largest logarithm by which decoding lets a side grow (detectron2: from 16 to 1000 pixels)."""


class Coder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Writes a change of a box as dx dy dw dh, and applies it (arXiv 1311.2524 appendix C, with detectron2's limits).

    dx and dy are the way of the center in widths and heights of the box, dw and dh the logarithms of the growth of the
    sides; each is multiplied by its weight.
    """

    weights: tuple[float, float, float, float]

    def encode(self, boxes: Tensor, targets: Tensor) -> Tensor:
        """What changes `boxes` [..., 4] to `targets` [..., 4]; not finite where a box or a target has no area."""
        x, y, width, height = _center_form(boxes)
        to_x, to_y, to_width, to_height = _center_form(targets)
        dx, dy, dw, dh = self.weights
        return torch.stack(
            (
                dx * (to_x - x) / width,
                dy * (to_y - y) / height,
                dw * torch.log(to_width / width),
                dh * torch.log(to_height / height),
            ),
            -1,
        )

    def decode(self, boxes: Tensor, deltas: Tensor) -> Tensor:
        """`boxes` [..., 4] after the changes `deltas` [..., 4]; the two broadcast.

        A side grows by at most `LARGEST_GROWTH`; there is no limit to shrinking.
        """
        x, y, width, height = _center_form(boxes)
        dx, dy, dw, dh = (delta / weight for delta, weight in zip(deltas.unbind(-1), self.weights, strict=True))
        x, y = x + dx * width, y + dy * height
        half_width = width * torch.exp(dw.clamp(max=LARGEST_GROWTH)) / 2
        half_height = height * torch.exp(dh.clamp(max=LARGEST_GROWTH)) / 2
        return torch.stack((x - half_width, y - half_height, x + half_width, y + half_height), -1)


def area(boxes: Tensor) -> Tensor:
    """Areas [...] of boxes [..., 4] in square pixels."""
    x0, y0, x1, y1 = boxes.unbind(-1)
    return (x1 - x0) * (y1 - y0)


def iou(boxes: Tensor, others: Tensor) -> Tensor:
    """Intersection over union of every two boxes: [..., A, 4] and [..., B, 4] → [..., A, B]. Without overlap it is 0,
    also of boxes without area."""
    first, second = boxes.unsqueeze(-2), others.unsqueeze(-3)
    sides = torch.minimum(first[..., 2:], second[..., 2:]) - torch.maximum(first[..., :2], second[..., :2])
    common = sides.clamp(min=0).prod(-1)
    union = area(first) + area(second) - common
    return torch.where(common > 0, common / union, torch.zeros_like(common))


def clip(boxes: Tensor, sizes: Tensor) -> Tensor:
    """Boxes [N, ..., 4] with every corner moved into its image; `sizes` [N, 2] are heights and widths in pixels."""
    limits = sizes.to(boxes.dtype).flip(-1).repeat(1, 2)  # width height width height
    limits = limits.view(sizes.shape[0], *[1] * (boxes.ndim - 2), 4)
    return torch.minimum(boxes.clamp(min=0), limits)


def has_area(boxes: Tensor) -> Tensor:
    """Which boxes [..., 4] are finite, wider than 0 and higher than 0: bool [...]."""
    sides = boxes[..., 2:] - boxes[..., :2]
    return torch.isfinite(boxes).all(-1) & (sides > 0).all(-1)


def pick(boxes: Tensor, place: Tensor) -> Tensor:
    """The boxes at these places of their image: [N, B, 4] and int64 [N, S] → [N, S, 4]."""
    return boxes.gather(1, place[..., None].expand(-1, -1, boxes.shape[-1]))


def _center_form(boxes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Center x, center y, width, height."""
    x0, y0, x1, y1 = boxes.unbind(-1)
    width, height = x1 - x0, y1 - y0
    return x0 + width / 2, y0 + height / 2, width, height
