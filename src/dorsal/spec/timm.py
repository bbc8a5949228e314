"""Networks of timm, described by name: `timm:efficientnet_b0`. They are built and measured in nn/timm.py.

Dorsal cannot edit or scale such a network; it is there to be compared with. No torch and no timm.
"""

from __future__ import annotations

import msgspec

from dorsal.language.fields import read_fields
from dorsal.language.reader import Call, Reader
from dorsal.spec.network import Network, network_hash
from dorsal.spec.stage import Head

PREFIX = "timm:"


class TimmNetwork(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="timm"):
    """The model that timm calls `name`, without pretrained weights. Whether timm knows it shows when it is built.

    Raises ValueError for a number below 1.
    """

    name: str
    classes: int = 1000
    in_channels: int = 3

    def __post_init__(self) -> None:
        for field in ("classes", "in_channels"):
            if getattr(self, field) < 1:
                raise ValueError(f"{field}={getattr(self, field)} is below 1; nearest valid: 1")

    @property
    def full_name(self) -> str:
        """What the network is called beside Dorsal's own."""
        return f"{PREFIX}{self.name}"

    @property
    def head(self) -> Head:
        """The classes, where a `Network` has them too."""
        return Head(self.classes)


AnyNetwork = Network | TimmNetwork


def parse_timm(text: str) -> TimmNetwork:
    """Reads `timm:NAME` or `timm:NAME(classes=10)`.

    Raises ValueError for text that is neither, or an argument other than classes and in_channels.
    """
    call = Reader(text).whole()
    name = call.name.removeprefix(PREFIX) if isinstance(call, Call) and call.name.startswith(PREFIX) else ""
    if not name:
        raise ValueError(f"{text!r} names no network of timm; expected e.g. timm:efficientnet_b0")
    return TimmNetwork(name, **read_fields(call.arguments, TimmNetwork, f"{PREFIX}{name}", name_field="name"))


def timm_text(network: TimmNetwork) -> str:
    """The text that `parse_timm` reads back as this network."""
    defaults = TimmNetwork(network.name)
    given = [
        f"{field}={getattr(network, field)}"
        for field in TimmNetwork.__struct_fields__
        if getattr(network, field) != getattr(defaults, field)
    ]
    return f"{network.full_name}({', '.join(given)})" if given else network.full_name


def hash_of(network: AnyNetwork) -> str:
    """16 hexadecimal digits for either kind of network. Those of timm go by their text, whatever timm's version."""
    if isinstance(network, Network):
        return network_hash(network)
    import hashlib  # here, as `dorsal list` starts without it

    return hashlib.sha256(timm_text(network).encode()).hexdigest()[:16]
