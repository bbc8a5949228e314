"""Costs of many networks at once: exact integers, equal to `spec.cost` for each network.

The formulas are those of `spec.layers` and `spec.cost`, over arrays. A layer that a block does not have counts zero
times. Tests compare every built-in space and random ones with the slow twin.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dorsal.space.table import Column, Ints, Mask, StageColumns, Table, shrink
from dorsal.spec.arrangement import root_children
from dorsal.spec.cost import Cost

QUANTITIES = ("params", "macs", "bias_adds", "activations", "activations_pycls", "pycls_flops", "blocks", "layers")
"""What `costs` returns: the fields of `spec.cost.Cost`, the number of blocks, and that of convolutions and linear
layers.
"""


def costs(table: Table, rows: int, stages: int) -> dict[str, Column]:
    """Costs of one image with the side `image_size` of the table: one array of (rows,) for each quantity.

    Every row must be a network that can exist (`space.check.reasons`).
    """
    tally = _Tally(rows)
    network = StageColumns(table, 0)
    side = _stem(tally, network)
    w_in = network.stem_widths()[-1]
    for stage in range(stages):
        columns = StageColumns(table, stage)
        depth, width = columns["depths"], columns["widths"]
        here = np.minimum(depth, 1)
        small = shrink(side, columns["strides"])
        changed = (columns["strides"] > 1) | (w_in != width)
        _block(tally, columns, here, w_in, side, columns["strides"], "later" if stage else "first")
        _shortcut(tally, columns, here * changed, w_in, small)
        _tree(tally, columns, here, w_in, small)
        if np.any(depth > 1):
            _block(tally, columns, np.maximum(depth - 1, 0), width, small, np.ones(1, np.int64), None)
        tally.blocks += depth
        side, w_in = np.where(here, small, side), np.where(here, width, w_in)
    _head(tally, network, w_in, side)
    return tally.totals()


def cost_of(values: Mapping[str, Any]) -> Cost:
    """The cost of one network from its entries in `costs`, equal to `spec.cost.cost`."""
    return Cost(**{field: int(values[field]) for field in Cost.__struct_fields__})


class _Tally:
    """Running totals, one entry for each network."""

    params: Column
    macs: Column
    bias_adds: Column
    activations: Column
    activations_pycls: Column
    blocks: Column
    layers: Column

    def __init__(self, rows: int) -> None:
        self.params, self.macs, self.bias_adds, self.activations, self.activations_pycls = np.zeros((5, rows), np.int64)
        self.blocks, self.layers = np.zeros((2, rows), np.int64)

    def totals(self) -> dict[str, Column]:
        found = {name: getattr(self, name) for name in QUANTITIES if name != "pycls_flops"}
        return {**found, "pycls_flops": self.macs + self.bias_adds}

    def conv(
        self,
        times: Column,
        w_in: Column,
        w_out: Column,
        area: Column | int,
        kernel: int = 1,
        groups: Column | int = 1,
        bias: bool = False,
        linear: bool = False,
    ) -> None:
        """Counts `times` convolutions, or linear layers, with `area` output positions each."""
        fan_in: Column = kernel * kernel * w_in // groups
        outputs: Column = times * (w_out * area)
        self.params += times * (fan_in + bias) * w_out
        self.macs += fan_in * outputs
        self.activations_pycls += outputs
        self.layers += times
        if bias:
            self.bias_adds += outputs
        if not linear:
            self.activations += outputs

    def norm(self, times: Column, width: Column) -> None:
        self.params += 2 * times * width

    def conv_norm(
        self,
        times: Column,
        w_in: Column,
        w_out: Column,
        area: Column | int,
        kernel: int = 1,
        groups: Column | int = 1,
    ) -> None:
        self.conv(times, w_in, w_out, area, kernel, groups)
        self.norm(times, w_out)

    def pool(self, times: Column, width: Column, side: Column) -> None:
        self.activations_pycls += times * width * side * side


def _stem(tally: _Tally, network: StageColumns) -> Column:
    """Counts the stem. Returns the side of its output."""
    start = network["image_size"]
    widths = network.stem_widths()
    for word, count in (("conv7x7", 1), ("simple", 1), ("deep", 3), ("dla", 3)):
        times = network.says("stem", word).astype(np.int64)
        if not times.any():
            continue
        side, w_in = start, network["in_channels"]
        for index, w_out in enumerate(widths[:count]):
            kernel = 7 if index == 0 and word in ("conv7x7", "dla") else 3
            if index == (count - 1 if word == "dla" else 0):
                side = shrink(side, network["stem.stride"])
            tally.conv_norm(times, w_in, w_out, side * side, kernel)
            w_in = w_out
    side = shrink(start, network["stem.stride"])
    pooled = shrink(side, 2)
    tally.pool(network["stem.pool"], widths[-1], pooled)
    return np.where(network["stem.pool"], pooled, side)


def _block(
    tally: _Tally, columns: StageColumns, times: Column, w_in: Column, side: Column, stride: Column, first: str | None
) -> None:
    """Counts blocks without their shortcuts. `first`: "first" or "later" if they open the first or a later stage, else
    None.
    """
    width, basic = columns["widths"], columns.says("block", "basic")
    planes = columns.planes(width)
    inner = np.where(basic, width, columns.inner_width(planes))
    small = shrink(side, stride)
    area = small * small
    chain, plain = times * ~basic, times * basic
    mixer_in, mixer_side, mixer_stride = np.where(basic, w_in, inner), side, stride
    if np.any(chain):
        tally.conv_norm(chain, w_in, inner, side * side)
        pooled = ~basic & ~columns.says("downsample", "mixer") & ((stride > 1) | (first == "later"))
        tally.pool(times * pooled, inner, small)
        mixer_side = np.where(pooled & columns.says("downsample", "pool_before"), small, side)
        mixer_stride = np.where(pooled, 1, stride)
        tally.conv_norm(chain, inner, width, area)
    if np.any(plain):
        tally.conv_norm(plain, width, width, area, 3)
    _mixer(tally, columns, "mixer", times, mixer_in, inner, mixer_side, mixer_stride, first is not None)
    _squeeze_excite(tally, columns, times, inner, w_in)


def _mixer(
    tally: _Tally,
    columns: StageColumns,
    path: str,
    times: Column,
    w_in: Column,
    w_out: Column,
    side: Column,
    stride: Column,
    first: bool,
) -> None:
    """Counts the mixers at `path`, of all kinds."""
    small = shrink(side, stride)
    area = small * small

    def only(word: str) -> Column | None:
        found = times * columns.says(path, word)
        return found if found.any() else None

    if (here := only("conv")) is not None:
        fixed = columns[f"{path}.group_width"]
        groups = np.where(fixed > 0, np.maximum(w_out // np.maximum(fixed, 1), 1), columns[f"{path}.groups"])
        tally.conv_norm(here, w_in, w_out, area, 3, groups)
        _offsets(tally, here * columns[f"{path}.deformable"], w_in, area, 1)
    if (here := only("multi_scale")) is not None:
        scales = columns[f"{path}.scales"]
        share = w_in // scales
        inner_times = here * np.maximum(scales - 1, 1)
        _mixer(tally, columns, f"{path}.inner", inner_times, share, share, side, stride, first)
        if first:
            tally.pool(here * (scales > 1), share, small)
    if (here := only("split_attention")) is not None:
        radix, cardinality = columns[f"{path}.radix"], columns[f"{path}.cardinality"]
        tally.conv_norm(here, w_in, w_out * radix, area, 3, radix * cardinality)
        _offsets(tally, here * columns[f"{path}.deformable"], w_in, area, 2)
        hidden = -(-np.maximum(w_in * radix // 4, 32) // cardinality) * cardinality
        tally.conv(here, w_out, hidden, 1, groups=cardinality, bias=True)
        tally.norm(here, hidden)
        tally.conv(here, hidden, w_out * radix, 1, groups=cardinality, bias=True)
    if (here := only("selective_kernel")) is not None:
        paths = columns[f"{path}.paths"]
        path_in = np.where(columns[f"{path}.split_input"], w_in // paths, w_in)
        tally.conv_norm(here * paths, path_in, w_out, area, 3, columns[f"{path}.groups"])
        hidden = _multiple(w_out * columns[f"{path}.ratio"], columns[f"{path}.divisor"])
        tally.conv(here, w_out, hidden, 1)
        tally.norm(here, hidden)
        tally.conv(here, hidden, w_out * paths, 1)


def _offsets(tally: _Tally, times: Column, w_in: Column, area: Column, offset_groups: int) -> None:
    """Counts the convolutions that predict offsets and masks of deformable convolutions."""
    if np.any(times):
        width = np.array([27 * offset_groups])
        tally.conv(times, w_in, width, area, 3, offset_groups, bias=True)


def _multiple(value: Column, divisor: Column) -> Ints:
    """The nearest multiple, half up, never below 90 % of the value (`spec.layers._multiple`)."""
    rounded = np.maximum(divisor, (value + divisor / 2).astype(np.int64) // divisor * divisor)
    return np.where(rounded < 0.9 * value, rounded + divisor, rounded)


def _squeeze_excite(tally: _Tally, columns: StageColumns, times: Column, inner: Column, block_input: Column) -> None:
    here = times * columns.says("attention", "squeeze_excite")
    if not here.any():
        return
    width = np.where(columns.says("attention.position", "after_mixer"), inner, columns["widths"])
    reference = np.where(columns.says("attention.reference", "width"), width, block_input)
    hidden = np.maximum(1, np.rint(columns["attention.ratio"] * reference)).astype(np.int64)
    tally.conv(here, width, hidden, 1, bias=True)
    tally.conv(here, hidden, width, 1, bias=True)


def _shortcut(tally: _Tally, columns: StageColumns, times: Column, w_in: Column, small: Column) -> None:
    """Counts the shortcuts of blocks that change the shape. Their outputs have side `small`."""
    if not np.any(times):
        return
    width, strided = columns["widths"], columns["strides"] > 1
    average, maximum = columns.says("shortcut", "average_pool"), columns.says("shortcut", "max_pool")
    tally.pool(times * strided * (average | maximum), w_in, small)
    layered: Mask = columns.says("shortcut", "strided_conv") | average | (maximum & (w_in != width))
    tally.conv_norm(times * layered, w_in, width, small * small)


def _tree(tally: _Tally, columns: StageColumns, here: Column, w_in: Column, small: Column) -> None:
    """Counts the roots of trees and the pools of their inputs."""
    trees = here * columns.says("arrangement", "tree")
    if not trees.any():
        return
    width, keeps = columns["widths"], columns["arrangement.keep_input"]
    tally.pool(trees * keeps * (columns["strides"] > 1), w_in, small)
    depths = columns["depths"] * trees
    for depth in np.unique(depths[depths > 0]):
        roots = root_children(int(depth), keep_input=False)
        for index, children in enumerate(roots):
            taken = (2 + len(children)) * width + (index == len(roots) - 1) * keeps * w_in
            tally.conv_norm((depths == depth).astype(np.int64), taken, width, small * small)


def _head(tally: _Tally, network: StageColumns, w_in: Column, side: Column) -> None:
    wide = np.minimum(network["head_width"], 1)
    tally.conv_norm(wide, w_in, network["head_width"], side * side)
    width = np.where(wide, network["head_width"], w_in)
    classes = network["classes"]
    tally.conv(np.minimum(classes, 1), width, classes, 1, bias=True, linear=True)
