"""Networks of timm, by name: `timm:efficientnet_b0`. nn/timm.py builds and measures them.

They can be compared with Dorsal's networks, but not edited or scaled. No torch and no timm.
"""

from __future__ import annotations

import msgspec

from dorsal.language.fields import read_fields
from dorsal.language.reader import Call, Reader
from dorsal.spec.network import Network, network_hash
from dorsal.spec.stage import Head

PREFIX = "timm:"


class TimmNetwork(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="timm"):
    """The model that timm calls `name`, without pretrained weights. Building it shows whether timm knows the name.

    With 0 classes it has no classifier. Raises ValueError for fewer, and for a number of channels below 1.
    """

    name: str
    classes: int = 1000
    in_channels: int = 3

    def __post_init__(self) -> None:
        for field, least in (("classes", 0), ("in_channels", 1)):
            if getattr(self, field) < least:
                raise ValueError(f"{field}={getattr(self, field)} is below {least}; nearest valid: {least}")

    @property
    def full_name(self) -> str:
        """The name of the network among Dorsal's own."""
        return f"{PREFIX}{self.name}"

    @property
    def head(self) -> Head:
        """The head, as in a `Network`, with the classes."""
        return Head(self.classes)


AnyNetwork = Network | TimmNetwork


def parse_timm(text: str) -> TimmNetwork:
    """The network of a text `timm:NAME` or `timm:NAME(classes=10)`.

    Raises ValueError for other text, or for an argument other than classes and in_channels.
    """
    call = Reader(text).whole()
    name = call.name.removeprefix(PREFIX) if isinstance(call, Call) and call.name.startswith(PREFIX) else ""
    if not name:
        raise ValueError(f"{text!r} names no network of timm; expected e.g. timm:efficientnet_b0")
    return TimmNetwork(name, **read_fields(call.arguments, TimmNetwork, f"{PREFIX}{name}", name_field="name"))


def timm_text(network: TimmNetwork) -> str:
    """The text from which `parse_timm` reads this network."""
    defaults = TimmNetwork(network.name)
    given = [
        f"{field}={getattr(network, field)}"
        for field in TimmNetwork.__struct_fields__
        if getattr(network, field) != getattr(defaults, field)
    ]
    return f"{network.full_name}({', '.join(given)})" if given else network.full_name


def hash_of(network: AnyNetwork) -> str:
    """16 hexadecimal digits for either kind of network. For timm's they depend on the text only, not on timm's
    version.
    """
    if isinstance(network, Network):
        return network_hash(network)
    import hashlib  # only here: `dorsal list` starts faster without it

    return hashlib.sha256(timm_text(network).encode()).hexdigest()[:16]
