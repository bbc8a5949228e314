"""What narrowing a space proposes, and on what evidence: frozen data. No torch."""

from __future__ import annotations

from typing import Literal

import msgspec

from dorsal.findings.learning import Learning
from dorsal.findings.population.records import Counts, ReliabilityFinding
from dorsal.space.space import Space
from dorsal.stats.distribution import Band, Edf
from dorsal.stats.good_ranges import GoodRange, GoodValues
from dorsal.stats.interval import Need
from dorsal.stats.non_inferiority import ErrorIncrease

Kind = Literal["range", "share", "monotone"]
Evidence = Literal["population", "members"]


class Within(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="within"):
    """The best networks have values from `low` to `high`. None for an end that the step does not change."""

    low: float | None
    high: float | None


class Among(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="among"):
    """The best networks have one of these values."""

    values: tuple[str, ...]


class Without(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="without"):
    """Whether the best networks do without this value, in all stages."""

    value: str
    unused: bool


Best = Within | Among | Without
"""Where the best networks lie on an axis."""


class StepVerdict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One step that was considered, and whether it is taken; `report.words.narrowing` says why.

    - `change`: as in the history of the new space. "" if nothing changes (a good range as wide as the axis).
    - `points`: the size of the space after this step alone. None if nothing changes.
    - `best`, and `good_range` or `good_values`: for a range, by the bootstrap.
    - `adjusted_p`: the p value that the axis has nothing to do with the errors (`findings.narrowing.steps.ranges`), by
      Holm over all ranges.
    - `cost`: in error points, with the simultaneous interval that decides (see `propose_space`).
    - `evidence`: for the cost: a population of the narrower space in the same folder, or the members of this one.
    - `needed`: the number of networks of either space that would show a cost of 0 to be below the margin. None if that
      is settled or cannot be known.
    - `dropped`: the evidence supports the step, but after other steps the axis is never drawn.
    """

    kind: Kind
    axis: str
    change: str
    taken: bool
    points: float | None = None
    best: Best | None = None
    good_range: GoodRange | None = None
    good_values: GoodValues | None = None
    adjusted_p: float | None = None
    evidence: Evidence | None = None
    cost: ErrorIncrease | None = None
    needed: Need | None = None
    dropped: bool = False


class Curve(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The distribution of errors (percent), with the band for the whole curve."""

    edf: Edf
    band: Band


class ProposedSpace(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The next space.

    - `of`: the space as it was sampled, under `bounds`.
    - `space`: the narrower space. None if no step is taken.
    - `counts`: the status of the networks of the old space. Only the finished ones are used.
    - `alike`: the errors between which half of the networks lie, if they are within the margin of each other. Then no
      step is considered.
    - `learning`: which finished networks can be told from having learnt nothing. If most cannot, no step is
      considered.
    - `before`, `after`: the errors of all finished networks, and of those in the new space (of its own population if
      the folder has one). None without a network.
    - `points`, `dimensions`: of the old and of the new space.
    - `reliability`: what is known of the schedule.
    """

    of: Space
    bounds: dict[str, str]
    space: Space | None
    considered: tuple[StepVerdict, ...]
    counts: Counts
    alike: tuple[float, float] | None
    learning: Learning
    before: Curve | None
    after: Curve | None
    points: tuple[float, float]
    dimensions: tuple[int, int]
    margin: float
    confidence: float
    reliability: ReliabilityFinding
