"""Which tensors a file lacks, has too many of, or has in another shape, and the sentences that say so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import msgspec

from dorsal.spec.network import Network
from dorsal.spec.text import difference
from dorsal.weights.formats.naming import PREFIX, Naming
from dorsal.weights.formats.packages import FORMATS, naming_of
from dorsal.weights.formats.table import COUNTER, NamingTable, Shape, make_table
from dorsal.zoo import NETWORKS, text_of

SHOWN = 8

Shapes = Mapping[str, Shape]
Value = TypeVar("Value")


class Differences(msgspec.Struct, frozen=True):
    """How a file differs from what a network needs, by the file's names. `misshapen`: name, found, needed."""

    missing: tuple[str, ...] = ()
    surplus: tuple[str, ...] = ()
    misshapen: tuple[tuple[str, Shape, Shape], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.missing or self.surplus or self.misshapen)


def shape_differences(found: Shapes, needed: Shapes, unused: Iterable[str] = ()) -> Differences:
    """Compares names and shapes. Counters of batches may be missing; `unused` names may be there or not."""
    known = {*needed, *unused}
    return Differences(
        missing=tuple(name for name in needed if name not in found and not name.endswith(COUNTER)),
        surplus=tuple(name for name in found if name not in known),
        misshapen=tuple(
            (name, found[name], shape) for name, shape in needed.items() if name in found and found[name] != shape
        ),
    )


def compare_with_table(found: Shapes, table: NamingTable) -> Differences:
    """Compares a file with a network's table. A classifier that the format never has is missing, by Dorsal's names."""
    differences = shape_differences(found, {entry.theirs: entry.shape for entry in table.entries}, table.unused)
    return msgspec.structs.replace(differences, missing=(*differences.missing, *table.without))


def sentence(differences: Differences) -> str:
    """ "missing a, b; surplus c; wrong shape d [3] instead of [4]", the first eight of each."""
    shapes = [f"{name} {list(found)} instead of {list(needed)}" for name, found, needed in differences.misshapen]
    named = (("missing", differences.missing), ("surplus", differences.surplus), ("wrong shape", shapes))
    return "; ".join(f"{word} {name_first(names)}" for word, names in named if names)


def likeness(found: Shapes, network: Network, format: str) -> str:
    """A sentence on what the file would fit: this network with other classes or input channels, another format, or a
    named network. "" if nothing."""
    fitting = _fitted(found, network, format)
    if fitting:
        differs = difference(fitting, network)
        has, needs = (", ".join(f"{key}={both[side]}" for key, both in differs.items()) for side in (0, 1))
        return f"the file has {has} and the network {needs}: {text_of(fitting)} would fit"
    for other in FORMATS:
        fitting = _fitted(found, network, other)
        if fitting:
            return f"with format={other!r} it would fit {text_of(fitting)}"
    for candidate in NETWORKS.values():
        fitting = _fitted(found, candidate, format)
        if fitting:
            return f"it looks like {text_of(fitting)}"
    return ""


def with_ends_of(found: Shapes, network: Network, naming: Naming) -> Network:
    """The network with as many input channels and classes as the file has."""
    bare = without_prefix(found)
    stem = bare.get(f"{naming.modules['stem.convs.0.conv']}.weight", ())
    in_channels = stem[1] if len(stem) == 4 and stem[1] else network.in_channels
    classifier = bare.get(f"{naming.modules.get('head.fc', '')}.weight")
    head = msgspec.structs.replace(network.head, classes=classifier[0] if classifier else 0)
    return msgspec.structs.replace(network, in_channels=in_channels, head=head)


def _fitted(found: Shapes, network: Network, format: str) -> Network | None:
    """The network with the file's input channels and classes, if the file then fits it."""
    try:
        naming = naming_of(format, network)
    except ValueError:  # the format has no such network
        return None
    candidate = with_ends_of(found, network, naming)
    return None if compare_with_table(without_prefix(found), make_table(candidate, naming)) else candidate


def without_prefix(named: Mapping[str, Value]) -> dict[str, Value]:
    """The values by their names without the prefix "backbone."; unchanged if two names would become one."""
    bare = {name.removeprefix(PREFIX): value for name, value in named.items()}
    return bare if len(bare) == len(named) else dict(named)


def name_first(names: Sequence[str]) -> str:
    """The first eight names and how many more there are."""
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
