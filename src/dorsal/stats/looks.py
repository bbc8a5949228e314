"""Seeds added until the arms are decided: intervals that hold at every look at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import msgspec
import numpy as np

from dorsal.stats.arms import Comparisons, compare_arms
from dorsal.stats.conditions import arms_with_results
from dorsal.stats.interval import Array, check_confidence
from dorsal.stats.verdicts import MARGIN, Judgement, compared_arms, judge

FIRST_LOOK = 3
"""Seeds at the first look. With 2 the level it could spend is too small to decide anything."""
_STUDIES = 40_000
_BLOCK = 10_000


class Look(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is decided with `seeds` of at most `most` seeds.

    - `comparisons`: intervals at the level of this look, which is `comparisons.pairs[i].confidence`.
    - `judgements`: the verdicts that follow from them. They may be read at every look, whatever made one stop.
    - `decided`: every two arms are "better" or "practically equal".
    - `first_decided`: every other arm is shown to be worse than the first, or practically equal to it.
    """

    seeds: int
    most: int
    comparisons: Comparisons
    judgements: tuple[Judgement, ...]
    decided: bool
    first_decided: bool


def look(
    values: Mapping[str, Sequence[float | None]], most: int, *, margin: float = MARGIN, confidence: float = 0.95
) -> Look:
    """What is decided with the seeds in `values`, if seeds are added one at a time until `most`.

    `values` is as in `compare_arms`. All verdicts of all looks hold together with probability `confidence`. Nothing is
    decided before FIRST_LOOK seeds.

    Raises ValueError as `compare_arms` and `judge` do, and for more seeds than `most`.
    """
    arms = arms_with_results(values)
    seeds = max((len(results) for results in values.values()), default=0)
    found = compare_arms(values, look_confidence(arms, seeds, most, confidence))
    judgements = judge(found, margin)
    undecided = {(each.better, each.worse) for each in judgements if each.verdict == "undecided"} | set(found.unpaired)
    first = compared_arms(found)[0]
    early = seeds < FIRST_LOOK
    return Look(
        seeds=seeds,
        most=most,
        comparisons=found,
        judgements=judgements,
        decided=not early and not undecided,
        first_decided=not early and not any(first in pair for pair in undecided),
    )


def look_confidence(arms: int, seeds: int, most: int, confidence: float = 0.95) -> float:
    """The confidence at which `compare_arms` with `seeds` seeds has intervals that hold at every look at once.

    There is a look after every seed from FIRST_LOOK to `most`, or after fewer of them; stopping at any of them, for
    any reason, is allowed (repeated confidence intervals, Jennison and Turnbull 1989). The level of a look is in
    proportion to its seeds: later looks, which can decide more, spend more. The factor is found from simulated studies
    of equal arms, with the studentized range of every look. Stopping early costs this much: with 20 seeds at most, the
    last interval of 2 to 5 arms is 17 to 27 % longer than that of 20 seeds planned. Measured levels:
    docs/statistics.md.

    Before FIRST_LOOK it is that of the first look.

    Raises ValueError for fewer than 2 arms, `most` below FIRST_LOOK, more seeds than `most`, or a confidence not
    between 0 and 1.
    """
    check_confidence(confidence)
    if arms < 2:
        raise ValueError(f"arms={arms} is below 2: a comparison needs at least 2")
    if most < FIRST_LOOK:
        raise ValueError(f"most={most} is below {FIRST_LOOK}; nearest valid: {FIRST_LOOK}")
    if seeds > most:
        raise ValueError(f"most={most} is below the {seeds} seeds that there are; nearest valid: {seeds}")
    return 1 - _last_level(arms, most, confidence) * max(seeds, FIRST_LOOK) / most


@cache
def _last_level(arms: int, most: int, confidence: float) -> float:
    """The level of the last look."""
    random = np.random.default_rng(0)
    count = _STUDIES // _BLOCK
    ranges = np.concatenate([_ranges(random.standard_normal((_BLOCK, arms, most))) for _ in range(count)])
    # The level at which each look of each study would show a difference, from the other studies.
    levels = (ranges.argsort(axis=0)[::-1].argsort(axis=0) + 1) / len(ranges)
    looks = np.arange(FIRST_LOOK, most + 1)
    return float(min(np.quantile((levels * most / looks).min(axis=1), 1 - confidence), 1 - confidence))


def _ranges(noise: Array) -> Array:
    """The studentized range of each study [studies, arms, seeds] at each look."""
    noise = noise - noise.mean(axis=1, keepdims=True)
    seeds = np.arange(1, noise.shape[2] + 1)
    means = noise.cumsum(axis=2) / seeds
    squares = (noise**2).sum(axis=1).cumsum(axis=1) - seeds * (means**2).sum(axis=1)
    kept = slice(FIRST_LOOK - 1, None)
    spread = np.sqrt(squares[:, kept] / ((noise.shape[1] - 1) * (seeds[kept] - 1)))
    found: Array = np.ptp(means[:, :, kept], axis=1) / (spread / np.sqrt(seeds[kept]))
    return found
