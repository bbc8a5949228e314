"""A network's table in a format: each tensor's name and shape in the package, and how the tensor changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

import msgspec
from torch import Tensor

from dorsal.spec.layers import Layer, layers
from dorsal.spec.network import Network
from dorsal.spec.stage import Norm
from dorsal.weights.formats import dorsal
from dorsal.weights.formats.naming import Naming

Shape = tuple[int, ...]
TensorChange = Literal["flip", "conv"]
COUNTER = "num_batches_tracked"


class Entry(msgspec.Struct, frozen=True):
    """A tensor: Dorsal's name, the package's name, its shape there, and its change (`flip`: input channels reversed;
    `conv`: a linear weight kept as a 1x1 convolution)."""

    ours: str
    theirs: str
    shape: Shape
    change: TensorChange | None = None


class NamingTable(msgspec.Struct, frozen=True):
    """All tensors of a network. `without`: Dorsal's names of a classifier that the package's files never have."""

    entries: tuple[Entry, ...]
    unused: Mapping[str, Shape]
    without: tuple[str, ...]


def make_table(network: Network, naming: Naming) -> NamingTable:
    """The table of a network, from a package's naming of it."""
    own = dorsal.names(network).modules
    flip = naming.bgr and network.in_channels == 3
    entries: list[Entry] = []
    without: tuple[str, ...] = ()
    for layer in layers(network, max(network.total_stride, 32)):
        if layer.kind in ("max_pool", "avg_pool"):
            continue
        if layer.name == "head.fc" and layer.name not in naming.modules:
            without = tuple(f"fc.{tensor}" for tensor, _ in _tensors(layer, network.norm))
            continue
        theirs = naming.modules[layer.name]
        for tensor, shape in _tensors(layer, network.norm):
            names = f"{own[layer.name]}.{tensor}", f"{theirs}.{tensor}"
            if layer.kind == "linear" and tensor == "weight" and naming.conv_classifier:
                entries.append(Entry(*names, (*shape, 1, 1), "conv"))
            else:
                entries.append(Entry(*names, shape, "flip" if flip and layer.name == "stem.convs.0.conv" else None))
    return NamingTable(tuple(entries), naming.unused, without)


def apply(change: TensorChange | None, tensor: Tensor, *, back: bool) -> Tensor:
    """Changes a package's tensor to Dorsal's, or back."""
    match change:
        case "flip":
            return tensor.flip(1)
        case "conv":
            return tensor[:, :, None, None] if back else tensor.flatten(1)
        case None:
            return tensor


def _tensors(layer: Layer, norm: Norm) -> Iterator[tuple[str, Shape]]:
    """Names and shapes of the parameters and buffers of a layer's module."""
    channels = (layer.out_channels,)
    match layer.kind:
        case "conv" | "deform_conv":
            yield "weight", (layer.out_channels, layer.in_channels // layer.groups, layer.kernel, layer.kernel)
        case "linear":
            yield "weight", (layer.out_channels, layer.in_channels)
        case _:
            yield from (("weight", channels), ("bias", channels))
            if norm == "batch":
                yield from (("running_mean", channels), ("running_var", channels), (COUNTER, ()))
    if layer.bias:
        yield "bias", channels
