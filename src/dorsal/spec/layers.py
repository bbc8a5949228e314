"""Network → flat records of its layers, with sizes. Costs are sums over the records; modules are built from them.

The records are a list, not a graph: splits, sums and activations are in the modules' `forward`. All blocks of a stage
after the first are equal, so a `Part` holds their records once, with the name of each copy.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal, assert_never

import msgspec

from dorsal.spec.arrangement import STAGE_INPUT, Tree, root_children
from dorsal.spec.block import (
    AveragePool,
    Basic,
    Bottleneck,
    Conv,
    IdentityOnly,
    MaxPool,
    Mixer,
    MultiScale,
    SelectiveKernel,
    SplitAttention,
    SqueezeExcite,
    ZeroPad,
    inner_width,
    planes_of,
)
from dorsal.spec.network import Network
from dorsal.spec.stage import Stage
from dorsal.spec.stem import Conv7x7, Dla, Stem, stem_widths

Kind = Literal["conv", "deform_conv", "linear", "norm", "max_pool", "avg_pool"]
Size = tuple[int, int]


class Layer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One layer: the shape of its weights and the size of its output. `height` and `width` are output positions.

    - `padding`: on each side.
    - `ceil`: for the pools of shortcuts. Rounds the output size up and leaves padding out of a mean.
    - `offset_groups`: the number of sets of offsets of a deformable convolution.
    """

    name: str
    kind: Kind
    in_channels: int
    out_channels: int
    height: int
    width: int
    kernel: int = 1
    stride: int = 1
    dilation: int = 1
    groups: int = 1
    bias: bool = False
    ceil: bool = False
    offset_groups: int = 1

    @property
    def padding(self) -> int:
        """Padding on each side that keeps the size at stride 1. 0 for the pools of shortcuts."""
        return 0 if self.ceil else self.dilation * (self.kernel - 1) // 2

    @property
    def size(self) -> Size:
        """Output height and width."""
        return self.height, self.width


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Layers that occur once for each of `names`: stem, head, or equal blocks. Layer names are relative to these."""

    names: tuple[str, ...]
    layers: tuple[Layer, ...]


class Feature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One level of the pyramid: its name, channels, and stride in input pixels."""

    name: str
    channels: int
    stride: int


def plan(network: Network, image_size: int | Size = 224) -> tuple[Part, ...]:
    """The layers of `network` for images of `image_size` pixels (one side, or height and width).

    Raises ValueError if the image is smaller than the network's total stride.
    """
    size = (image_size, image_size) if isinstance(image_size, int) else image_size
    if min(size) < network.total_stride:
        raise ValueError(
            f"image_size={min(size)} is smaller than the network's total stride; nearest valid: {network.total_stride}"
        )
    stem = network.stem
    parts = [Part(("stem",), tuple(_stem(network.in_channels, stem, size)))]
    size = _shrink(size, stem.stride * (2 if stem.pool else 1))
    width = stem_widths(stem)[-1]
    dilation = 1
    for index, stage in enumerate(network.stages):
        first = tuple(_block(stage, width, size, stage.stride, dilation, "later" if index else "first"))
        parts.append(Part((block_name(index, stage, 0),), first))
        entered, size, dilation = (width, size), _shrink(size, stage.stride), stage.dilation
        width = stage.width
        if stage.depth > 1:
            rest = tuple(_block(stage, width, size, 1, dilation, None))
            parts.append(Part(tuple(block_name(index, stage, i) for i in range(1, stage.depth)), rest))
        if isinstance(stage.arrangement, Tree):
            parts.append(Part((f"stages.{index}",), tuple(_tree(stage, stage.arrangement, *entered, size))))
    parts.append(Part(("head",), tuple(_head(network, width, size))))
    return tuple(parts)


def block_name(index: int, stage: Stage, position: int) -> str:
    """The name of the block at `position` of the stage at `index`, both counted from 0."""
    return f"stages.{index}.blocks.{position}" if isinstance(stage.arrangement, Tree) else f"stages.{index}.{position}"


def layers(network: Network, image_size: int | Size = 224) -> tuple[Layer, ...]:
    """Every layer of the network by its full name, in order of execution (shortcuts after their block's branch)."""
    return tuple(
        msgspec.structs.replace(layer, name=f"{name}.{layer.name}")
        for part in plan(network, image_size)
        for name in part.names
        for layer in part.layers
    )


def features(network: Network) -> tuple[Feature, ...]:
    """The pyramid: the stem before its max-pool, then each stage, with channels and strides."""
    stem = network.stem
    levels = [Feature("stem", stem_widths(stem)[-1], stem.stride)]
    stride = stem.stride * (2 if stem.pool else 1)
    for index, stage in enumerate(network.stages, start=1):
        stride *= stage.stride
        levels.append(Feature(f"stage{index}", stage.width, stride))
    return tuple(levels)


