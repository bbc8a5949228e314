"""RoIAlign over a pyramid: the features of every box, from the map that suits its size.

Each bin of a box takes the mean of 2 x 2 samples, and each sample is bilinear in 4 positions of a map, so a bin is a
weighted sum of 16 positions. On CPUs it is computed as one: the maps of all levels become rows of one matrix, and
torch's `embedding_bag` sums rows by weight. The gradient is the same sum with rows and bins exchanged. The slow twin is
`pool_by_level`, on torchvision's operator; other devices, compilers and exporters take it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable
from torchvision.ops import roi_align

from dorsal.nn.plain import is_eager

OUTSIDE = -1e6
"""A place in pixels that no map reaches. RoIAlign gives 0 there."""


class RoiPool(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """RoIAlign (arXiv 1703.06870 section 3) as detectron2's ROIAlignV2: pixel i has its center at i + .5.

    - `strides`: those of the maps, fine to coarse, each twice the one before.
    - `size`: bins a side. `canonical`: the side in pixels of a square box that goes to the map of stride 16 (224 in
      arXiv 1612.03144). A box of half that side goes one level finer, and so on, within the maps that there are.
    - `samples`: sampling positions a bin and side; 0 is detectron2's default, as many as the bin has positions of the
      map, rounded up. Deviation: 2 by default here, since 0 makes the work depend on the data.
    """

    strides: tuple[int, ...]
    size: int
    canonical: float
    samples: int = 2

    def __call__(self, maps: Sequence[Tensor], boxes: Tensor) -> Tensor:
        """Maps [N, C, H, W] of the `strides`, and finite boxes [N, R, 4] in pixels of the image → pooled features
        [N x R, C, size, size] in the type of the boxes.

        Outside of a map is 0. A box without area samples a point or a line. Raises ValueError for another number of
        maps than of strides.
        """
        if len(maps) != len(self.strides):
            raise ValueError(f"pooling takes {len(self.strides)} maps, of strides {self.strides}, not {len(maps)}")
        maps = [x.to(boxes.dtype) for x in maps]
        if self.samples == 2 and boxes.is_cpu and is_eager(boxes) and all(map(is_eager, maps)):
            return pool_by_rows(self, maps, boxes)
        return pool_by_level(self, maps, boxes)

    def levels(self, boxes: Tensor) -> Tensor:
        """The place in `strides` of the map for each box [..., 4]: int64 [...]."""
        sides = boxes[..., 2:] - boxes[..., :2]
        exponent = torch.floor(4 + torch.log2(sides.prod(-1).sqrt() / self.canonical + 1e-8))
        finest = self.strides[0].bit_length() - 1
        return (exponent - finest).clamp(0, len(self.strides) - 1).long()


def pool_by_level(pool: RoiPool, maps: Sequence[Tensor], boxes: Tensor) -> Tensor:
    """The slow twin: `roi_align` of all boxes on every level, where boxes of other levels lie outside, which gives 0.
    So shapes do not depend on the data, and no box is picked out by index."""
    level = pool.levels(boxes)
    pooled = None
    for place, (x, stride) in enumerate(zip(maps, pool.strides, strict=True)):
        here = torch.where((level == place)[..., None], boxes, OUTSIDE)
        image = torch.arange(len(here), device=here.device, dtype=here.dtype).repeat_interleave(here.shape[1])
        rois = torch.cat((image[:, None], here.flatten(0, 1)), 1)
        part = roi_align(x, rois, pool.size, 1 / stride, pool.samples, aligned=True)
        pooled = part if pooled is None else pooled + part
    assert pooled is not None
    return pooled  # type: ignore[no-any-return]


def pool_by_rows(pool: RoiPool, maps: Sequence[Tensor], boxes: Tensor) -> Tensor:
    """The fast path, for CPUs and `samples` 2: bins as weighted bags of rows. The result is channels last."""
    rows = torch.cat([x.permute(0, 2, 3, 1).reshape(-1, x.shape[1]) for x in maps])
    with torch.no_grad():
        index, weight = _bags(pool, [tuple(x.shape[2:]) for x in maps], boxes)
    pooled: Tensor = _Bags.apply(rows, index, weight)
    count = boxes.shape[0] * boxes.shape[1]
    return pooled.view(count, pool.size, pool.size, rows.shape[1]).permute(0, 3, 1, 2)


class _Bags(torch.autograd.Function):
    """Sums of rows [R, C]: row numbers `index` [B, 16] and their `weight` [B, 16] → [B, C]."""

    @staticmethod
    def forward(ctx: FunctionCtx, *inputs: Any) -> Tensor:
        rows, index, weight = inputs
        ctx.save_for_backward(index, weight)
        ctx.row_count = len(rows)  # type: ignore[attr-defined]
        return F.embedding_bag(index, rows, per_sample_weights=weight, mode="sum")

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        index, weight = ctx.saved_tensors
        rows = index.flatten()
        short = ctx.row_count <= 2**15  # numbers of 16 bits take half the time to sort
        by_row = (rows.short() if short else rows).argsort(stable=True)
        starts = F.pad(torch.bincount(rows, minlength=ctx.row_count).cumsum(0), (1, 0))
        summed = F.embedding_bag(
            by_row // index.shape[1],
            gradients[0].contiguous(),
            starts,
            per_sample_weights=weight.flatten()[by_row],
            mode="sum",
            include_last_offset=True,
        )
        return summed, None, None


def _bags(pool: RoiPool, sizes: Sequence[tuple[int, ...]], boxes: Tensor) -> tuple[Tensor, Tensor]:
    """For every bin of every box: the rows that it takes, int32 [N x R x size², 16], and their weights.

    A row is a position (level, image, y, x), counted in this order.
    """
    images = len(boxes)
    level = pool.levels(boxes)
    heights, widths = torch.tensor(sizes, dtype=torch.int32).unbind(1)
    first_row = F.pad((images * heights * widths).cumsum(0, dtype=torch.int32)[:-1], (1, 0))
    height, width = heights[level], widths[level]
    start = first_row[level] + torch.arange(images, dtype=torch.int32)[:, None] * height * width
    corners = boxes / torch.tensor(pool.strides, dtype=boxes.dtype)[level][..., None] - 0.5
    x, x_weight = _taps(corners[..., 0], corners[..., 2], width, pool.size)
    y, y_weight = _taps(corners[..., 1], corners[..., 3], height, pool.size)
    rows = (start[..., None, None] + y * width[..., None, None])[..., :, None, :, None] + x[..., None, :, None, :]
    weight = y_weight[..., :, None, :, None] * x_weight[..., None, :, None, :]
    return rows.reshape(-1, 16), weight.reshape(-1, 16)


def _taps(low: Tensor, high: Tensor, length: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Along one axis of a map of `length` positions: the 4 positions that each of `size` bins between `low` and `high`
    takes, int32 [..., size, 4], and their weights, which sum to 1 inside of the map."""
    bin_length = ((high - low) / size)[..., None]
    starts = low[..., None] + torch.arange(size, dtype=low.dtype) * bin_length
    places = torch.stack((starts + 0.25 * bin_length, starts + 0.75 * bin_length), -1)
    last = (length - 1)[..., None, None].to(low.dtype)
    inside = (places >= -1) & (places <= last + 1)
    places = torch.minimum(places.clamp(min=0), last)
    below = places.floor()
    part = places - below
    weight = torch.stack((1 - part, part), -1) * (inside[..., None] / 2)
    above = torch.minimum(below + 1, last)
    return torch.stack((below, above), -1).int().flatten(-2), weight.flatten(-2)
