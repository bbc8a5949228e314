"""The formats by name, and how a file's names tell them apart."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator

from dorsal.language.reader import suggest
from dorsal.spec.network import Network
from dorsal.spec.stem import Dla, Simple
from dorsal.weights.formats import detectron2, dla, dorsal, mm, pytorch_resnet_cifar10, regnet, resnet
from dorsal.weights.formats.naming import PREFIX, Naming


def _torchvision(network: Network) -> Naming:
    if isinstance(network.stem, Simple):
        return regnet.torchvision(network)
    return resnet.names("torchvision", network, resnet.TORCHVISION)


def _timm(network: Network) -> Naming:
    if isinstance(network.stem, Simple):
        return regnet.timm(network)
    if isinstance(network.stem, Dla):
        return dla.timm(network)
    return resnet.names("timm", network, resnet.TIMM)


def _res2net(network: Network) -> Naming:
    if isinstance(network.stem, Dla):
        return dla.res2net(network)
    return resnet.names("res2net", network, resnet.RES2NET)


FORMATS: dict[str, Callable[[Network], Naming]] = {
    "dorsal": dorsal.names,
    "torchvision": _torchvision,
    "timm": _timm,
    "resnest": lambda network: resnet.names("resnest", network, resnet.RESNEST),
    "res2net": _res2net,
    "pycls": regnet.pycls,
    "mm": mm.mm,
    "mmdet": mm.mmdet,
    "detectron2": detectron2.names,
    "pytorch_resnet_cifar10": pytorch_resnet_cifar10.names,
}
"""Format → its names of a network's modules. Each raises ValueError if the package has no such network."""

_SIGNS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("dorsal", ("stem.convs.0.conv.weight",)),
    ("pycls", ("s1.b1.f.a.weight", "head.fc.weight")),
    ("detectron2", ("s1.b1.f.a.weight",)),
    ("detectron2", ("res2.0.conv1.norm.weight",)),
    ("torchvision", ("trunk_output.block1.block1-0.f.a.0.weight",)),
    ("timm", ("s1.b1.conv1.conv.weight",)),
    ("res2net", ("level2.tree1.conv1.weight", "level3.project.0.weight")),
    ("timm", ("level2.tree1.conv1.weight",)),
    ("pytorch_resnet_cifar10", ("layer1.0.conv1.weight", "linear.weight")),
    ("mm", ("layer1.0.conv1.weight", "head.fc.weight")),
    ("mm", ("layer1.0.conv1.weight", "stem.0.conv.weight")),
    ("mmdet", ("layer1.0.conv1.weight", "stem.0.weight")),
    ("timm", ("layer1.0.conv1.weight", "layer1.0.se.fc1.weight")),
    ("timm", ("layer1.0.conv2.paths.0.conv.weight",)),
    ("timm", ("layer1.0.conv1.paths.0.conv.weight",)),
    ("resnest", ("layer1.0.conv2.bn0.weight",)),
    ("res2net", ("layer1.0.convs.0.weight",)),
    ("timm", ("layer1.0.conv1.weight", "conv1.0.weight")),
    ("torchvision", ("layer1.0.conv1.weight", "conv1.weight")),
)
"""Formats with names that all their files have. The first whose names are all there wins: from special to general."""


def recognise(keys: Iterable[str]) -> str:
    """The format of these names. Where packages name alike, it is the one that the architecture is from: a plain
    ResNet is `torchvision`, also from timm. Raises ValueError for an unknown format."""
    keys = {key.removeprefix(PREFIX) for key in keys}
    name = _format_of(keys)
    if name is None:
        first = ", ".join(sorted(keys)[:3])
        raise ValueError(f"the names {first}, … are of no known format; known: {', '.join(FORMATS)}")
    return name


def find_networks(keys: Collection[str]) -> dict[str, str]:
    """Prefix → format of each network among these names, such as {"module.": "timm"}.

    A network is found by the names that all files of a format have, with or without a classifier. The prefix
    "backbone." of MMPretrain's classifiers belongs to the format, not to the prefix.
    """
    starts = {key.removesuffix(signs[0]) for _, signs in _SIGNS for key in keys if key.endswith(signs[0])}
    found: dict[str, str] = {}
    for start in sorted(start for start in starts if not start or start.endswith(".")):
        whole = start.removesuffix(PREFIX)
        if _format_of({name.removeprefix(PREFIX) for name in _after(whole, keys)}) == "mm":
            found[whole] = "mm"
        elif name := _format_of(set(_after(start, keys))):
            found[start] = name
    return found


def _after(start: str, keys: Iterable[str]) -> Iterator[str]:
    return (key.removeprefix(start) for key in keys if key.startswith(start))


def _format_of(keys: set[str]) -> str | None:
    return next((name for name, signs in _SIGNS if keys.issuperset(signs)), None)


def naming_of(name: str, network: Network) -> Naming:
    """The names of a network in a format.

    Raises ValueError for an unknown format, or one without such a network; it then lists the formats that have one.
    """
    if name not in FORMATS:
        raise ValueError(f"unknown format {name!r}{suggest(name, FORMATS)}")
    try:
        return FORMATS[name](network)
    except ValueError as error:
        raise ValueError(f"{error}; formats that have one: {', '.join(_formats_of(network))}") from None


def _formats_of(network: Network) -> Iterator[str]:
    for name, naming in FORMATS.items():
        try:
            naming(network)
        except ValueError:
            continue
        yield name
