"""Which blocks of a network bear int8 least, and how few of them must stay in floating point. No torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec


class Sensitivity(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The error of the network where one block alone is in int8, and all others in floating point."""

    block: str
    error: float


def sensitivities(blocks: Sequence[str], error: Callable[[tuple[str, ...]], float]) -> tuple[Sensitivity, ...]:
    """What each block's quantization costs by itself, the most sensitive first. `error` is that of the network, on
    images that ranges do not come from, where the blocks that it is told stay in floating point.

    All blocks but one are kept, and not one alone: errors of blocks add up as squares, so that what one of them takes
    away from the error of all is lost among the others.
    """
    found = [
        Sensitivity(block=block, error=error(tuple(other for other in blocks if other != block))) for block in blocks
    ]
    return tuple(sorted(found, key=lambda each: -each.error))


def fewest_kept(ranked: Sequence[str], is_right: Callable[[tuple[str, ...]], bool]) -> tuple[str, ...] | None:
    """The fewest of the blocks, the first of `ranked`, that must stay in floating point for the form to be right, found
    by halving; None where it is right with none in int8 but the last, or not even so.

    What is returned was asked about.
    """
    if is_right(()):
        return ()
    wrong, right = 0, len(ranked)
    while right - wrong > 1:
        middle = (wrong + right) // 2
        wrong, right = (wrong, middle) if is_right(tuple(ranked[:middle])) else (middle, right)
    return tuple(ranked[:right]) if right < len(ranked) else None
