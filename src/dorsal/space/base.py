"""The base network of a space as text: edited, and networks of the space as edits of it."""

from __future__ import annotations

from msgspec.structs import replace

from dorsal.language.reader import Reader, fields_named
from dorsal.space.space import Space
from dorsal.spec.network import Network
from dorsal.spec.text import format_network
from dorsal.zoo import named, network


def with_edit(space: Space, changes: str) -> Space:
    """The space with its base network edited by text as in `name(choice=value, …)`.

    Raises ValueError as `zoo.network` does, and for a choice that the space draws, which the edit would not change.
    """
    if not changes:
        return space
    base = space.base.strip()
    text = f"{base[:-1]}, {changes})" if base.endswith(")") else f"{base}({changes})"
    edited = replace(space, base=based_on(text, network(text)))
    linear = ("depths", "widths") if space.linear is not None else ()
    for name in fields_named(Reader(f"edit({changes})").whole()):
        if name in space.axes or name in linear:
            raise ValueError(
                f"edit: {space.name} draws its {name}, so that an edit would not change it; leave it out, or write a "
                f"space without that axis (`dorsal space show {space.name}` prints one to begin with)"
            )
    return edited


def based_on(base: str, net: Network) -> str:
    """The network as an edit of the one that the text `base` begins with."""
    name = base.partition("(")[0].strip()
    return format_network(net, {name: named(name)})
