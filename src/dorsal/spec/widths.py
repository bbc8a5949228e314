"""Rules that turn a few numbers into stages of widths, each with its source."""

from __future__ import annotations

from collections.abc import Iterator
from math import log, sqrt

import msgspec

from dorsal.language.reader import suggest
from dorsal.spec.cost import COSTS, cost
from dorsal.spec.layers import Size
from dorsal.spec.network import Network


def regnet_stages(
    w0: int, wa: float, wm: float, depth: int, quantum: int = 8
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Widths and depths of a RegNet's stages (arXiv 2003.13678 section 3.3, pycls `generate_regnet`).

    Block j has u = w0 + wa*j. Its width is w0 * wm**round(log_wm(u / w0)), rounded to a multiple of `quantum` (halves
    to even, in float64, as NumPy rounds in pycls). Blocks of equal width form a stage.

    Raises ValueError unless wa >= 0, w0 > 0, wm > 1, depth >= 1 and the quantum divides w0.
    """
    if wa < 0 or w0 <= 0 or wm <= 1 or depth < 1 or w0 % quantum:
        raise ValueError(
            f"w0={w0}, wa={wa}, wm={wm}, depth={depth}: a RegNet needs w0 > 0 and divisible by {quantum}, wa >= 0, "
            "wm > 1 and depth >= 1"
        )
    block_widths = []
    for j in range(depth):
        step = round(log((w0 + wa * j) / w0) / log(wm))
        block_widths.append(round(w0 * wm**step / quantum) * quantum)
    widths = tuple(sorted(set(block_widths)))
    return widths, tuple(block_widths.count(width) for width in widths)


def compatible_group_width(
    width: int, group_width: int, expansion: float = 1, max_loss: float = 1.0
) -> tuple[int, int]:
    """Width and group width that fit each other (pycls `adjust_block_compatibility`, paper appendix D).

    The group width becomes at most the inner width. The inner width moves to the nearest multiple of the group width,
    or to the next one if it would lose a larger share than `max_loss`. With 0.1 this is `make_divisible` of torchvision
    and timm, which round halves up.
    """
    inner = max(1, int(width / expansion))
    group_width = min(group_width, inner)
    if max_loss < 1:
        fitting = max(group_width, int(inner + group_width / 2) // group_width * group_width)
        fitting += group_width if fitting < (1 - max_loss) * inner else 0
    else:
        fitting = max(group_width, round(inner / group_width) * group_width)
    return int(fitting * expansion), group_width


class MatchedWidths(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A network with scaled stage widths, and the `value` that its matched cost then has."""

    network: Network
    value: int


def match_cost(
    network: Network, measure: str, target: int, image_size: int | Size = 224, tolerance: float = 0.02
) -> MatchedWidths:
    """Scales the stage widths until `measure`, one of `COSTS`, is `target` within `tolerance`.

    All stages scale by one factor, rounded to the coarsest step of 32, 16, 8 or 4 channels that reaches the target.
    Then single stages may move by one step. The stem, the depths and all other choices stay.

    Raises ValueError for an unknown measure, or with the nearest value reached if none is within the tolerance.
    """
    if measure not in COSTS:
        raise ValueError(f"match={measure!r} is not a cost{suggest(measure, COSTS)}")
    if target < 1:
        raise ValueError(f"match {measure}={target} must be positive")

    def value(candidate: Network) -> int:
        return int(getattr(cost(candidate, image_size), measure))

    def distance(candidate: Network) -> int:
        return abs(value(candidate) - target)

    best = network
    for step in (32, 16, 8, 4):
        if distance(best) <= tolerance * target:
            break
        factor = 1.0
        for _ in range(12):  # cost grows about with the square of the width, so this gets close
            factor *= sqrt(target / value(_scaled(network, factor, step)))
        best = min((_scaled(network, factor * (0.85 + 0.01 * i), step) for i in range(31)), key=distance)
        best = min((best, *_moved_by_one_step(best, step)), key=distance)
    if distance(best) > tolerance * target:
        raise ValueError(
            f"no widths of this network give {measure}={target} within {tolerance:.0%}; nearest reached: {value(best)}"
        )
    return MatchedWidths(best, value(best))


def _scaled(network: Network, factor: float, step: int) -> Network:
    """The network with all stage widths times `factor`, each the nearest multiple of `step` that its block allows."""
    candidate: Network | None = None
    for stage in network.stages:
        before = candidate.stages if candidate is not None else ()
        for width in _multiples(stage.width * factor, step):
            stages = (*before, msgspec.structs.replace(stage, width=width))
            try:
                candidate = msgspec.structs.replace(network, stages=stages)
                break
            except ValueError:
                continue
        else:
            raise ValueError(
                f"no multiple of {step} channels near {stage.width * factor:.0f} fits the blocks of {stage}"
            )
    if candidate is None:
        raise ValueError("a network without stages cannot be scaled")
    return candidate


def _multiples(near: float, step: int) -> Iterator[int]:
    """At most 127 multiples of `step`, in order of their distance from `near`."""
    middle = max(round(near / step), 1)
    for offset in range(64):
        for index in (middle + offset, middle - offset) if offset else (middle,):
            if index >= 1:
                yield index * step


def _moved_by_one_step(network: Network, step: int) -> Iterator[Network]:
    for index, stage in enumerate(network.stages):
        for width in (stage.width - step, stage.width + step):
            stages = list(network.stages)
            stages[index] = msgspec.structs.replace(stage, width=width)
            try:
                yield msgspec.structs.replace(network, stages=tuple(stages))
            except ValueError:
                continue
