"""Which of many networks cannot exist, and why: `spec.check` over arrays.

Rules about single numbers (at least 1, strides of 1 or 2, …) are checked when a space is made. Here are the rules about
several numbers together. Tests compare them with the slow twin, which makes each network.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dorsal.space.table import Column, Mask, StageColumns, Table


def reasons(table: Table, rows: int, stages: int) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """The index of the first reason why each row cannot exist (-1: it can), and the reasons as text."""
    faults = _Faults(rows)
    network = StageColumns(table, 0)
    w_in = network.stem_widths()[-1]
    total_stride = network["stem.stride"] * (1 + network["stem.pool"])
    for stage in range(stages):
        columns = StageColumns(table, stage)
        here = columns["depths"] > 0
        _check_stage(faults, columns, here, w_in)
        total_stride = total_stride * np.where(here, columns["strides"], 1)
        w_in = np.where(here, columns["widths"], w_in)
    faults.note(network["image_size"] < total_stride, "the image is smaller than the total stride")
    faults.note(_over_64_bits(table), "its MACs may exceed a 64-bit number")
    return faults.first, tuple(faults.texts)


def _over_64_bits(table: Table) -> Mask:
    """Whether a generous upper bound exceeds 64 bits: layers x kernel area and branches x widest map squared x image
    area.
    """
    network = StageColumns(table, 0)
    expansion = table.get("expansion", np.ones((1, 1)))
    widest = np.max(table["widths"] / np.minimum(expansion, 1), axis=1)
    for leaf in ("in_channels", "classes", "head_width"):
        widest = np.maximum(widest, network[leaf])
    for width in network.stem_widths():
        widest = np.maximum(widest, width)
    layers = 8.0 + table["depths"].sum(axis=1)
    found: Mask = 2.0**10 * layers * widest**2 * network["image_size"].astype(float) ** 2 > 2.0**62
    return found


class _Faults:
    """The first fault of each network."""

    def __init__(self, rows: int) -> None:
        self.first = np.full(rows, -1, np.int64)
        self.texts: list[str] = []

    def note(self, wrong: Mask, text: str) -> None:
        if not wrong.any():
            return
        if text not in self.texts:
            self.texts.append(text)
        self.first = np.where((self.first < 0) & wrong, self.texts.index(text), self.first)

    def share(self, here: Mask, total: Column, parts: Column, text: str) -> None:
        """Notes the rows where `parts` does not divide `total` (`spec.block.exact_share`)."""
        self.note(here & ((total < parts) | (total % np.maximum(parts, 1) != 0)), text)


def _check_stage(faults: _Faults, columns: StageColumns, here: Mask, w_in: Column) -> None:
    depth, width = columns["depths"], columns["widths"]
    tree = here & columns.says("arrangement", "tree")
    faults.note(tree & ((depth < 2) | (depth & (depth - 1) != 0)), "a tree's depth is no power of two")
    basic = columns.says("block", "basic")
    expansion = columns["expansion"]
    whole = np.maximum(expansion, 1).astype(np.int64)
    faults.share(here & ~basic & (expansion >= 1), width, whole, "expansion does not divide width")
    planes = columns.planes(width)
    base = columns["mixer.width"]
    narrow = here & ~basic & (base > 0) & (planes * base < 64)
    faults.note(narrow, "mixer.width leaves no channel")
    inner = columns.inner_width(planes)
    _check_mixer(faults, columns, "mixer", here & ~basic, inner, inner)
    plain = here & basic
    if plain.any():
        faults.note(plain & columns.says("mixer", "multi_scale"), "multi_scale in a basic block")
        faults.note(plain & (base > 0), "mixer.width in a basic block")
        _check_mixer(faults, columns, "mixer", plain, w_in, width)
        _check_mixer(faults, columns, "mixer", plain, width, width)
    shrinks = here & columns.says("shortcut", "zero_pad") & (width < w_in)
    faults.note(shrinks, "shortcut=zero_pad where channels get fewer")


def _check_mixer(faults: _Faults, columns: StageColumns, path: str, here: Mask, w_in: Column, w_out: Column) -> None:
    if (conv := here & columns.says(path, "conv")).any():
        groups, fixed = columns[f"{path}.groups"], columns[f"{path}.group_width"]
        faults.share(conv & (fixed == 0), w_out, groups, "conv.groups does not divide the inner width")
        twice = conv & (fixed > 0) & ((groups != 1) | (columns[f"{path}.width"] > 0))
        faults.note(twice, "conv.group_width beside groups or width")
        faults.share(conv & (fixed > 0), w_out, fixed, "conv.group_width does not divide the inner width")
        groups = np.where(fixed > 0, np.maximum(w_out // np.maximum(fixed, 1), 1), groups)
        faults.share(conv, w_in, groups, "conv.groups do not divide the input width")
    if (multi := here & columns.says(path, "multi_scale")).any():
        scales = columns[f"{path}.scales"]
        aliased = columns[f"{path}.aliased"] > 0
        faults.note(multi & aliased & (scales < 3), "multi_scale.aliased with fewer than 3 scales")
        faults.share(multi, w_in, scales, "multi_scale.scales does not divide the inner width")
        faults.note(multi & (columns[f"{path}.inner.width"] > 0), "multi_scale.inner.width is set")
        share = w_in // scales
        _check_mixer(faults, columns, f"{path}.inner", multi, share, share)
    if (split := here & columns.says(path, "split_attention")).any():
        radix, cardinality = columns[f"{path}.radix"], columns[f"{path}.cardinality"]
        faults.share(split, w_in, radix * cardinality, "radix*cardinality does not divide the input width")
        faults.share(split, w_out, cardinality, "split_attention.cardinality does not divide the inner width")
        odd = split & (columns[f"{path}.deformable"] > 0) & (w_in % 2 != 0)
        faults.note(odd, "deformable split_attention of an odd width")
    if (kernel := here & columns.says(path, "selective_kernel")).any():
        paths, groups = columns[f"{path}.paths"], columns[f"{path}.groups"]
        divided = columns[f"{path}.split_input"] > 0
        faults.share(kernel & divided, w_in, paths, "selective_kernel.paths does not divide the input width")
        path_in = np.where(divided, w_in // paths, w_in)
        faults.share(kernel, path_in, groups, "selective_kernel.groups does not divide a path's input width")
        faults.share(kernel, w_out, groups, "selective_kernel.groups does not divide the inner width")
