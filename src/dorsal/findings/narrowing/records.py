"""What narrowing a space proposes, and on what evidence: frozen data. No torch."""

from __future__ import annotations

from typing import Literal

import msgspec

from dorsal.findings.population.records import Counts
from dorsal.space.space import Space
from dorsal.stats.distribution import Band, Edf
from dorsal.stats.good_ranges import GoodRange, GoodValues
from dorsal.stats.non_inferiority import ErrorIncrease

Kind = Literal["range", "share", "monotone"]
Evidence = Literal["population", "members"]


class StepVerdict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One step that was considered, and why it was taken or refused.

    - `change`: as the history of the new space says it. `points`: the size of the space were this the only step; None
      where there is nothing to change (a good range as wide as the axis).
    - `good_range` or `good_values`: of a range, by the bootstrap. `adjusted_p`: of the axis having nothing to do with
      the errors (`narrowing_steps.ranges`), by Holm over all ranges.
    - `cost`: in error points, with the simultaneous interval that decides (see `propose`), by `evidence`: a population
      of the narrower space in the same folder, or the members of this one.
    - `needed`: so many networks of either space would show that a step of no cost costs less than the margin. None
      where that is settled, and above a million.
    """

    kind: Kind
    axis: str
    change: str
    taken: bool
    sentence: str
    points: float | None = None
    good_range: GoodRange | None = None
    good_values: GoodValues | None = None
    adjusted_p: float | None = None
    evidence: Evidence | None = None
    cost: ErrorIncrease | None = None
    needed: int | None = None


class Curve(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The distribution of errors (percent), with the band for the whole curve."""

    edf: Edf
    band: Band


class ProposedSpace(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The next space.

    - `of`: the space as it was sampled, under `bounds`. `space`: the narrower one; None where no step was taken.
    - `counts`: what became of the networks of the old space. All but the finished ones are left out.
    - `before`: all finished networks. `after`: those of them that lie in the new space, or the population of that
      space where the folder has one. None where there is no network.
    - `points`, `dimensions`: of the old and of the new space.
    - `sentences`: the conclusion, and its limits.
    """

    of: Space
    bounds: dict[str, str]
    space: Space | None
    sentences: tuple[str, ...]
    considered: tuple[StepVerdict, ...]
    counts: Counts
    before: Curve | None
    after: Curve | None
    points: tuple[float, float]
    dimensions: tuple[int, int]
    margin: float
    confidence: float
