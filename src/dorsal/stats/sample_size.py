"""How many networks it takes to tell two populations apart."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, exp, log, sqrt

import msgspec
import numpy as np
from scipy.special import ndtr, ndtri, stdtrit
from scipy.stats import kstwobign, trim_mean

from dorsal.stats.checks import Numbers, measured
from dorsal.stats.interval import Array, Need, check_confidence

POWER = 0.8
MOST_NETWORKS = 1_000_000
# With fewer degrees of freedom, the error of a spread is more than a quarter of it.
FEWEST_TO_PLAN = 10
# The noise of a distance is simulated by this many Brownian bridges, each at this many points.
PATHS = 2_000
POINTS = 100


class SampleSize(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The number of networks that show a `difference` in error points between two populations with probability `power`.

    - `mean`: for Welch's t test, or its permutation. `distance`: for the Kolmogorov-Smirnov test, None above
      MOST_NETWORKS; it also rests on the shape of the pilots, and has no interval. Both are at `confidence`.
    - `spread`: the standard deviation within the pilots, which have `pilot_networks` networks in all.
    - The number of training runs in each population is networks x `seeds`.
    """

    difference: float
    mean: Need
    distance: int | None
    spread: float
    pilot_networks: int
    noise_share: float
    seeds: int
    confidence: float
    power: float


def sample_size(
    pilots: Sequence[Numbers],
    difference: float,
    *,
    noise_share: float = 0.0,
    seeds: int = 1,
    confidence: float = 0.95,
    power: float = POWER,
    seed: int = 0,
) -> SampleSize:
    """The number of networks needed in each of two populations that differ by a shift of `difference` error points.

    - `pilots`: each holds errors in percent, one run for each network, of a population like the two. Each counts around
      its own mean, so a pilot of one network says nothing.
    - `noise_share`: the part of the variance that is noise of training (1 - the correlation of two runs of a network).
      `seeds` averaged runs of each network leave 1 - noise_share + noise_share / seeds of the variance. More seeds save
      less than more networks do, so one seed is the cheapest plan to tell populations apart.
    - `confidence`: give a corrected one if the test is one of several.

    The number for the mean is the normal approximation with Guenther's (1981) correction for the t distribution. The
    number for the distance is from the pilots' smoothed distribution and simulated Brownian bridges, to which the
    errors of empirical distributions converge. Measured power of the plans: docs/statistics.md.

    Raises ValueError for fewer than FEWEST_TO_PLAN degrees of freedom in the pilots, pilots without spread, a
    difference not above 0, a noise share outside 0 to 1, seeds below 1, or a confidence or power not between 0 and 1.
    """
    check_confidence(confidence)
    residuals, freedom = pooled([measured(pilot, "pilots", fewest=0)[0] for pilot in pilots])
    if freedom < FEWEST_TO_PLAN:
        raise ValueError(f"pilots have {freedom} degree(s) of freedom: at least {FEWEST_TO_PLAN} are needed")
    if not residuals.any():
        raise ValueError("pilots: the errors of each are all equal; without spread there is nothing to plan with")
    if not difference > 0:
        raise ValueError(f"difference={difference} must be above 0 error points")
    if not 0 <= noise_share <= 1:
        raise ValueError(f"noise_share={noise_share} must lie between 0 and 1")
    if seeds < 1:
        raise ValueError(f"seeds={seeds}: at least 1 is needed")
    if not 1 - confidence < power < 1:
        raise ValueError(f"power={power} must lie between 1 - confidence and 1, for example {POWER}")
    spread = sqrt(float(residuals @ residuals) / freedom)
    shrunk = sqrt(1 - noise_share + noise_share / seeds)
    pool = residuals * (shrunk * spread / residuals.std(ddof=1))
    bridges = _bridges(np.random.default_rng(seed))
    return SampleSize(
        difference=difference,
        mean=_need(
            [shrunk * each for each in (spread, *spread_interval(residuals, freedom))],
            difference,
            confidence,
            power,
        ),
        distance=_networks_for_distance(pool, difference, bridges, _critical(confidence), power),
        spread=spread,
        pilot_networks=residuals.size,
        noise_share=noise_share,
        seeds=seeds,
        confidence=confidence,
        power=power,
    )


def pooled(pilots: Sequence[Array]) -> tuple[Array, int]:
    """Errors minus the mean of their pilot, and the degrees of freedom of their variance. Pilots of one network are
    left out.
    """
    # The first error is subtracted first, so that equal ones give exactly 0.
    several = [errors - errors[0] for errors in pilots if errors.size > 1]
    residuals = np.concatenate([np.empty(0), *(errors - errors.mean() for errors in several)])
    return residuals, residuals.size - len(several)


