"""What a format is: the name that a package gives to each module of a network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import msgspec

from dorsal.spec.block import Bottleneck, Mixer, MultiScale, name_of
from dorsal.spec.network import Network
from dorsal.spec.stage import Stage

Modules = dict[str, str]
"""Full names of layer records (`stages.0.1.mixer.conv`) → names of the package's modules (`layer1.1.conv2`)."""

Words = tuple[str, ...]

PREFIX = "backbone."


class Naming(msgspec.Struct, frozen=True, kw_only=True):
    """How a package names a network's tensors, and how these differ from Dorsal's by more than the name.

    - `modules`: the names. If there is none for `head.fc`, the package's files have no classifier.
    - `whole`: the package saves whole models, with `PREFIX` before the backbone's names.
    - `bgr`: its published weights take images as blue, green, red.
    - `conv_classifier`: the classifier is a 1x1 convolution with weight [classes, width, 1, 1].
    - `unused`: tensors in its files, with their shapes, that no forward reads.
    """

    modules: Modules
    whole: bool = False
    bgr: bool = False
    conv_classifier: bool = False
    unused: Mapping[str, tuple[int, ...]] = {}


class Kinds(msgspec.Struct, frozen=True, kw_only=True):
    """What a package's networks can be made of, in the words of the grammar. `deformable`: the mixers that can be.
    `head`: the classifier alone ("linear") or after a convolution ("conv").

    Names of tensors are not enough to tell: an option-A shortcut has no tensors. All packages leave strides, dilations,
    pools of stems and activations free, so these are not checked.
    """

    stem: Words
    block: Words = ("basic", "bottleneck")
    mixer: Words = ("conv",)
    aliased: Words = ("false",)
    inner: Words = ("conv",)
    deformable: Words = ("none",)
    shortcut: Words = ("strided_conv",)
    attention: Words = ("none",)
    arrangement: Words = ("chain",)
    downsample: Words = ("mixer",)
    output: Words = ("act",)
    order: Words = ("norm_act",)
    norm: Words = ("batch",)
    head: Words = ("linear",)


def check_kinds(package: str, network: Network, kinds: Kinds) -> None:
    """Raises ValueError naming the network's choices that the package does not have."""
    found = dict.fromkeys(_choices(network))
    unknown = [f"{field}={word}" for field, word in found if word not in getattr(kinds, field)]
    if unknown:
        raise ValueError(f"format {package!r} has no network with {', '.join(unknown)}")


def _choices(network: Network) -> Iterator[tuple[str, str]]:
    yield "stem", name_of(network.stem)
    yield "order", getattr(network.stem, "order", "norm_act")
    yield "norm", network.norm
    yield "head", "linear" if network.head.width is None else "conv"
    for stage in network.stages:
        block = stage.block
        yield "arrangement", name_of(stage.arrangement)
        yield "block", name_of(block)
        mixer: Mixer = block.mixer
        yield "mixer", name_of(mixer)
        if isinstance(mixer, MultiScale):
            yield "aliased", str(mixer.aliased).lower()
            mixer = mixer.inner
            yield "inner", name_of(mixer)
        yield "deformable", name_of(mixer) if getattr(mixer, "deformable", False) else "none"
        yield "shortcut", name_of(block.shortcut)
        yield "attention", block.attention.position if block.attention else "none"
        if isinstance(block, Bottleneck):
            yield "downsample", block.downsample
            yield "output", block.output
            yield "order", block.order


def chain(
    network: Network,
    *,
    stem: Words,
    at: Callable[[int, int], str],
    block: Callable[[Stage], Modules],
    head: Modules,
) -> Modules:
    """The modules of a network whose stages are chains.

    - `stem`: the names of its convolutions and norms, in turn.
    - `at`: the prefix of the names in a block, by its stage and position, both from 0.
    - `block`: layer record → name in a block (`mixer.conv` → `conv2`). Records that the network lacks do no harm.
    - `head`: layer record → name in the head (`fc`).
    """
    modules = {f"head.{layer}": name for layer, name in head.items()}
    for index, name in enumerate(stem):
        modules[f"stem.convs.{index // 2}.{'norm' if index % 2 else 'conv'}"] = name
    for index, stage in enumerate(network.stages):
        names = block(stage)
        for position in range(stage.depth):
            start = at(index, position)
            modules |= {f"stages.{index}.{position}.{layer}": start + name for layer, name in names.items()}
    return modules