def _shrink(size: Size, stride: int) -> Size:
    """The output size of a padded convolution or pool: size / stride, rounded up."""
    return -(-size[0] // stride), -(-size[1] // stride)


def _conv(
    name: str,
    w_in: int,
    w_out: int,
    size: Size,
    kernel: int = 1,
    stride: int = 1,
    groups: int = 1,
    dilation: int = 1,
) -> Layer:
    """A convolution whose padding keeps the size at stride 1."""
    height, width = _shrink(size, stride)
    return Layer(name, "conv", w_in, w_out, height, width, kernel, stride, dilation, groups)


def _norm(name: str, after: Layer) -> Layer:
    return Layer(name, "norm", after.out_channels, after.out_channels, after.height, after.width)


def _conv_norm(conv: Layer) -> tuple[Layer, Layer]:
    """A convolution `….conv` and the norm of its output, `….norm`."""
    return conv, _norm(f"{conv.name.removesuffix('conv')}norm", conv)


def _pool(name: str, kind: Literal["max_pool", "avg_pool"], width: int, size: Size, stride: int) -> Layer:
    """A 3x3 pool with padding 1."""
    return Layer(name, kind, width, width, *_shrink(size, stride), 3, stride)


def _gate(name: str, w_in: int, w_out: int, groups: int = 1, bias: bool = True) -> Layer:
    """A 1x1 convolution of a globally pooled map."""
    return Layer(name, "conv", w_in, w_out, 1, 1, groups=groups, bias=bias)


def _stem(in_channels: int, stem: Stem, size: Size) -> list[Layer]:
    widths = stem_widths(stem)
    strided = len(widths) - 1 if isinstance(stem, Dla) else 0
    records: list[Layer] = []
    w_in = in_channels
    for index, w_out in enumerate(widths):
        kernel = 7 if index == 0 and isinstance(stem, Conv7x7 | Dla) else 3
        stride = stem.stride if index == strided else 1
        records += _conv_norm(_conv(f"convs.{index}.conv", w_in, w_out, size, kernel, stride))
        w_in, size = w_out, records[-1].size
    if stem.pool:
        records.append(_pool("pool", "max_pool", w_in, size, 2))
    return records


def _block(
    stage: Stage, w_in: int, size: Size, stride: int, dilation: int, first: Literal["first", "later"] | None
) -> Iterator[Layer]:
    """The layers of one block. `first`: "first" or "later" if it opens the network's first or a later stage,
    else None.
    """
    block, w_out, start = stage.block, stage.width, size
    if isinstance(block, Bottleneck):
        inner = inner_width(block.mixer, planes_of(block, w_out))
        yield from _conv_norm(_conv("reduce.conv", w_in, inner, size))
        # ResNeSt pools in the first block of every later stage, even if dilation replaced the stride.
        pooled = block.downsample != "mixer" and (stride > 1 or first == "later")
        mixer_size = size
        if pooled:
            pool = _pool("pool", "avg_pool", inner, size, stride)
            yield pool
            mixer_size = pool.size if block.downsample == "pool_before" else size
        mixer_stride = 1 if pooled else stride
        yield from _mixer("mixer", block.mixer, inner, inner, mixer_size, mixer_stride, dilation, first is not None)
        expand = _conv("expand.conv", inner, w_out, _shrink(size, stride))
    else:
        inner = w_out
        yield from _mixer("mixer", block.mixer, w_in, w_out, size, stride, dilation, first is not None)
        expand = _conv("expand.conv", w_out, w_out, _shrink(size, stride), 3, dilation=stage.dilation)
    attention = block.attention
    if attention is not None and attention.position == "after_mixer":
        yield from _squeeze_excite(attention, inner, w_in)
    yield from _conv_norm(expand)
    if attention is not None and attention.position == "after_expand":
        yield from _squeeze_excite(attention, w_out, w_in)
    yield from _shortcut(block, w_in, w_out, start, stride)


def _mixer(
    name: str, mixer: Mixer, w_in: int, w_out: int, size: Size, stride: int, dilation: int, first: bool
) -> Iterator[Layer]:
    match mixer:
        case Conv():
            groups = mixer.groups if mixer.group_width is None else w_out // mixer.group_width
            conv = _conv(f"{name}.conv", w_in, w_out, size, 3, stride, groups, dilation)
            yield from _deformable(name, conv, size, 1) if mixer.deformable else _conv_norm(conv)
        case MultiScale():
            width = w_in // mixer.scales
            for index in range(max(mixer.scales - 1, 1)):
                yield from _mixer(f"{name}.scales.{index}", mixer.inner, width, width, size, stride, dilation, first)
            if first and mixer.scales > 1:
                yield _pool(f"{name}.pool", "avg_pool", width, size, stride)
        case SplitAttention():
            groups = mixer.radix * mixer.cardinality
            conv = _conv(f"{name}.conv", w_in, w_out * mixer.radix, size, 3, stride, groups, dilation)
            yield from _deformable(name, conv, size, 2) if mixer.deformable else _conv_norm(conv)
            hidden = split_attention_hidden(w_in, mixer)
            fc1 = _gate(f"{name}.fc1", w_out, hidden, mixer.cardinality)
            yield from (fc1, _norm(f"{name}.fc1_norm", fc1))
            yield _gate(f"{name}.fc2", hidden, w_out * mixer.radix, mixer.cardinality)
        case SelectiveKernel():
            path_in = w_in // mixer.paths if mixer.split_input else w_in
            for index in range(mixer.paths):
                path = f"{name}.paths.{index}.conv"
                conv = _conv(path, path_in, w_out, size, 3, stride, mixer.groups, dilation * (index + 1))
                yield from _conv_norm(conv)
            hidden = _multiple(w_out * mixer.ratio, mixer.divisor)
            fc1 = _gate(f"{name}.fc1", w_out, hidden, bias=False)
            yield from (fc1, _norm(f"{name}.fc1_norm", fc1))
            yield _gate(f"{name}.fc2", hidden, w_out * mixer.paths, bias=False)
        case _:
            assert_never(mixer)


def _deformable(name: str, conv: Layer, size: Size, offset_groups: int) -> Iterator[Layer]:
    """The convolution that predicts 18 offsets and 9 masks for each offset group, the deformable convolution, and its
    norm.
    """
    offset = _conv(
        f"{name}.offset", conv.in_channels, 27 * offset_groups, size, 3, conv.stride, offset_groups, conv.dilation
    )
    yield msgspec.structs.replace(offset, bias=True)
    yield from _conv_norm(msgspec.structs.replace(conv, kind="deform_conv", offset_groups=offset_groups))


def split_attention_hidden(w_in: int, mixer: SplitAttention) -> int:
    """Hidden width of split attention: max(32, w_in * radix / 4), as in the original code.

    It is rounded up to a multiple of the cardinality. The original does not build there.
    """
    return math.ceil(max(w_in * mixer.radix // 4, 32) / mixer.cardinality) * mixer.cardinality


def _multiple(value: float, divisor: int) -> int:
    """The nearest multiple of `divisor`, half up, never below 90 % of `value` (timm make_divisible)."""
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def _squeeze_excite(attention: SqueezeExcite, width: int, block_input: int) -> Iterator[Layer]:
    reference = width if attention.reference == "width" else block_input
    hidden = max(1, round(attention.ratio * reference))
    yield _gate("attention.fc1", width, hidden)
    yield _gate("attention.fc2", hidden, width)


def _shortcut(block: Basic | Bottleneck, w_in: int, w_out: int, size: Size, stride: int) -> Iterator[Layer]:
    """The layers of a shortcut. None for the identity, ZeroPad and IdentityOnly."""
    if (stride == 1 and w_in == w_out) or isinstance(block.shortcut, ZeroPad | IdentityOnly):
        return
    if isinstance(block.shortcut, AveragePool | MaxPool) and stride > 1:
        size = _shrink(size, stride)
        kind: Kind = "avg_pool" if isinstance(block.shortcut, AveragePool) else "max_pool"
        yield Layer("shortcut.pool", kind, w_in, w_in, *size, stride, stride, ceil=True)
        stride = 1
    if w_in != w_out or not isinstance(block.shortcut, MaxPool):
        yield from _conv_norm(_conv("shortcut.conv", w_in, w_out, size, stride=stride))


def _tree(stage: Stage, tree: Tree, w_in: int, start: Size, size: Size) -> Iterator[Layer]:
    """The roots of a tree, and the pool of its input if a root takes the input."""
    if tree.keep_input and stage.stride > 1:
        yield Layer(
            "input_pool", "max_pool", w_in, w_in, *_shrink(start, stage.stride), stage.stride, stage.stride, ceil=True
        )
    for index, children in enumerate(root_children(stage.depth, tree.keep_input)):
        taken = 2 * stage.width + sum(w_in if child == STAGE_INPUT else stage.width for child in children)
        yield from _conv_norm(_conv(f"roots.{index}.conv", taken, stage.width, size))


def _head(network: Network, width: int, size: Size) -> Iterator[Layer]:
    head = network.head
    if head.width is not None:
        conv = _conv("conv", width, head.width, size)
        yield from (conv, _norm("norm", conv))
        width = head.width
    if head.classes:
        yield Layer("fc", "linear", width, head.classes, 1, 1, bias=True)
