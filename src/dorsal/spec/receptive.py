"""Receptive fields: how many pixels of the image, along one side, a network sees on each of its paths. No torch.

A path is one way from the image to a level's map. Wherever values are summed or concatenated, it takes one of them. So
it goes through a block or around it by the shortcut. It enters a cascade in one group and leaves it in the same or a
later one. It takes one path of a selective kernel, and one child of a tree's root. In every layer its size grows by
(kernel - 1) * dilation * input pixels per position of the layer's input. The sizes of all paths form a polynomial:
layers in sequence multiply, alternatives add. For n basic blocks the numbers of paths are the binomial coefficients
(arXiv 1605.06431). A cascade multiplies them inside the block too (arXiv 1904.01169 section 3.1, "combinatorial
explosion").

Every path counts once, whatever its channels and weights. The channels of one layer are one path: neither the groups of
a grouped convolution nor the splits of a split attention are distinguished. Attention and group norm pool the whole
map, so strictly everything reaches everything. They only weigh what the paths bring, and are left out.

The largest size is the receptive field in the usual sense, the extent of all paths together (Araujo et al. 2019, doi
10.23915/distill.00021): in this grammar the window of the longest path contains all others. It bounds what a network
can see. The *effective* receptive field is smaller (arXiv 1701.04128).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import accumulate, pairwise
from typing import NamedTuple, assert_never

import msgspec

from dorsal.spec.arrangement import STAGE_INPUT, Tree, root_children
from dorsal.spec.block import Bottleneck, Conv, IdentityOnly, Mixer, MultiScale, SelectiveKernel, SplitAttention
from dorsal.spec.layers import Layer, block_name, features, plan
from dorsal.spec.network import Network
from dorsal.spec.stage import Stage
from dorsal.spec.stem import stem_widths

Records = Mapping[str, Layer]
Paths = Counter[int]
"""Number of paths, by what they add to the size."""

STRAIGHT = Paths({0: 1})


class LevelField(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Receptive-field sizes at one level of the pyramid, over all paths to it.

    - `stride`, `sizes`: in input pixels along one side. `sizes` are in rising order.
    - `paths`: the exact number of paths of each size.
    - `at_least`: True if a deformable convolution comes before. It may reach anywhere but counts as a plain one, so the
      sizes are lower bounds.
    """

    name: str
    stride: int
    sizes: tuple[int, ...]
    paths: tuple[int, ...]
    at_least: bool

    @property
    def total(self) -> int:
        """The number of paths."""
        return sum(self.paths)

    @property
    def shares(self) -> tuple[float, ...]:
        """The share of paths of each size."""
        total = self.total
        return tuple(count / total for count in self.paths)

    @property
    def smallest(self) -> int:
        """The size of the shortest path, in pixels."""
        return self.sizes[0]

    @property
    def largest(self) -> int:
        """The size of the longest path, in pixels: the receptive field of the level."""
        return self.sizes[-1]

    @property
    def mean(self) -> float:
        """The mean size over the paths, in pixels."""
        return sum(size * count for size, count in zip(self.sizes, self.paths, strict=True)) / self.total

    @property
    def deviation(self) -> float:
        """The standard deviation of the size over the paths, in pixels."""
        squares = sum(size**2 * count for size, count in zip(self.sizes, self.paths, strict=True))
        first = sum(size * count for size, count in zip(self.sizes, self.paths, strict=True))
        # Whole numbers until the last step, since the difference of two large floats would lose the digits that matter.
        return math.sqrt((squares * self.total - first**2) / self.total**2)

    def quantile(self, share: float) -> int:
        """The smallest size, in pixels, that at least `share` of the paths do not exceed.

        Raises ValueError for a share outside [0, 1].
        """
        if not 0 <= share <= 1:
            raise ValueError(f"share={share} must be from 0 to 1; nearest valid: {min(max(share, 0), 1)}")
        needed = Fraction(str(share)) * self.total  # the decimal: 0.05 is one in twenty
        reached = zip(self.sizes, accumulate(self.paths), strict=True)
        return next(size for size, count in reached if count >= needed)

    def share_above(self, size: int) -> float:
        """The share of paths that see more than `size` pixels along a side."""
        return sum(count for each, count in zip(self.sizes, self.paths, strict=True) if each > size) / self.total


