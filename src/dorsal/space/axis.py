"""One axis of a design space as written, and the linear rule that ties four of them. Frozen data."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from dorsal.space.distributions import Distribution, Value


class Axis(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How one choice of the network is drawn.

    `by_stage` draws it for each stage, else all stages share one draw. `when` makes the axis conditional: it is drawn
    where each axis named there has one of the listed values (an element also by its name alone: `split_attention`
    stands for any split attention); elsewhere the choice stays as it is.
    """

    draw: Distribution
    by_stage: bool = False
    when: Mapping[str, tuple[Value, ...]] = {}


class Linear(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Depths and widths by RegNet's quantised linear rule (`spec.widths.regnet_stages`) from the four axes
    `linear.depth`, `linear.w0`, `linear.wa` and `linear.wm`.

    A point is rejected, as in pycls, when its number of stages is not in `stages`, lowest and highest, or when two
    steps of the rule are empty or round to one width, so that it has fewer stages than steps. Raises ValueError for
    stages or a quantum that cannot be.
    """

    stages: tuple[int, int] = (4, 4)
    quantum: int = 8

    def __post_init__(self) -> None:
        low, high = self.stages
        if not 1 <= low <= high:
            raise ValueError(f"linear.stages=[{low}, {high}] must be the least and the most, e.g. [4, 4]")
        if self.quantum < 1:
            raise ValueError(f"linear.quantum={self.quantum} is below 1; nearest valid: 1")
