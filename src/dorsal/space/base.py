"""The base network of a space: edits of it as text, and networks of the space written as edits of it."""

from __future__ import annotations

from msgspec.structs import replace

from dorsal.language.reader import Call, Reader, fields_named
from dorsal.space.space import Space
from dorsal.spec.nearest import answer, nearest_text
from dorsal.spec.network import Network
from dorsal.spec.text import edit_by_text, format_network
from dorsal.zoo import NETWORKS, named


def with_edit(space: Space, changes: str) -> Space:
    """The space with its base network edited by text, as in `stem=deep, strides=[1, 2, 2, 2]`.

    Raises ValueError as `zoo.network` does, and for a choice that the space draws, since the edit would have no effect.
    """
    if not changes:
        return space
    edited = replace(space, base=based_on(space.base, _edited(space.base_network, changes)))
    ruled = ("depths", "widths") if space.linear is not None else ()
    for name in fields_named(Call("", Reader(changes).fields())):
        if name in space.axes or name in ruled:
            raise ValueError(
                f"edit: {space.name} draws its {name}, so that an edit would not change it; leave it out, or write a "
                f"space without that axis (`dorsal space show {space.name}` prints one to begin with)"
            )
    return edited


def _edited(network: Network, changes: str) -> Network:
    try:
        return edit_by_text(network, changes)
    except ValueError as error:
        near = nearest_text(f"base({changes})", lambda text: edit_by_text(network, text[5:-1]), ())
        raise answer(error, near[5:-1]) from None


def based_on(base: str, net: Network) -> str:
    """The network as text: an edit of the network that `base` names. If `base` is a file, an edit of a published
    network.
    """
    name = base.partition("(")[0].strip()
    return format_network(net, NETWORKS if base.endswith(".json") else {name: named(name)})
