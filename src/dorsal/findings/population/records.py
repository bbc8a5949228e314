"""The analysis of a population: frozen data, written as JSON, read by the report. No torch.

Errors are in percent, differences of errors in percentage points. If there are too few networks to say something, the
field is None; `report.words.populations` says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import msgspec
from msgspec.structs import replace

from dorsal.findings.fronts import Front
from dorsal.findings.learning import Learning
from dorsal.jobs.results import NetworkStatus
from dorsal.space.sample import Sampling
from dorsal.space.space import Refinement
from dorsal.stats.axis import CategoricalProfile, NumericProfile
from dorsal.stats.best_of import BestOf, SearchCurve
from dorsal.stats.distribution import Band, Edf
from dorsal.stats.good_ranges import GoodRange, GoodValues
from dorsal.stats.interval import Estimate
from dorsal.stats.order_stability import PopulationReliability
from dorsal.stats.populations import PopulationComparison
from dorsal.stats.reliability import Reliability
from dorsal.stats.sample_size import SampleSize

FINDINGS_SCHEMA = 2
Value = float | str | None


class Counts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Numbers of networks by status, which add up to those drawn.

    A network is `finished` if its runs of all seeds are, else `diverged` or `failed` if any run is (in this order),
    else `waiting`. Only finished networks have an error.
    """

    finished: int
    diverged: int
    failed: int
    waiting: int


def counts_of(statuses: Sequence[NetworkStatus]) -> Counts:
    """The number of networks of each status."""
    return Counts(**{status: statuses.count(status) for status in get_args(NetworkStatus)})


