"""Which tensors a file lacks, has too many, or has in another shape, and one sentence to say so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import msgspec

from dorsal.spec.network import Network
from dorsal.weights.formats.naming import PREFIX
from dorsal.weights.formats.packages import FORMATS, naming_of
from dorsal.weights.formats.table import COUNTER, NamingTable, Shape, make_table
from dorsal.zoo import NETWORKS, text_of

SHOWN = 8

Shapes = Mapping[str, Shape]
Value = TypeVar("Value")


class Differences(msgspec.Struct, frozen=True):
    """How a file differs from what a network needs, all by the file's names. `misshapen`: name, found, needed."""

    missing: tuple[str, ...] = ()
    surplus: tuple[str, ...] = ()
    misshapen: tuple[tuple[str, Shape, Shape], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.missing or self.surplus or self.misshapen)


def shape_differences(found: Shapes, needed: Shapes, unused: Iterable[str] = ()) -> Differences:
    """Compares names and shapes. Counters of batches may be missing, and `unused` may be there or not."""
    known = {*needed, *unused}
    return Differences(
        missing=tuple(name for name in needed if name not in found and not name.endswith(COUNTER)),
        surplus=tuple(name for name in found if name not in known),
        misshapen=tuple(
            (name, found[name], shape) for name, shape in needed.items() if name in found and found[name] != shape
        ),
    )


def compare_with_table(found: Shapes, table: NamingTable) -> Differences:
    """Compares a file with a network's table. A classifier that the format never has is missing under our names."""
    differences = shape_differences(found, {entry.theirs: entry.shape for entry in table.entries}, table.unused)
    return msgspec.structs.replace(differences, missing=(*differences.missing, *table.without))


def sentence(differences: Differences) -> str:
    """ "missing a, b; surplus c; wrong shape d [3] instead of [4]", the first eight of each."""
    shapes = [f"{name} {list(found)} instead of {list(needed)}" for name, found, needed in differences.misshapen]
    named = (("missing", differences.missing), ("surplus", differences.surplus), ("wrong shape", shapes))
    return "; ".join(f"{word} {_first(names)}" for word, names in named if names)


def likeness(found: Shapes, network: Network, format: str) -> str:
    """What the file would fit: this network with other classes, another format, or a named network. "" for nothing."""
    fitting = fit_to_shapes(found, network, format)
    if fitting:
        classes = fitting.head.classes
        return (
            f"the file has {classes or 'no'} classes and the network head.classes={network.head.classes}: "
            f"{text_of(fitting)} would fit"
        )
    for other in FORMATS:
        fitting = fit_to_shapes(found, network, other)
        if fitting:
            return f"with format={other!r} it would fit {text_of(fitting)}"
    for candidate in NETWORKS.values():
        fitting = fit_to_shapes(found, candidate, format)
        if fitting:
            return f"it looks like {text_of(fitting)}"
    return ""


def fit_to_shapes(found: Shapes, network: Network, format: str) -> Network | None:
    """The network with as many classes as the file has, if the file then fits it."""
    try:
        naming = naming_of(format, network)
    except ValueError:  # the format has no such network
        return None
    bare = without_prefix(found)
    classifier = bare.get(f"{naming.modules.get('head.fc', '')}.weight")
    classes = classifier[0] if classifier else 0
    candidate = msgspec.structs.replace(network, head=msgspec.structs.replace(network.head, classes=classes))
    return None if compare_with_table(bare, make_table(candidate, naming)) else candidate


def without_prefix(named: Mapping[str, Value]) -> dict[str, Value]:
    """The values by their names without a whole model's prefix; as they are where two names would become one."""
    bare = {name.removeprefix(PREFIX): value for name, value in named.items()}
    return bare if len(bare) == len(named) else dict(named)


def _first(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
