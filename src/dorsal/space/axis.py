"""One axis of a design space as written, and the linear rule over four of them. Frozen data."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from dorsal.space.distributions import Distribution, Value


class Axis(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How one choice of the network is drawn.

    - `by_stage`: True draws a value for each stage, False one value for all stages.
    - `when`: makes the axis conditional. It is drawn where each axis named here has one of the listed values, and
      elsewhere the choice keeps its value. An element is listed as a whole or by its name alone: `split_attention`
      means any split attention.
    """

    draw: Distribution
    by_stage: bool = False
    when: Mapping[str, tuple[Value, ...]] = {}


class Linear(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Depths and widths by RegNet's quantised linear rule (`spec.widths.regnet_stages`), from the four axes
    `linear.depth`, `linear.w0`, `linear.wa` and `linear.wm`.

    As in pycls, a point is rejected if its number of stages is not in `stages` (lowest, highest), or if it has fewer
    stages than steps of the rule because two steps are empty or round to one width.

    Raises ValueError for impossible stages or an impossible quantum.
    """

    stages: tuple[int, int] = (4, 4)
    quantum: int = 8

    def __post_init__(self) -> None:
        low, high = self.stages
        if not 1 <= low <= high:
            raise ValueError(f"linear.stages=[{low}, {high}] must be the least and the most, e.g. [4, 4]")
        if self.quantum < 1:
            raise ValueError(f"linear.quantum={self.quantum} is below 1; nearest valid: 1")
