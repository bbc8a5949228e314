"""RoIAlign over a pyramid: the features of every box, from the map that suits its size.

Each bin of a box takes the mean of 2 x 2 samples, and each sample is bilinear in 4 positions of a map, so a bin is a
weighted sum of 16 positions, or of 9 where two samples are at most one position apart. On CPUs it is computed as one:
the maps of all levels become rows of one matrix, and torch's `embedding_bag` sums rows by weight. The gradient is the
same sum with rows and bins exchanged. The slow twin is `pool_by_level`, on torchvision's operator; other devices,
compilers and exporters take it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
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

PART = 2**21
"""So many pooled values for each thread are made at a time for a head without gradient: 8 MiB."""


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

    def __call__(self, maps: Sequence[Tensor], boxes: Tensor, rows: Tensor | None = None) -> Tensor:
        """Maps [N, C, H, W] of the `strides`, and finite boxes [N, R, 4] in pixels of the image → pooled features
        [N x R, C, size, size] in the type of the boxes; or those of the boxes `rows` int64 [B], counted through all
        images: [B, C, size, size].

        Outside of a map is 0. A box without area samples a point or a line. Raises ValueError for another number of
        maps than of strides.
        """
        (pooled,) = self._in_parts(maps, boxes, rows, math.inf)
        return pooled

    def parts(self, maps: Sequence[Tensor], boxes: Tensor, rows: Tensor | None = None) -> Iterator[Tensor]:
        """The same one part of the boxes after another, at least one, for heads without gradient. Features of many
        boxes take much memory, and on a CPU those of few are still in its cache when the head reads them. Where
        `roi_align` is called there is one part."""
        return self._in_parts(maps, boxes, rows, PART * torch.get_num_threads())

    def _in_parts(self, maps: Sequence[Tensor], boxes: Tensor, rows: Tensor | None, values: float) -> Iterator[Tensor]:
        if len(maps) != len(self.strides):
            raise ValueError(f"pooling takes {len(self.strides)} maps, of strides {self.strides}, not {len(maps)}")
        maps = [x.to(boxes.dtype) for x in maps]
        image = torch.arange(boxes.shape[0], device=boxes.device).repeat_interleave(boxes.shape[1])
        boxes = boxes.flatten(0, 1)
        if rows is not None:
            image, boxes = image[rows], boxes[rows]
        if self.samples == 2 and boxes.is_cpu and is_eager(boxes) and all(map(is_eager, maps)):
            table = torch.cat([x.permute(0, 2, 3, 1).reshape(-1, x.shape[1]) for x in maps])
            shapes = torch.tensor([x.shape for x in maps], dtype=torch.int32)
            number = int(min(max(values / (table.shape[1] * self.size**2), 1), max(len(boxes), 1)))
            for each in zip(torch.split(image, number), torch.split(boxes, number), strict=True):
                yield pool_by_rows(self, table, shapes, *each)
        else:
            yield pool_by_level(self, maps, image, boxes)

    def levels(self, boxes: Tensor) -> Tensor:
        """The place in `strides` of the map for each box [..., 4]: int64 [...]."""
        sides = boxes[..., 2:] - boxes[..., :2]
        exponent = torch.floor(4 + torch.log2(sides.prod(-1).sqrt() / self.canonical + 1e-8))
        finest = self.strides[0].bit_length() - 1
        return (exponent - finest).clamp(0, len(self.strides) - 1).long()


def rows_needed(real: Tensor) -> Tensor | None:
    """The numbers, counted through all images, of those boxes that are `real` bool [N, R], for `RoiPool`: on CPUs a
    head need not see the others. None elsewhere, where shapes that depend on the data cost more than they save, or
    cannot be."""
    return real.flatten().nonzero().squeeze(1) if real.is_cpu and is_eager(real) else None


def pool_by_level(pool: RoiPool, maps: Sequence[Tensor], image: Tensor, boxes: Tensor) -> Tensor:
    """The slow twin: `roi_align` of all boxes [B, 4] of images `image` int64 [B] on every level, where boxes of other
    levels lie outside, which gives 0. So shapes do not depend on the data."""
    level = pool.levels(boxes)
    pooled = None
    for place, (x, stride) in enumerate(zip(maps, pool.strides, strict=True)):
        here = torch.where((level == place)[:, None], boxes, OUTSIDE)
        rois = torch.cat((image[:, None].to(here.dtype), here), 1)
        part = roi_align(x, rois, pool.size, 1 / stride, pool.samples, aligned=True)
        pooled = part if pooled is None else pooled + part
    assert pooled is not None
    return pooled  # type: ignore[no-any-return]


def pool_by_rows(pool: RoiPool, table: Tensor, shapes: Tensor, image: Tensor, boxes: Tensor) -> Tensor:
    """The fast path, for CPUs and `samples` 2: bins as weighted bags of rows. The result is channels last.

    `table` [R, C] has a row for each position of the maps (level, image, y, x), counted in this order; `shapes` int32
    [levels, 4] are those of the maps.
    """
    with torch.no_grad():
        level = pool.levels(boxes)
        places = boxes / torch.tensor(pool.strides, dtype=boxes.dtype)[level][:, None] - 0.5
        is_long = ((places[:, 2:] - places[:, :2]).amax(1) > 2 * pool.size).nonzero().squeeze(1)
        bags = _bags(pool.size, shapes, image, level, places, 3)
    pooled: Tensor = _Bags.apply(table, *bags)
    if len(is_long):
        with torch.no_grad():
            bags = _bags(pool.size, shapes, image[is_long], level[is_long], places[is_long], 4)
            bins = (is_long[:, None] * pool.size**2 + torch.arange(pool.size**2)).flatten()
        pooled.index_copy_(0, bins, _Bags.apply(table, *bags))
    return pooled.view(len(boxes), pool.size, pool.size, table.shape[1]).permute(0, 3, 1, 2)


class _Bags(torch.autograd.Function):
    """Sums of rows [R, C]: row numbers `index` [B, T] and their `weight` [B, T] → [B, C]."""

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


def _bags(size: int, shapes: Tensor, image: Tensor, level: Tensor, places: Tensor, taps: int) -> tuple[Tensor, Tensor]:
    """For every bin of every box: the rows that it takes, int32 [B x size², taps²], and their weights.

    `image` and `level` int64 [B] say in which map the boxes are, `places` [B, 4] are their corners in its positions.
    """
    images, _, heights, widths = shapes.unbind(1)
    first_row = F.pad((images * heights * widths).cumsum(0, dtype=torch.int32)[:-1], (1, 0))
    height, width = heights[level], widths[level]
    start = first_row[level] + image.int() * height * width
    x, x_weight = _taps(places[:, 0], places[:, 2], width, size, taps)
    y, y_weight = _taps(places[:, 1], places[:, 3], height, size, taps)
    row_start = start[:, None, None] + y * width[:, None, None]
    # All pairs of taps, with the longest dimension last: torch adds and multiplies along it.
    row_start, y_weight = (each.repeat_interleave(taps, -1)[:, :, None] for each in (row_start, y_weight))
    x, x_weight = (each.repeat(1, 1, taps)[:, None] for each in (x, x_weight))
    return (row_start + x).view(-1, taps**2), (y_weight * x_weight).view(-1, taps**2)


def _taps(low: Tensor, high: Tensor, length: Tensor, size: int, taps: int) -> tuple[Tensor, Tensor]:
    """Along one axis of maps of `length` [B] positions: the positions that each of `size` bins between `low` and `high`
    [B] takes, int32 [B, size, taps], and their weights, which sum to 1 inside of the map.

    With 4 `taps` they are two for each sample, with 3 those from the first sample on, which is all that there are if
    the second is at most one position away.
    """
    bin_length = ((high - low) / size)[:, None]
    starts = low[:, None] + torch.arange(size, dtype=low.dtype) * bin_length
    samples = torch.stack((starts + 0.25 * bin_length, starts + 0.75 * bin_length), -1)
    last = (length - 1)[:, None, None].to(low.dtype)
    inside = (samples >= -1) & (samples <= last + 1)
    samples = torch.minimum(samples.clamp(min=0), last)
    below = samples.floor()
    if taps == 3:
        taken = below[..., :1] + torch.arange(3, dtype=low.dtype)
        near = (1 - (samples[..., None] - taken[..., None, :]).abs()).clamp(min=0)
        weight = (near * (inside[..., None] / 2)).sum(-2)
        return torch.minimum(taken, last).int(), weight
    part = samples - below
    weight = torch.stack((1 - part, part), -1) * (inside[..., None] / 2)
    above = torch.minimum(below + 1, last)
    return torch.stack((below, above), -1).int().flatten(-2), weight.flatten(-2)
