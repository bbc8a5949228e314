"""The published networks and small forms of our own by name, and any edit of one by text."""

from __future__ import annotations

from dorsal.language.files import read_text_file
from dorsal.language.reader import Call, Reader, suggest
from dorsal.spec.network import Network, from_json
from dorsal.spec.text import format_network, parse_network
from dorsal.spec.timm import PREFIX, AnyNetwork, parse_timm
from dorsal.zoo import regnet, res2net, resnest, resnet, small

NETWORKS: dict[str, Network] = {
    **resnet.NETWORKS,
    **resnest.NETWORKS,
    **res2net.NETWORKS,
    **regnet.NETWORKS,
    **small.NETWORKS,
}
ALIASES: dict[str, str] = {**resnet.ALIASES, **resnest.ALIASES, **res2net.ALIASES, **regnet.ALIASES}


def named(name: str) -> Network:
    """The network of this name. ValueError with near matches when there is none."""
    key = name.lower()
    key = ALIASES.get(key, key)
    if key not in NETWORKS:
        raise ValueError(f"unknown network {name!r}{suggest(name, NETWORKS, 'dorsal list')}")
    return NETWORKS[key]


def any_network(text: str) -> AnyNetwork:
    """A network as `network` reads it, or one of timm by name (`timm:efficientnet_b0`), of which timm is not asked yet.

    Raises ValueError naming what is misspelt or cannot exist, with the nearest valid choice.
    """
    return parse_timm(text) if text.lstrip().startswith(PREFIX) else network(text)


def network(text: str) -> Network:
    """A network from text: a name, a name with edits (`resnet50(stem=deep)`), or the path of a JSON file.

    Raises ValueError naming what is misspelt or cannot exist, with the nearest valid choice; where an edit near the one
    that was asked for can exist, the sentence ends in its text.
    """
    if text.lstrip().startswith(PREFIX):
        name = parse_timm(text).full_name
        raise ValueError(f"{name} is of timm and can be shown and compared, nothing else: dorsal compare {name} …")
    if text.endswith(".json"):
        return from_json(read_text_file("network file", text))
    try:
        return parse_network(text, named)
    except ValueError as error:
        from dorsal.spec.nearest import answer, nearest_text  # here, as `dorsal list` starts without it

        near = nearest_text(text, lambda text: parse_network(text, named), (*NETWORKS, *ALIASES))
        raise answer(error, near) from None


def written_choices(text: str) -> frozenset[str]:
    """The choices that a network's text writes out, e.g. `stem` of `resnet50(stem=deep)`; none where it is a file."""
    if text.endswith(".json"):
        return frozenset()
    call = Reader(text).whole()
    return frozenset(call.arguments) if isinstance(call, Call) else frozenset()


def text_of(net: Network) -> str:
    """The shortest text that `network` reads back as this network: a name, or one with edits."""
    return format_network(net, NETWORKS)
