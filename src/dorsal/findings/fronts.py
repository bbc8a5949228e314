"""Error against cost: the networks that no other beats in both. Pure; no torch."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from dorsal.stats.rank import pareto_front


class Front(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The networks that no other beats in both error and `cost`, from the cheapest to the best.

    `cost` is the name of a quantity, such as "macs" or "forward_b1_ms".
    """

    cost: str
    labels: tuple[str, ...]
    costs: tuple[float, ...]
    errors: tuple[float, ...]


def front_of(cost: str, networks: Mapping[str, tuple[float, float]]) -> Front:
    """The front of these networks. `networks` holds the cost and the error in percent, by label."""
    labels = pareto_front(networks)
    return listed(cost, labels, networks)


def listed(cost: str, labels: tuple[str, ...], networks: Mapping[str, tuple[float, float]]) -> Front:
    """These networks as a front, in this order."""
    return Front(
        cost=cost,
        labels=labels,
        costs=tuple(networks[label][0] for label in labels),
        errors=tuple(networks[label][1] for label in labels),
    )
