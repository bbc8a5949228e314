"""How much of the variance of results comes from arm, recipe, interaction, seed and the rest."""

from __future__ import annotations

from itertools import chain, combinations

import msgspec
import numpy as np
import numpy.typing as npt
from scipy import special

from dorsal.stats.interval import Array, Estimate, as_results, check_confidence

POSTERIOR_DRAWS = 10_000
EFFECTS = ("arm", "recipe", "interaction", "seed")


class Shares(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Shares of the total variance, each 0 to 1, with sum 1, in the order arm, recipe, interaction, seed,
    residual.

    With one recipe there is no recipe and no interaction. There are no intervals if the residual is zero. `seeds`
    counts the complete seeds used, `dropped` the incomplete ones.
    """

    shares: dict[str, Estimate]
    seeds: int
    dropped: int
    confidence: float


class SumsOfSquares(msgspec.Struct, frozen=True, kw_only=True):
    """Analysis of variance: sum of squares and degrees of freedom for each effect and for the residual.

    `divisor` turns the excess of an effect's sum of squares over noise into its variance in the table. The seed is
    always last. It is random, so its divisor has one seed fewer.
    """

    names: tuple[str, ...]
    squares: Array
    freedom: Array
    divisor: Array
    residual_squares: float
    residual_freedom: int


def variance_shares(values: npt.ArrayLike, confidence: float = 0.95) -> Shares:
    """Shares of the variance of `values` [arms, recipes, seeds], None or NaN where there is no result.

    The variance is that of one result drawn from this table: a random arm and recipe of those tried, and a new seed. So
    arms and recipes are fixed (nothing is claimed about untried arms) and seeds are random:

        result = arm + recipe + interaction + seed + residual

    `seed` is the effect of a seed on all cells alike (data order, split), `residual` its effect on each cell alone. The
    estimates equate mean squares to their expectations (omega squared). Negative ones become 0 before dividing by the
    sum. A seed that lacks any cell is dropped everywhere and counted.

    Intervals are generalised confidence intervals (Weerahandi 1993), since 3 seeds are too few to resample. Each sum of
    squares is inverted to a distribution of its parameter, and the share is computed for POSTERIOR_DRAWS joint draws
    from a fixed random state. These intervals alone miss too often if other shares are exactly 0. So they are also
    computed for every model without effects that are jointly not significant at (1 - confidence) / 2, and the final
    interval spans all of them. Measured coverage: docs/statistics.md. Noise is assumed normal and equal in all cells.

    Raises ValueError for values that are not three-dimensional, fewer than 2 arms, no recipe, fewer than 2 complete
    seeds, results that are all equal, infinite values, or a confidence that is not between 0 and 1.
    """
    check_confidence(confidence)
    results = as_results(values, "values")
    if results.ndim != 3:
        raise ValueError(f"values has shape {results.shape}: it must be [arms, recipes, seeds]")
    complete = ~np.isnan(results).any(axis=(0, 1))
    dropped = int((~complete).sum())
    results = results[:, :, complete]
    arms, recipes, seeds = results.shape
    if arms < 2 or recipes < 1 or seeds < 2:
        raise ValueError(
            f"values has {arms} arm(s), {recipes} recipe(s) and {seeds} complete seed(s), {dropped} dropped: "
            "at least 2 arms, 1 recipe and 2 complete seeds are needed"
        )
    if np.ptp(results) == 0:
        raise ValueError(f"values are all {results[0, 0, 0]}: there is no variance to share out")
    table = sums_of_squares(results)
    point = _components(table)
    point = point / point.sum()
    bounds = share_bounds(table, confidence, np.random.default_rng(0)) if table.residual_squares else None
    return Shares(
        shares={
            name: Estimate(
                value=float(point[k]),
                low=None if bounds is None else float(bounds[0, k]),
                high=None if bounds is None else float(bounds[1, k]),
            )
            for k, name in enumerate((*table.names, "residual"))
        },
        seeds=seeds,
        dropped=dropped,
        confidence=confidence,
    )


def sums_of_squares(results: Array) -> SumsOfSquares:
    """Two-way analysis of variance of complete `results` [arms, recipes, seeds], with seeds as blocks."""
    arms, recipes, seeds = results.shape
    centred = results - results.mean()
    arm = centred.mean(axis=(1, 2))
    recipe = centred.mean(axis=(0, 2))
    seed = centred.mean(axis=(0, 1))
    interaction = centred.mean(axis=2) - arm[:, None] - recipe
    residual = centred - arm[:, None, None] - recipe[:, None] - interaction[:, :, None] - seed
    replicates = np.array([recipes * seeds, arms * seeds, seeds, arms * recipes], dtype=np.float64)
    squares = replicates * [np.sum(effect**2) for effect in (arm, recipe, interaction, seed)]
    freedom = np.array([arms - 1, recipes - 1, (arms - 1) * (recipes - 1), seeds - 1], dtype=np.float64)
    residual_squares = float(np.sum(residual**2))
    # A smaller residual is rounding of the input. A ratio to it means nothing.
    if residual_squares < results.size * (1e-13 * float(np.abs(results).max())) ** 2:
        residual_squares = 0.0
    divisor = np.full(4, results.size, dtype=np.float64)
    divisor[3] = arms * recipes * (seeds - 1)
    kept = freedom > 0
    return SumsOfSquares(
        names=tuple(name for name, keep in zip(EFFECTS, kept, strict=True) if keep),
        squares=squares[kept],
        freedom=freedom[kept],
        divisor=divisor[kept],
        residual_squares=residual_squares,
        residual_freedom=(arms * recipes - 1) * (seeds - 1),
    )


def share_bounds(table: SumsOfSquares, confidence: float, random: np.random.Generator) -> Array:
    """[2, effects + 1]: the lower and upper bound of each share, the residual last."""
    tail = (1 - confidence) / 2
    effects = range(len(table.names))
    submodels = chain.from_iterable(combinations(effects, size) for size in range(len(effects) + 1))
    quantiles = [
        np.quantile(_draw_shares(table, list(omitted), random), [tail, 1 - tail], axis=1)
        for omitted in submodels
        if _omission_p(table, list(omitted)) >= tail
    ]
    return np.stack([np.min([low for low, _ in quantiles], axis=0), np.max([high for _, high in quantiles], axis=0)])


def _components(table: SumsOfSquares) -> Array:
    """The variance of each effect, then of the residual, by expected mean squares."""
    noise = table.residual_squares / table.residual_freedom
    excess = np.maximum(table.squares - table.freedom * noise, 0)
    return np.append(excess / table.divisor, noise)


def _omission_p(table: SumsOfSquares, omitted: list[int]) -> float:
    """The p value of the F test that all omitted effects are zero. 1 if none is omitted."""
    if not omitted:
        return 1.0
    freedom = table.freedom[omitted].sum()
    noise = table.residual_squares / table.residual_freedom
    return float(special.fdtrc(freedom, table.residual_freedom, table.squares[omitted].sum() / freedom / noise))


def _draw_shares(table: SumsOfSquares, omitted: list[int], random: np.random.Generator) -> Array:
    """Pivotal draws [effects + 1, POSTERIOR_DRAWS] of the shares. Omitted effects are pooled with the residual."""
    freedom = table.residual_freedom + table.freedom[omitted].sum()
    noise = (table.residual_squares + table.squares[omitted].sum()) / random.chisquare(freedom, POSTERIOR_DRAWS)
    variances = np.zeros((len(table.names) + 1, POSTERIOR_DRAWS))
    variances[-1] = noise
    seed = len(table.names) - 1
    for k in range(len(table.names)):
        if k in omitted:
            continue
        if k == seed:
            excess = table.freedom[k] * (table.squares[k] / random.chisquare(table.freedom[k], POSTERIOR_DRAWS) - noise)
        else:
            excess = noise * draw_noncentrality(table.squares[k] / noise, table.freedom[k], random)
        variances[k] = np.maximum(excess, 0) / table.divisor[k]
    shares: Array = variances / variances.sum(axis=0)
    return shares


def draw_noncentrality(statistic: Array, freedom: float, random: np.random.Generator) -> Array:
    """Draws of the noncentrality of a chi-square variable, given its value, by inverting its distribution.

    A draw is at most x with probability P(chi-square(freedom, x) > statistic). This needs no numerical inversion. A
    noncentral chi-square is a central one with `freedom` plus twice a Poisson number of degrees of freedom. Read
    backwards, this mixture is a noncentral chi-square with 2 degrees of freedom around what a central draw leaves of
    the statistic.
    """
    rest = statistic - random.chisquare(freedom, statistic.shape)
    draws: Array = np.where(rest < 0, 0.0, random.noncentral_chisquare(2, np.maximum(rest, 0)))
    return draws
