"""A network adapted to data or to dense tasks: classes and channels, a smaller output stride, deformable stages."""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeVar, get_args

from msgspec.structs import replace

from dorsal.spec.block import Mixer, MultiScale, name_of
from dorsal.spec.network import Network
from dorsal.spec.timm import AnyNetwork, TimmNetwork

AnyKind = TypeVar("AnyKind", Network, TimmNetwork, AnyNetwork)


def fitted_to(network: AnyKind, classes: int, in_channels: int, written: Collection[str] = ()) -> AnyKind:
    """The network with `classes` classes, for images of `in_channels` channels.

    `written` names the choices that a user wrote out. Raises ValueError if `in_channels` is one of them and differs.
    Classes always follow the data, since texts that Dorsal prints contain the classes of other data.
    """
    if "in_channels" in written and network.in_channels != in_channels:
        raise ValueError(
            f"in_channels={network.in_channels} is written out, but the images have {in_channels} channels; leave it "
            f"out, or open the data with channels={network.in_channels}"
        )
    if isinstance(network, TimmNetwork):
        return replace(network, classes=classes, in_channels=in_channels)
    return replace(network, head=replace(network.head, classes=classes), in_channels=in_channels)


def with_output_stride(network: Network, output_stride: int) -> Network:
    """The network with the total stride `output_stride`: dilation replaces the strides of its last stages.

    The first block of a stage keeps the dilation of the stage before, as in torchvision, timm, MMSegmentation and the
    official ResNeSt. ResNeSt keeps the average pool of its first block at stride 1, as in its authors' code. timm's,
    MMDetection's and detectron2's versions leave it out, which makes another network of the same weights.

    Raises ValueError for a stride that the stages cannot reach.
    """
    stride = network.stem.stride * (2 if network.stem.pool else 1)
    reachable = sorted({stride * 2**power for power in range(network.total_stride // stride)} | {network.total_stride})
    reachable = [value for value in reachable if value <= network.total_stride]
    if output_stride not in reachable:
        raise ValueError(
            f"output_stride={output_stride} is not one this network can have; "
            f"valid: {', '.join(map(str, reachable))} (its stem alone has {stride})"
        )
    dilation = 1
    stages = []
    for stage in network.stages:
        if stride * stage.stride <= output_stride:
            stride *= stage.stride
            stages.append(replace(stage, dilation=stage.dilation * dilation))
        else:
            dilation *= stage.stride
            stages.append(replace(stage, stride=1, dilation=stage.dilation * dilation))
    return replace(network, stages=tuple(stages))


def with_deformable(network: Network, stages: Collection[int]) -> Network:
    """The network with modulated deformable 3x3 convolutions in the given stages, counted from 1.

    Split attention gets two offset groups and other mixers one. A cascade gets one in each scale.

    Raises ValueError for a stage that does not exist, or whose mixer has no deformable form.
    """
    for number in stages:
        if not 1 <= number <= len(network.stages):
            raise ValueError(f"deformable stage {number} does not exist; valid: 1 to {len(network.stages)}")
    changed = tuple(
        replace(stage, block=replace(stage.block, mixer=_deformable(stage.block.mixer))) if number in stages else stage
        for number, stage in enumerate(network.stages, start=1)
    )
    return replace(network, stages=changed)


def deformable_stages(network: Network) -> tuple[int, ...]:
    """The stages, counted from 1, that `with_deformable` would leave as they are."""
    return tuple(
        number
        for number, stage in enumerate(network.stages, start=1)
        if getattr(getattr(stage.block.mixer, "inner", stage.block.mixer), "deformable", False)
    )


def _deformable(mixer: Mixer) -> Mixer:
    if "deformable" in mixer.__struct_fields__:
        return replace(mixer, deformable=True)
    if isinstance(mixer, MultiScale):
        return replace(mixer, inner=_deformable(mixer.inner))
    have = [name_of(kind) for kind in get_args(Mixer) if {"deformable", "inner"} & set(kind.__struct_fields__)]
    raise ValueError(f"mixer={name_of(mixer)} has no deformable form; valid: {', '.join(have)}")
