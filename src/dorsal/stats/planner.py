"""How many networks it takes to tell two populations apart."""

from math import ceil, sqrt

import msgspec
import numpy as np
from scipy.special import ndtr, ndtri

from dorsal.stats.bootstrap import resamples, start
from dorsal.stats.inputs import Numbers, measured
from dorsal.stats.interval import Array, check_confidence

POWER = 0.8
MOST_NETWORKS = 1_000_000
# Brownian bridges that stand for the noise of a distance, and the points at which each is known.
PATHS = 2_000
POINTS = 100


class Need(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Networks needed in each population; None above MOST_NETWORKS.

    `low` to `high` is the percentile bootstrap interval over pilots of this size.
    """

    networks: int | None
    low: int | None
    high: int | None


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What it takes to show a `difference` in error points between two populations with probability `power`.

    `mean` is for Welch's t test (or its permutation), `distance` for the Kolmogorov-Smirnov test. Training
    runs in each population are networks x `seeds`. `spread` is the pilot's standard deviation over
    `pilot_networks` networks.
    """

    difference: float
    mean: Need
    distance: Need
    spread: float
    pilot_networks: int
    noise_share: float
    seeds: int
    confidence: float
    power: float


def plan_networks(
    pilot: Numbers,
    difference: float,
    *,
    noise_share: float = 0.0,
    seeds: int = 1,
    confidence: float = 0.95,
    power: float = POWER,
    draws: int = 200,
    seed: int = 0,
) -> Plan:
    """Networks needed in each of two populations that differ by a shift of `difference` error points.

    `pilot` holds errors in percent, one run a network, of a population like the two. `noise_share` is the
    part of its variance that is noise of training (1 - the correlation of two runs of a network): with it
    known, `seeds` runs a network, averaged, leave 1 - noise_share + noise_share / seeds of the variance. As
    that saves less than more networks do, one seed is the cheapest plan for telling populations apart.

    The need for the mean follows from the normal approximation with Guenther's (1981) correction for the t
    distribution; for the distance, from the pilot's smoothed distribution and simulated Brownian bridges,
    to which the empirical distributions' errors converge. Simulated power of the plans, true distribution
    known: 77 to 81 % for the mean, 77 to 82 % for the distance, normal and skewed errors, 22 to 343 networks; 93 %
    for the distance where the density starts with a jump (exponential), which the smoothing blunts.

    Raises ValueError for fewer than 3 networks in the pilot, one without spread, a difference not above 0, a
    noise share outside 0 to 1, no seeds, or a confidence or power not between 0 and 1.
    """
    check_confidence(confidence)
    random = start(draws, seed)
    errors, _ = measured(pilot, "pilot", fewest=3)
    if np.ptp(errors) == 0:
        raise ValueError(f"pilot errors are all {errors[0]:g}: without spread there is nothing to plan with")
    if not difference > 0:
        raise ValueError(f"difference={difference} must be above 0 error points")
    if not 0 <= noise_share <= 1:
        raise ValueError(f"noise_share={noise_share} must lie between 0 and 1")
    if seeds < 1:
        raise ValueError(f"seeds={seeds}: at least 1 is needed")
    if not 1 - confidence < power < 1:
        raise ValueError(f"power={power} must lie between 1 - confidence and 1, for example {POWER}")
    shrunk = errors.mean() + (errors - errors.mean()) * sqrt(1 - noise_share + noise_share / seeds)
    pilots = [sample for rows in resamples(shrunk, draws, random) for sample in rows if np.ptp(sample) > 0]
    bridges = _bridges(random)
    critical = float(np.quantile(np.abs(bridges).max(axis=1), confidence))
    return Plan(
        difference=difference,
        mean=_need(
            networks_for_mean(float(shrunk.std(ddof=1)), difference, confidence, power),
            [networks_for_mean(float(sample.std(ddof=1)), difference, confidence, power) for sample in pilots],
        ),
        distance=_need(
            _networks_for_distance(shrunk, difference, bridges, critical, power),
            [_networks_for_distance(sample, difference, bridges, critical, power) for sample in pilots],
        ),
        spread=float(errors.std(ddof=1)),
        pilot_networks=errors.size,
        noise_share=noise_share,
        seeds=seeds,
        confidence=confidence,
        power=power,
    )


def networks_for_mean(spread: float, difference: float, confidence: float = 0.95, power: float = POWER) -> int | None:
    """Networks in each of two populations of standard deviation `spread` to show a `difference` of their means.

    None above MOST_NETWORKS, and for no difference.
    """
    z = float(ndtri((1 + confidence) / 2))
    if difference == 0:
        return None
    networks = 2 * ((z + float(ndtri(power))) * spread / difference) ** 2 + z**2 / 4
    return None if networks > MOST_NETWORKS else max(2, ceil(networks))


def _networks_for_distance(
    pilot: Array, difference: float, bridges: Array, critical: float, power: float
) -> int | None:
    """Smallest n at which bridge + sqrt(n / 2) gap exceeds `critical` anywhere with probability `power`.

    Each bridge has its own smallest n; a distance shown on the wrong side is not counted.
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
    """F(e) - F(e - difference) at the inner grid points of the shares of both populations together.

    F is the pilot's kernel estimate (Silverman's bandwidth, shrunk to keep the variance): the steps of the
    raw one are wider than the small gaps that matter.
    """
    spread, mean = float(pilot.std(ddof=1)), float(pilot.mean())
    quartiles = np.quantile(pilot, [0.25, 0.75])
    width = 0.9 * (min(spread, float(quartiles[1] - quartiles[0]) / 1.349) or spread) * pilot.size**-0.2
    shrink = 1 / sqrt(1 + (width / spread) ** 2)
    # As many quantiles as there are grid points stand for the pilot, however large.
    points = np.quantile(pilot, (np.arange(POINTS) + 0.5) / POINTS)
    centres, width = mean + shrink * spread * (points - points.mean()) / points.std(), shrink * width
    errors = np.linspace(centres.min() - 4 * width, centres.max() + 4 * width + difference, 4 * POINTS)
    first = ndtr((errors[:, None] - centres) / width).mean(axis=1)
    second = ndtr((errors[:, None] - difference - centres) / width).mean(axis=1)
    gap: Array = np.interp(np.arange(1, POINTS) / POINTS, (first + second) / 2, first - second)
    return gap


def _need(networks: int | None, over_pilots: list[int | None]) -> Need:
    needs = [float("inf") if need is None else need for need in over_pilots]
    low, high = np.quantile(needs, [0.025, 0.975], method="nearest")
    return Need(
        networks=networks,
        low=int(low) if np.isfinite(low) else None,
        high=int(high) if np.isfinite(high) else None,
    )
