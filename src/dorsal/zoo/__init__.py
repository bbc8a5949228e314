"""The published networks and small forms of our own by name, and any edit of one by text."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from dorsal.language.files import PathLike, at_home, read_text_file
from dorsal.language.reader import Call, Reader, suggest, wrong_type
from dorsal.spec.network import Network, from_json
from dorsal.spec.text import format_network, parse_network
from dorsal.spec.timm import PREFIX, AnyNetwork, TimmNetwork, parse_timm, timm_text
from dorsal.zoo import regnet, res2net, resnest, resnet, small

if TYPE_CHECKING:
    from pathlib import Path

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


def any_network(given: AnyNetwork | PathLike, argument: str = "network") -> AnyNetwork:
    """A network as `network` reads it, or one of timm: a value, or its name (`timm:efficientnet_b0`), of which timm is
    not asked yet.

    Raises as `network` does.
    """
    if isinstance(given, TimmNetwork):
        return given
    if isinstance(given, str) and given.lstrip().startswith(PREFIX):
        return parse_timm(given)
    return network(given, argument)


def network(given: Network | PathLike, argument: str = "network") -> Network:
    """A network from what people have of it: a value, a name, a name with edits (`resnet50(stem=deep)`), or the path of
    a JSON file.

    Raises ValueError naming what is misspelt or cannot exist, with the nearest valid choice. The sentence ends in
    the text of a network near this one, or, for a path of something else, in the call that reads it. Raises TypeError
    naming the argument for anything else.
    """
    if isinstance(given, Network):
        return given
    if not isinstance(given, (str, os.PathLike)):
        raise wrong_type(argument, given, "a network, its text such as 'resnet50', or the path of its JSON file")
    text = os.fspath(given)
    if text.lstrip().startswith(PREFIX):
        name = parse_timm(text).full_name
        raise ValueError(f"{name} is of timm and can be shown and compared, nothing else: dorsal compare {name} …")
    if text.endswith(".json"):
        return from_json(read_text_file("network file", text))
    try:
        return parse_network(text, named)
    except ValueError as error:
        from pathlib import Path  # here, as `dorsal list` starts without it

        path = Path(at_home(text))
        if max(map(len, path.parts), default=0) <= 255:  # no file has a longer name
            if instead := _instead(path, text):
                raise ValueError(f"{text!r} {instead}") from error
            if path.name != text or isinstance(given, os.PathLike):
                raise ValueError(
                    f"{text!r} is no file or folder, nor the text of a network, such as resnet50"
                ) from error
        from dorsal.spec.nearest import answer, nearest_text

        near = nearest_text(text, lambda text: parse_network(text, named), (*NETWORKS, *ALIASES))
        raise answer(error, near) from None


def _instead(path: Path, text: str) -> str:
    """What there is at a path that was taken for a network, and what reads it; "" where there is nothing."""
    if (path / "model.json").is_file():
        return f"is a model's folder; dorsal.load_model({text!r}) loads it{_changed(path, text)}"
    if (path / "study.json").is_file():
        return f"is a study's folder, not a network; dorsal.load({text!r}) reads it"
    if path.is_file():
        return f"is a file; name its network too, as in dorsal.create('resnet50', weights={text!r})"
    return "is a folder without a model" if path.is_dir() and path.parts else ""


class _Card(msgspec.Struct):
    text: str


def _changed(path: Path, text: str) -> str:
    """How a model's folder becomes another network's weights, where its card can be read."""
    try:
        name = msgspec.json.decode((path / "model.json").read_bytes(), type=_Card).text
    except (OSError, msgspec.DecodeError):
        return ""
    return f", and dorsal.create({name!r}, weights={text!r}) changes its head or stem"


def written_choices(text: str) -> frozenset[str]:
    """The choices that a network's text writes out, e.g. `stem` of `resnet50(stem=deep)`; none where it is a file."""
    if text.endswith(".json"):
        return frozenset()
    call = Reader(text).whole()
    return frozenset(call.arguments) if isinstance(call, Call) else frozenset()


def network_text(argument: str, given: AnyNetwork | os.PathLike[str]) -> str:
    """The text that `any_network` reads as this network, or as the file at this path. Raises TypeError for others."""
    if isinstance(given, os.PathLike):
        return os.fspath(given)
    found = any_network(given, argument)
    return text_of(found) if isinstance(found, Network) else timm_text(found)


def text_of(net: Network) -> str:
    """The shortest text that `network` reads back as this network: a name, or one with edits."""
    return format_network(net, NETWORKS)
