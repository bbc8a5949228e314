"""Anchors: the boxes that every position of a map starts from."""

from __future__ import annotations

import math

import torch
from torch import Tensor

RATIOS = (0.5, 1.0, 2.0)
"""Height over width of the anchors at one position, in the order of the head's channels."""


def make_anchors(size: tuple[int, int], stride: int, anchor: float, device: torch.device | str = "cpu") -> Tensor:
    """The anchors of a map: boxes float32 [height x width x 3, 4], x0 y0 x1 y1 in pixels of the image.

    `size`: height and width of the map in positions. `anchor`: the side of the square anchor in units of the stride;
    the others have its area. Order: row, column, ratio. Centers are at multiples of the stride, and nothing is rounded:
    detectron2's anchors with offset 0 and one size a level.
    """
    side = anchor * stride
    halves = []
    for ratio in RATIOS:
        width = side / math.sqrt(ratio)
        halves.append((-width / 2, -width * ratio / 2, width / 2, width * ratio / 2))
    y, x = (torch.arange(0, count * stride, stride, dtype=torch.float32, device=device) for count in size)
    centers = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1] * 2, -1)
    return (centers[:, :, None] + torch.tensor(halves, device=device)).flatten(0, 2)