class ErrorDistribution(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The distribution of errors with both bands: for the share at one error, and for the whole curve."""

    edf: Edf
    pointwise: Band
    simultaneous: Band


class NamedNetwork(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A network by its label among the arms of the study, and its error."""

    label: str
    error: float


class Errors(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The errors of a space's finished networks.

    - `median`: of the distribution. `middle`: the network whose error is next to it, the lower of two.
    - `distribution`: gives equal weight to networks. `by_complexity` ("macs", "params") gives equal weight to those
      levels of complexity in which every space has networks (see `PopulationFindings.shared_bins`); other networks are
      left out.
    - `search`: None for one network.
    """

    mean: Estimate
    median: Estimate
    best: NamedNetwork
    middle: NamedNetwork
    worst: NamedNetwork
    distribution: ErrorDistribution
    by_complexity: dict[str, ErrorDistribution]
    search: SearchCurve | None

    @property
    def searches(self) -> tuple[BestOf, ...]:
        """The search curve up to a quarter of the networks. Beyond that it would repeat the best ones.

        The first point, for one network, is the mean with the same interval as everywhere else.
        """
        points = [point for point in self.search.points if point.expected.low is not None] if self.search else []
        return tuple(replace(point, expected=self.mean) if point.k == 1 else point for point in points)


class AxisFinding(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Error against one axis. An axis by stage has one finding for each stage.

    - `name`: the axis, with its stage if it has one: "widths, stage 2".
    - `stage`: from 1.
    - `derived`: computed from what was drawn (total depth, for example).
    - `logarithmic`: drawn on a logarithmic scale, and so to be shown on one.
    - `values`: one for each network, in the order of `SpaceFinding.labels`. Numbers or text; None where the axis is not
      drawn.
    - `equals`: the axis that this one equals, so that it is not drawn itself. "" for an axis that is drawn.
    - `n`: the number of networks that draw the axis and have a result. `constant`: their value if they all have the
      same.
    - `numeric` and `good_range`, or `categorical` and `good_values`. All four are None if the axis equals another or is
      constant, and for fewer than FEWEST_FOR_AXES networks.
    - `adjusted_p`: of the good range or values, by Holm over all axes of the space.
    """

    name: str
    axis: str
    stage: int | None
    derived: bool
    logarithmic: bool
    values: tuple[Value, ...]
    numeric: NumericProfile | None = None
    categorical: CategoricalProfile | None = None
    good_range: GoodRange | None = None
    good_values: GoodValues | None = None
    adjusted_p: float | None = None
    equals: str = ""
    n: int = 0
    constant: Value = None

    @property
    def profiled(self) -> bool:
        """Whether there are enough networks, with several values."""
        return self.numeric is not None or self.categorical is not None


class Importance(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The share of the variance of predicted errors that one axis explains alone, 0 to 1 (see `importances`).

    `null` is the share of a shuffled copy of the axis, the median over shuffles. 95 % of such shares are below
    `null_high`, so a share up to that is noise. `n` networks draw the axis.
    """

    name: str
    share: Estimate
    null: float
    null_high: float
    above_null: bool
    n: int


class Importances(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The shares of the axes, the largest first, from `n` networks with a result.

    Each interval is from `resamples` rounds, each noise level from `permutations` shuffles. There are no shares for
    fewer than FEWEST_FOR_IMPORTANCE networks, if all have the error `constant`, and if no axis varies.
    """

    axes: tuple[Importance, ...]
    resamples: int
    permutations: int
    n: int
    constant: float | None = None


class LinearRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How near widths are to RegNet's quantised linear rule (e_fit), and whether the near ones are better.

    - `drawn`: the space draws its widths by this rule. Then nothing is computed.
    - `fits`: one for each network, in the order of `SpaceFinding.labels`. None where not computed: `computed` of the
      `finished` networks were fitted.
    - `correlation`: Kendall's tau-b of fit and error over the fitted networks, positive if a worse fit goes with a
      higher error. None for too few.
    """

    drawn: bool
    fits: tuple[float | None, ...]
    computed: int
    finished: int
    correlation: Estimate | None


class SpaceFinding(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One space. `labels`, `statuses`, `errors` (means over seeds) and each of `costs` have one entry for each network,
    in the order drawn.

    - `sampling`: how its networks were drawn.
    - `history`: how the space was narrowed, oldest first, each with the name and size of the space it changed.
    - `summary`: None if no network has a result.
    """

    name: str
    sampling: Sampling
    history: tuple[Refinement, ...]
    labels: tuple[str, ...]
    statuses: tuple[NetworkStatus, ...]
    errors: tuple[float | None, ...]
    costs: dict[str, tuple[float, ...]]
    counts: Counts
    summary: Errors | None
    axes: tuple[AxisFinding, ...]
    importances: Importances
    linear_rule: LinearRule


class SpacePair(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Two spaces compared. The adjusted p values in `comparison` are for all tests of all pairs.

    `comparison` is None if a space has fewer than FEWEST_OF_A_SPACE networks with a result.
    """

    a: str
    b: str
    comparison: PopulationComparison | None


class Planner(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The number of networks of each space that would show a difference, one plan for each difference.

    There are no plans for fewer than FEWEST_TO_PLAN degrees of `freedom` of the spread within spaces, and if the errors
    of each space are all equal.
    """

    plans: tuple[SampleSize, ...]
    freedom: int


class RankReliability(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whether networks of one space keep their ranks.

    `space` is a space, or "within spaces" for all pairs of networks of one space. `reliability` is None if no space has
    FEWEST_RANKED networks that finished.
    """

    space: str
    reliability: Reliability | None


class OrderReliability(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whether two spaces keep their order.

    `networks` of each have a result at every schedule. `reliability` is None if either has fewer than
    FEWEST_TO_RESAMPLE.
    """

    a: str
    b: str
    networks: tuple[int, int]
    reliability: PopulationReliability | None


class Retraining(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The outcomes of the networks of one space that were trained at one schedule, each under all seeds."""

    space: str
    budget: str
    counts: Counts


class ReliabilityFinding(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is known of the short schedule of `epochs` epochs. Without evidence everything else is empty.

    `ranks` are by space and, if there are several, last within all of them.
    """

    epochs: int
    retrained: tuple[Retraining, ...] = ()
    ranks: tuple[RankReliability, ...] = ()
    orders: tuple[OrderReliability, ...] = ()


class PopulationFindings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All findings on a population; `report.words.populations` says them in English.

    - `learning`: which networks can be told from having learnt nothing. If none can, `pairs` is empty; if most
      cannot, there are no plans.
    - `shared_bins`: for each complexity, in how many of its ten bins every space with a result has networks.
    """

    name: str
    recipe: str
    epochs: int
    seeds: int
    learning: Learning
    spaces: tuple[SpaceFinding, ...]
    pairs: tuple[SpacePair, ...]
    planner: Planner
    fronts: tuple[Front, ...]
    shared_bins: dict[str, int]
    reliability: ReliabilityFinding
    confidence: float
    schema: int = FINDINGS_SCHEMA

    def space(self, name: str) -> SpaceFinding:
        """The space of this name."""
        return next(space for space in self.spaces if space.name == name)
