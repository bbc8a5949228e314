"""What a network is: stem, stages and head. Frozen data, validated when made, no torch."""

from __future__ import annotations

import msgspec

from dorsal.spec.check import check_network
from dorsal.spec.digest import digest
from dorsal.spec.stage import Activation, Head, Norm, Stage
from dorsal.spec.stem import Conv7x7, Stem


class Network(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="network"):
    """A whole network. The constructor raises ValueError with the reason if the combination cannot exist."""

    stages: tuple[Stage, ...]
    stem: Stem = Conv7x7()
    head: Head = Head()
    activation: Activation = "relu"
    norm: Norm = "batch"
    in_channels: int = 3

    def __post_init__(self) -> None:
        check_network(self.stem, self.stages, self.head, self.in_channels)

    @property
    def total_stride(self) -> int:
        """Input pixels per position of the last feature map, along one side."""
        total = self.stem.stride * (2 if self.stem.pool else 1)
        for stage in self.stages:
            total *= stage.stride
        return total


def to_json(network: Network) -> str:
    """The network as one line of JSON, with every field."""
    return msgspec.json.encode(network).decode()


def from_json(text: str | bytes) -> Network:
    """A network from JSON. ValueError names an unknown or missing field, or a value of the wrong type."""
    try:
        return msgspec.json.decode(text, type=Network)
    except msgspec.DecodeError as error:
        raise ValueError(f"not a network: {error}") from None


def network_hash(network: Network) -> str:
    """16 hexadecimal digits that depend only on the choices of the network.

    Choices at their defaults do not count. So a field added to the grammar later changes no hash of a network that does
    not use it.
    """
    return digest(network)