def spread_interval(residuals: Array, freedom: int) -> tuple[float, float]:
    """90 % interval of the standard deviation behind `residuals`, which have `freedom` degrees of freedom.

    This is Bonett's (2006) interval of the log variance, which allows for kurtosis, with Student's quantile in place of
    the normal one. It is built for 95 % and covers less where errors are skewed, hence the 90 %. Measured coverage:
    docs/statistics.md.
    """
    n, t = freedom + 1, float(stdtrit(freedom, 0.975))
    correction = n / (n - t)
    centre = trim_mean(residuals, 1 / (2 * sqrt(n - 4)))
    kurtosis = residuals.size * float(((residuals - centre) ** 4).sum()) / float(residuals @ residuals) ** 2
    reach = t * correction * sqrt((kurtosis - (n - 3) / n) / freedom)
    variance = log(correction * float(residuals @ residuals) / freedom)
    return exp((variance - reach) / 2), exp((variance + reach) / 2)


def need_for_mean(
    pilots: Sequence[Array], difference: float, confidence: float = 0.95, power: float = POWER
) -> Need | None:
    """The networks needed in each of two populations to show a `difference` of their means. `pilots` hold errors of
    each.

    None if that cannot be known: below FEWEST_TO_PLAN degrees of freedom, for pilots without spread, and for a
    difference of 0. Two pilots count equally, whatever their sizes.
    """
    residuals, freedom = pooled(pilots)
    if freedom < FEWEST_TO_PLAN or not residuals.any() or difference == 0:
        return None
    within = sqrt(float(residuals @ residuals) / freedom)
    spread = sqrt(float(np.mean([errors.var(ddof=1) for errors in pilots if errors.size > 1])))
    low, high = (end * spread / within for end in spread_interval(residuals, freedom))
    return _need([spread, low, high], difference, confidence, power)


def _need(spreads: Sequence[float], difference: float, confidence: float, power: float) -> Need:
    """The number for a standard deviation, and for both ends of its interval."""
    value, low, high = (networks_for_mean(each, difference, confidence, power) for each in spreads)
    return Need(value=value, low=low, high=high)


def networks_for_mean(spread: float, difference: float, confidence: float = 0.95, power: float = POWER) -> int | None:
    """The networks needed in each of two populations of standard deviation `spread` to show a `difference` of their
    means.

    None above MOST_NETWORKS, and for a difference of 0.
    """
    z = float(ndtri((1 + confidence) / 2))
    if difference == 0:
        return None
    networks = 2 * ((z + float(ndtri(power))) * spread / difference) ** 2 + z**2 / 4
    return None if networks > MOST_NETWORKS else max(2, ceil(networks))


def _networks_for_distance(
    pilot: Array, difference: float, bridges: Array, critical: float, power: float
) -> int | None:
    """The smallest n at which bridge + sqrt(n / 2) gap exceeds `critical` anywhere with probability `power`.

    Each bridge has its own smallest n. A distance on the wrong side does not count.
    """
    gap = np.maximum(_gap(pilot, difference), 1e-12)
    root = float(np.quantile(((critical - bridges) / gap).min(axis=1), power))
    networks = 2 * max(root, 0.0) ** 2
    return None if networks > MOST_NETWORKS else max(2, ceil(networks))


def _bridges(random: np.random.Generator) -> Array:
    """Brownian bridges [PATHS, POINTS - 1] at the inner points of a regular grid on 0 to 1."""
    walk = random.standard_normal((PATHS, POINTS)).cumsum(axis=1) / sqrt(POINTS)
    time = np.arange(1, POINTS) / POINTS
    bridges: Array = walk[:, :-1] - time * walk[:, -1:]
    return bridges


def _gap(pilot: Array, difference: float) -> Array:
    """F(e) - F(e - difference), at the inner grid points of the joint distribution of both populations.

    F is the pilot's kernel estimate with Silverman's bandwidth, shrunk to keep the variance. The raw distribution
    function has steps wider than the small gaps that matter.
    """
    spread, mean = float(pilot.std(ddof=1)), float(pilot.mean())
    quartiles = np.quantile(pilot, [0.25, 0.75])
    width = 0.9 * (min(spread, float(quartiles[1] - quartiles[0]) / 1.349) or spread) * pilot.size**-0.2
    shrink = 1 / sqrt(1 + (width / spread) ** 2)
    # POINTS quantiles represent the pilot, whatever its size.
    points = np.quantile(pilot, (np.arange(POINTS) + 0.5) / POINTS)
    centres, width = mean + shrink * spread * (points - points.mean()) / points.std(), shrink * width
    errors = np.linspace(centres.min() - 4 * width, centres.max() + 4 * width + difference, 4 * POINTS)
    first = ndtr((errors[:, None] - centres) / width).mean(axis=1)
    second = ndtr((errors[:, None] - difference - centres) / width).mean(axis=1)
    gap: Array = np.interp(np.arange(1, POINTS) / POINTS, (first + second) / 2, first - second)
    return gap


def _critical(confidence: float) -> float:
    """The quantile of a bridge's largest distance from 0, as seen at the grid points.

    It is the quantile of Kolmogorov's distribution, minus the part of the distance that a grid misses (Siegmund 1985).
    """
    return float(kstwobign.ppf(confidence)) - 0.5826 / sqrt(POINTS)
