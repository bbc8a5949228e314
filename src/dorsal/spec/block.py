"""The grammar of blocks: frozen data, a closed union, no torch.

Every residual network of the supported families is a point of this grammar, so two networks differ only in named
choices. A mixer is the spatial part of a block *including* its normalization and activation. The block around it is the
same for every mixer.

A mixer's `width` is the literature's *base width*: the channels of one group (ResNeXt `32x4d`: 4; ResNeSt `2s1x64d`:
64; Res2Net `26w_4s`: 26) in a stage of 64 planes, where planes = stage width / expansion. It grows with the planes.
`parts` is the name of the mixer's field that counts its groups: inner width = groups x group width.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import msgspec

Order = Literal["norm_act", "act_norm"]
Downsample = Literal["mixer", "pool_after", "pool_before"]
Output = Literal["act", "linear"]


class Conv(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="conv"):
    """One 3x3 convolution, plain or grouped (ResNet, ResNeXt, Wide ResNet, RegNet).

    `groups` and `width` are ResNeXt's cardinality and base width. `group_width` fixes the channels of a group instead,
    as in RegNet. `deformable` makes it a modulated deformable convolution (DCNv2, arXiv 1811.11168): a 3x3 convolution
    predicts 18 offsets and 9 masks for each position.
    """

    parts: ClassVar[str] = "groups"
    groups: int = 1
    width: int | None = None
    group_width: int | None = None
    deformable: bool = False


class SplitAttention(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="split_attention"):
    """Split attention (ResNeSt, arXiv 2004.08955 section 3.1) with `radix` splits in `cardinality` groups.

    `deformable` makes its 3x3 a modulated deformable convolution with two sets of offsets, one for each half of the
    channels, as in the detection code of ResNeSt-200-DCN.
    """

    parts: ClassVar[str] = "cardinality"
    radix: int = 2
    cardinality: int = 1
    width: int | None = None
    deformable: bool = False


class SelectiveKernel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="selective_kernel"):
    """Selective kernel (SKNet, arXiv 1903.06586): `paths` 3x3 convolutions of dilation 1, 2, … weighted by attention.

    `ratio` is the hidden width of the attention / the output width, rounded to a multiple of `divisor`. `split_input`
    gives each path its own share of the input channels, as in timm's skresnet.
    """

    parts: ClassVar[str] = "groups"
    paths: int = 2
    groups: int = 1
    width: int | None = None
    ratio: float = 0.0625
    divisor: int = 8
    split_input: bool = False


class MultiScale(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="multi_scale"):
    """The cascade of Res2Net (arXiv 1904.01169 section 3.1) over `scales` channel groups.

    `inner` mixes each group but the last, after adding the output of the group before. The last group passes through.
    In the first block of a stage nothing is added, and the last group is average-pooled 3x3, as in the original code.

    `aliased` reproduces a bug of the published Res2NetPlus code: an addition in place changes the output of the first
    group, so that group 0 leaves the block as y_0 + x_1.
    """

    parts: ClassVar[str] = "scales"
    scales: int = 4
    width: int | None = None
    inner: Mixer = Conv()
    aliased: bool = False


Mixer = Conv | MultiScale | SplitAttention | SelectiveKernel


class SqueezeExcite(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="squeeze_excite"):
    """Squeeze-and-excitation (arXiv 1709.01507) with biased 1x1 convolutions and a sigmoid gate.

    Hidden width = round(ratio * reference). `reference` "width" is the number of channels it acts on (SENet), "input"
    that of the block's input (RegNetY). `position` is "after_expand" (SENet) or "after_mixer" (RegNetY).
    """

    ratio: float = 0.0625
    reference: Literal["width", "input"] = "width"
    position: Literal["after_mixer", "after_expand"] = "after_expand"


class StridedConv(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="strided_conv"):
    """Shortcut by a strided 1x1 convolution and norm wherever the shape changes (ResNet, RegNet)."""


class AveragePool(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="average_pool"):
    """Shortcut by average pooling (ceil mode, padding not counted), then a 1x1 convolution and norm (ResNet-D)."""


class ZeroPad(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="zero_pad"):
    """Shortcut by subsampling and zero channels, half on each side: option A of ResNet, without parameters (CIFAR)."""


class MaxPool(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="max_pool"):
    """Shortcut by max-pooling (ceil mode), then a 1x1 convolution and norm if the width changes (DLA)."""


class IdentityOnly(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="identity_only"):
    """The identity if the shape is kept, else no shortcut (RegNetZ, inverted bottlenecks)."""


Shortcut = StridedConv | AveragePool | MaxPool | ZeroPad | IdentityOnly


class Basic(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="basic"):
    """Two 3x3 layers: the mixer, then a convolution and norm (ResNet-18/34)."""

    mixer: Mixer = Conv()
    attention: SqueezeExcite | None = None
    shortcut: Shortcut = StridedConv()


class Bottleneck(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="bottleneck"):
    """Reduce 1x1, mixer, [attention], expand 1x1, [attention], shortcut (ResNet-50 and all later families).

    - `expansion`: block width / planes. 4 in ResNet, 1 in RegNet (the paper's bottleneck ratio b), 1 / a whole number
      for an inverted bottleneck (RegNetZ: 0.25).
    - `order`: of norm and activation after the reducing 1x1 ("act_norm": Res2NetPlus).
    - `downsample`: where a strided block loses resolution: in the mixer (ResNet "V1.5"), or by a 3x3 average pool after
      or before it (ResNeSt).
    - `output`: "linear" leaves out the activation after the sum (RegNetZ).
    """

    mixer: Mixer = Conv()
    attention: SqueezeExcite | None = None
    shortcut: Shortcut = StridedConv()
    expansion: int | float = 4
    order: Order = "norm_act"
    downsample: Downsample = "mixer"
    output: Output = "act"


Block = Basic | Bottleneck


def planes_of(block: Block, width: int) -> int:
    """The planes of a block of output `width`. Base widths are relative to them.

    Raises ValueError if the expansion does not divide the width.
    """
    expansion = block.expansion if isinstance(block, Bottleneck) else 1
    check_expansion("expansion", expansion)
    return exact_share(width, int(expansion), "width", "expansion") if expansion >= 1 else width * round(1 / expansion)


def check_expansion(name: str, value: float) -> None:
    """Raises ValueError unless `value` is a whole number, or 1 / a whole number. Messages call it `name`."""
    whole = value >= 1 and value == int(value)
    if not whole and not (0 < value < 1 and abs(round(1 / value) * value - 1) <= 1e-6):
        raise ValueError(
            f"{name}={value} must be a whole number, e.g. 4 (ResNet) or 1 (RegNet), or one over a whole number, "
            "e.g. 0.25 (RegNetZ)"
        )


def inner_width(mixer: Mixer, planes: int) -> int:
    """Channels that the reducing 1x1 gives to the mixer, and the mixer gives to the expanding 1x1.

    Raises ValueError naming the field if base width and planes leave no channel.
    """
    width = mixer.width
    if width is None:
        return planes
    parts: int = getattr(mixer, mixer.parts)
    each = planes * width // 64
    if each < 1:
        least = -(-64 // planes)
        raise ValueError(
            f"{name_of(mixer)}.width={width} leaves no channel at {planes} planes (a base width counts at 64); "
            f"the nearest valid width is {least}"
        )
    return each * parts


def name_of(struct: msgspec.Struct | type[msgspec.Struct]) -> str:
    """The name of a grammar element in text and JSON, such as "split_attention"."""
    return str(struct.__struct_config__.tag)


def exact_share(total: int, parts: int, total_name: str, parts_name: str) -> int:
    """total / parts. ValueError with the nearest valid total if it is not whole."""
    if total < parts or total % parts:
        low = total // parts * parts
        choices = [value for value in (low, low + parts) if value >= parts]
        nearest = min(choices, key=lambda value: abs(value - total))
        divisors = [d for d in range(1, total + 1) if total % d == 0]
        divisor = min(divisors, key=lambda value: abs(value - parts))
        raise ValueError(
            f"{parts_name}={parts} does not divide {total_name}={total}; "
            f"nearest valid: {total_name}={nearest}, or {parts_name}={divisor}"
        )
    return total // parts
