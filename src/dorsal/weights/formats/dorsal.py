"""Dorsal's own names: those in the state of a module that `dorsal.nn.build.build` makes."""

from __future__ import annotations

from dorsal.spec.block import Block, Mixer, MultiScale, SplitAttention
from dorsal.spec.layers import Part, plan
from dorsal.spec.network import Network
from dorsal.weights.formats.naming import Modules, Naming


def names(network: Network) -> Naming:
    """The names in any network."""
    modules: Modules = {}
    for part in plan(network, max(network.total_stride, 32)):
        within = _within(network, part)
        modules |= {f"{name}.{layer}": f"{name}.{own}" for name in part.names for layer, own in within.items()}
    return Naming(modules={record: "fc" if record == "head.fc" else own for record, own in modules.items()})


def _within(network: Network, part: Part) -> Modules:
    """Layer record → module, both relative to the part."""
    records = [layer.name for layer in part.layers]
    _, *place = part.names[0].split(".")
    if len(place) < 2:  # the stem, the head, or a tree's roots
        return {record: record for record in records}
    block = network.stages[int(place[0])].block
    return {record: _layer(block, record) for record in records}


def _layer(block: Block, record: str) -> str:
    kind, _, rest = record.partition(".")
    if kind == "mixer":
        return f"mixer.{_mixer(block.mixer, rest)}"
    if kind == "attention" and block.attention is not None:
        return f"{block.attention.position.removeprefix('after_')}_attention.{rest}"
    return record


def _mixer(mixer: Mixer, record: str) -> str:
    """The module of a mixer's layer. A deformable convolution holds its offsets, and each scale holds a mixer."""
    match mixer, record.split(".", 2):
        case MultiScale(), ["scales", index, rest]:
            return f"scales.{index}.{_mixer(mixer.inner, rest)}"
        case SplitAttention(), ["conv" | "norm" | "offset"]:
            return "splits.conv.offset" if record == "offset" else f"splits.{record}"
        case _:
            return "conv.offset" if record == "offset" else record
