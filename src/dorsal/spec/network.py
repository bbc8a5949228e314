"""What a network is: Network = Stem + Stages + Head. Frozen data, validated when made, no torch."""

from __future__ import annotations

import msgspec

from dorsal.spec.check import check_network
from dorsal.spec.digest import digest
from dorsal.spec.stage import Activation, Head, Norm, Stage
from dorsal.spec.stem import Conv7x7, Stem


class Network(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="network"):
    """A whole network. Making one checks it: an impossible combination raises ValueError with the reason."""

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
    """The network as one line of JSON, every field written out."""
    return msgspec.json.encode(network).decode()


def from_json(text: str | bytes) -> Network:
    """A network from JSON. ValueError names an unknown or missing field, or a value of the wrong type."""
    try:
        return msgspec.json.decode(text, type=Network)
    except msgspec.DecodeError as error:
        raise ValueError(f"not a network: {error}") from None


def network_hash(network: Network) -> str:
    """16 hexadecimal digits that depend on the choices of the network and on nothing else.

    Choices at their defaults do not count, so a field added to the grammar later leaves the hashes of all networks
    that do not use it as they were.
    """
    return digest(network)