class Map(NamedTuple):
    """The paths to a map: those `shared` by all its channels, and those to each of its concatenated `groups`, if any.

    A cascade inside a cascade splits what another one concatenated. Nothing mixes the groups in between.
    """

    shared: Paths
    groups: tuple[Map, ...] = ()

    def whole(self) -> Paths:
        """The paths to any of the channels. A convolution of all channels continues them."""
        return sum((group.whole() for group in self.groups), self.shared)

    def group(self, index: int) -> Map:
        """The paths to one group of the channels."""
        return Map(self.shared).plus(self.groups[index]) if self.groups else self

    def plus(self, other: Map) -> Map:
        """The paths to the sum with another map, which has equally many groups or none."""
        both = self.groups and other.groups
        groups = tuple(map(Map.plus, self.groups, other.groups)) if both else self.groups or other.groups
        return Map(self.shared + other.shared, groups)


def receptive_fields(network: Network) -> tuple[LevelField, ...]:
    """The distribution of receptive-field sizes at each level of `features`: the stem before its pool, then each stage.

    The image is assumed to be larger than every window.
    """
    parts = {
        name: {layer.name: layer for layer in part.layers}
        for part in plan(network, network.total_stride)
        for name in part.names
    }
    levels = features(network)
    stem = parts["stem"]
    paths, jump = Paths({1: 1}), 1
    for index in range(len(stem_widths(network.stem))):
        paths = _after(paths, Paths({_reach(stem, f"convs.{index}.conv"): 1}), jump)
        jump *= stem[f"convs.{index}.conv"].stride
    found = [_level(levels[0].name, jump, paths, False)]
    paths = _after(paths, Paths({_reach(stem, "pool"): 1}), jump)
    jump *= 2 if network.stem.pool else 1
    width, at_least = levels[0].channels, False
    for index, (stage, level) in enumerate(zip(network.stages, levels[1:], strict=True)):
        paths = _after(paths, _stage(index, stage, width, parts), jump)
        jump, width = level.stride, stage.width
        first = parts[block_name(index, stage, 0)]
        at_least = at_least or any(layer.kind == "deform_conv" for layer in first.values())
        found.append(_level(level.name, jump, paths, at_least))
    return tuple(found)


def _level(name: str, stride: int, paths: Paths, at_least: bool) -> LevelField:
    sizes = tuple(sorted(paths))
    return LevelField(name, stride, sizes, tuple(paths[size] for size in sizes), at_least)


def _after(paths: Paths, more: Paths, jump: int = 1) -> Paths:
    """`paths` continued by `more`, whose unit is `jump` units of `paths`: the product of two polynomials."""
    product: dict[int, int] = {}
    for size, count in paths.items():
        for growth, ways in more.items():
            longer = size + growth * jump
            product[longer] = product.get(longer, 0) + count * ways
    return Paths(product)


def _reach(records: Records, name: str) -> int:
    """What a layer adds to the size, in positions of its input. 0 if there is no such layer."""
    layer = records.get(name)
    return (layer.kernel - 1) * layer.dilation if layer else 0


def _stage(index: int, stage: Stage, width: int, parts: Mapping[str, Records]) -> Paths:
    """What a stage adds to the size, in positions of its input of `width` channels."""
    first = _block(stage, width, stage.stride, parts[block_name(index, stage, 0)])
    if stage.depth == 1:
        return first
    later = _block(stage, stage.width, 1, parts[block_name(index, stage, 1)])
    if isinstance(stage.arrangement, Tree):
        return _tree(stage, stage.arrangement, first, later, parts[f"stages.{index}"])
    rest = STRAIGHT
    for _ in range(stage.depth - 1):
        rest = _after(rest, later)
    return _after(first, rest, stage.stride)


