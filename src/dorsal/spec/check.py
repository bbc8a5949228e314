"""Which combinations of choices can exist. Every refusal names the field, the value, the reason and the nearest valid
one.
"""

from __future__ import annotations

from math import log2
from typing import assert_never

from dorsal.spec.arrangement import Chain
from dorsal.spec.block import (
    Basic,
    Bottleneck,
    Conv,
    Mixer,
    MultiScale,
    SelectiveKernel,
    SplitAttention,
    SqueezeExcite,
    ZeroPad,
    check_expansion,
    exact_share,
    inner_width,
    name_of,
    planes_of,
)
from dorsal.spec.stage import Head, Stage
from dorsal.spec.stem import Stem, stem_widths


def check_network(stem: Stem, stages: tuple[Stage, ...], head: Head, in_channels: int) -> None:
    """Raises ValueError if the network cannot be built."""
    _at_least("in_channels", in_channels, 1)
    _at_least("head.classes", head.classes, 0)
    if head.width is not None:
        _at_least("head.width", head.width, 1)
    if not stages:
        raise ValueError("stages is empty; a network has at least one stage")
    width = _check_stem(stem)
    for index, stage in enumerate(stages, start=1):
        try:
            _check_stage(stage, width)
        except ValueError as error:
            raise ValueError(f"stage {index} (width {stage.width}): {error}") from None
        width = stage.width


def _check_stem(stem: Stem) -> int:
    """Checks the stem. Returns its output width."""
    for width in stem_widths(stem):
        _at_least("stem width", width, 1)
    check_number("stem.stride", stem.stride)
    return stem_widths(stem)[-1]


def _check_stage(stage: Stage, in_width: int) -> None:
    _at_least("depth", stage.depth, 1)
    _at_least("width", stage.width, 1)
    _at_least("dilation", stage.dilation, 1)
    check_number("stride", stage.stride)
    block = stage.block
    if stage.arrangement != Chain() and (stage.depth < 2 or stage.depth & (stage.depth - 1)):
        nearest = max(2, 2 ** round(log2(stage.depth)))
        raise ValueError(
            f"depth={stage.depth}: a tree has a power of two of blocks, at least 2; nearest valid: depth={nearest}, "
            "or arrangement=chain"
        )
    planes = planes_of(block, stage.width)
    if isinstance(block, Bottleneck):
        inner = inner_width(block.mixer, planes)
        _check_mixer(block.mixer, inner, inner)
    else:
        _check_basic(block, in_width, stage.width)
    if block.attention is not None:
        _check_attention(block.attention)
    if isinstance(block.shortcut, ZeroPad) and stage.width < in_width:
        raise ValueError(
            f"shortcut=zero_pad cannot shrink {in_width} channels to width={stage.width}; nearest valid: "
            f"width={in_width}, or shortcut=strided_conv"
        )


def _check_basic(block: Basic, in_width: int, width: int) -> None:
    if isinstance(block.mixer, MultiScale):
        raise ValueError(
            "mixer=multi_scale needs the 1x1 convolutions of a bottleneck around it to make and merge its channel "
            "groups; nearest valid: block=bottleneck, or mixer=conv in this block"
        )
    if block.mixer.width is not None:
        raise ValueError(
            f"mixer.width={block.mixer.width} sets the inner width of a bottleneck, which a basic block does not have; "
            "leave width out"
        )
    _check_mixer(block.mixer, in_width, width)
    _check_mixer(block.mixer, width, width)


def _check_mixer(mixer: Mixer, w_in: int, w_out: int) -> None:
    """Raises ValueError if the mixer cannot map `w_in` to `w_out` channels."""
    match mixer:
        case Conv():
            _check_conv(mixer, w_in, w_out)
        case MultiScale():
            _at_least("multi_scale.scales", mixer.scales, 1)
            if mixer.aliased and mixer.scales < 3:
                raise ValueError(
                    f"multi_scale.aliased needs two groups that are mixed, so at least scales=3, not {mixer.scales}"
                )
            share = exact_share(w_in, mixer.scales, "inner width", "multi_scale.scales")
            if mixer.inner.width is not None:
                raise ValueError(
                    f"multi_scale.inner.width={mixer.inner.width}: the inner mixer gets the width of one scale "
                    f"({share} here); set multi_scale.width and leave the inner width out"
                )
            _check_mixer(mixer.inner, share, share)
        case SplitAttention():
            _at_least("split_attention.radix", mixer.radix, 1)
            _at_least("split_attention.cardinality", mixer.cardinality, 1)
            exact_share(w_in, mixer.radix * mixer.cardinality, "input width", "radix*cardinality")
            exact_share(w_out, mixer.cardinality, "inner width", "split_attention.cardinality")
            if mixer.deformable:
                exact_share(w_in, 2, "input width", "offset groups of a deformable split attention")
        case SelectiveKernel():
            _check_selective_kernel(mixer, w_in, w_out)
        case _:
            assert_never(mixer)


def _check_conv(mixer: Conv, w_in: int, w_out: int) -> None:
    _at_least("conv.groups", mixer.groups, 1)
    if mixer.group_width is None:
        groups, name = mixer.groups, "conv.groups"
        exact_share(w_out, groups, "inner width", name)
    else:
        _at_least("conv.group_width", mixer.group_width, 1)
        if mixer.groups != 1 or mixer.width is not None:
            raise ValueError(
                f"conv.group_width={mixer.group_width} already decides the groups; "
                "leave out groups and width, or group_width"
            )
        groups, name = exact_share(w_out, mixer.group_width, "inner width", "conv.group_width"), "groups"
    exact_share(w_in, groups, "input width", name)


def _check_selective_kernel(mixer: SelectiveKernel, w_in: int, w_out: int) -> None:
    _at_least("selective_kernel.paths", mixer.paths, 1)
    _at_least("selective_kernel.groups", mixer.groups, 1)
    _at_least("selective_kernel.divisor", mixer.divisor, 1)
    check_number("selective_kernel.ratio", mixer.ratio)
    if mixer.split_input:
        w_in = exact_share(w_in, mixer.paths, "input width", "selective_kernel.paths")
    exact_share(w_in, mixer.groups, "input width of a path", "selective_kernel.groups")
    exact_share(w_out, mixer.groups, "inner width", "selective_kernel.groups")


def _check_attention(attention: SqueezeExcite) -> None:
    check_number(f"{name_of(attention)}.ratio", attention.ratio)


def _at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise ValueError(f"{name}={value} is below {least}; nearest valid: {least}")


def check_number(path: str, value: float) -> None:
    """Raises ValueError for an impossible stride, ratio or expansion. The last part of `path` says which of
    them it is.
    """
    match path.rpartition(".")[2]:
        case "stride" | "strides" if value not in (1, 2):
            raise ValueError(f"{path}={value} must be 1 or 2; nearest valid: {min(max(value, 1), 2)}")
        case "ratio" if not 0 < value <= 16:
            raise ValueError(f"{path}={value} must be above 0 and at most 16, e.g. 0.25 (RegNetY) or 0.0625 (SENet)")
        case "expansion":
            check_expansion(path, value)