def _tree(stage: Stage, tree: Tree, first: Paths, later: Paths, records: Records) -> Paths:
    """What a tree adds. Each root joins the outputs of its two blocks, earlier roots and perhaps the pooled stage
    input.
    """
    entered = Paths({_reach(records, "input_pool"): 1})
    ends: list[Paths] = []
    for children in root_children(stage.depth, tree.keep_input):
        left = _after(ends[-1], later, stage.stride) if ends else first
        right = _after(left, later, stage.stride)
        kept = (entered if child == STAGE_INPUT else ends[child] for child in children)
        ends.append(sum(kept, left + right))
    return ends[-1]


def _block(stage: Stage, width: int, stride: int, records: Records) -> Paths:
    """What one block adds, in positions of its input of `width` channels: by its residual branch, and by its
    shortcut.
    """
    block = stage.block
    pool = Paths({_reach(records, "pool"): 1})
    mixer = _mixed(block.mixer, "mixer", records, Map(STRAIGHT)).whole()
    if isinstance(block, Bottleneck) and block.downsample == "pool_before":
        branch = _after(pool, mixer, stride)
    else:
        branch = _after(mixer, pool)
    branch = _after(branch, Paths({_reach(records, "expand.conv"): 1}), stride)
    if isinstance(block.shortcut, IdentityOnly) and (stride > 1 or width != stage.width):
        return branch
    return branch + Paths({_reach(records, "shortcut.pool"): 1})


def _mixed(mixer: Mixer, name: str, records: Records, entering: Map) -> Map:
    """The map that a mixer makes of a map. Sizes are in positions of the mixer's input."""
    match mixer:
        case MultiScale():
            return _cascaded(mixer, name, records, entering)
        case SelectiveKernel():
            growth = Paths(_reach(records, f"{name}.paths.{index}.conv") for index in range(mixer.paths))
        case Conv() | SplitAttention():
            growth = Paths({_reach(records, f"{name}.conv"): 1})
        case _:
            assert_never(mixer)
    return Map(_after(entering.whole(), growth))


def _cascaded(mixer: MultiScale, name: str, records: Records, entering: Map) -> Map:
    """The map after a cascade, step by step as in its forward pass."""
    cascade = f"{name}.pool" not in records
    leaving: list[Map] = []
    for index in range(max(mixer.scales - 1, 1)):
        group = entering.group(index)
        if leaving and cascade:
            group = group.plus(leaving[-1])
        leaving.append(_mixed(mixer.inner, f"{name}.scales.{index}", records, group))
    if mixer.scales > 1:
        last = entering.group(mixer.scales - 1)
        pool = Paths({_reach(records, f"{name}.pool"): 1})
        leaving.append(last if cascade else Map(_after(last.whole(), pool)))
    if mixer.aliased and cascade:
        leaving[0] = leaving[0].plus(entering.group(1))
    return Map(Paths(), tuple(leaving))


def binned(levels: Sequence[LevelField], max_bins: int) -> tuple[int, tuple[tuple[float, ...], ...]]:
    """Levels of several networks on one axis: the width of a bin in pixels, and the share of each level's paths in each
    bin.

    The bins go from 0 pixels to the largest size of all; there are at most `max_bins`. Sizes come in steps. The width
    is a multiple of every level's step, so that each bin holds equally many sizes.
    """
    steps = (math.gcd(*(after - before for before, after in pairwise(level.sizes))) or 1 for level in levels)
    step, largest = math.lcm(*steps), max(level.largest for level in levels)
    width = step * math.ceil((largest + 1) / (step * max_bins))
    rows = []
    for level in levels:
        counts = [0] * (largest // width + 1)
        for size, count in zip(level.sizes, level.paths, strict=True):
            counts[size // width] += count
        rows.append(tuple(count / level.total for count in counts))
    return width, tuple(rows)
