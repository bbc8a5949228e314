"""What pretraining does to the difference of two networks, and whether weights or networks weigh more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, product

import msgspec

from dorsal.jobs.records import Arm
from dorsal.stats import Comparisons, Estimate
from dorsal.stats.conditions import difference_of_differences
from dorsal.stats.images import ImageValues

Results = Mapping[str, Sequence[float | None]]


class StartEffect(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Two networks from scratch and from weights.

    - `scratch`: the arms that begin from random weights, the better one first. `started`: the same networks from
      weights, in the same order.
    - `difference`: of the first from scratch minus the second, as in the comparison. `change`: that of the arms from
      weights minus it; its interval is over seeds and, where they are known, test images, and of this one question.
    """

    scratch: tuple[str, str]
    started: tuple[str, str]
    difference: Estimate
    change: Estimate


class StartSpread(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How far means lie apart, from the highest to the lowest, where two networks or more have several weights.

    - `network`: the one whose weights lie farthest apart; `weights` of them are `spread` points apart.
    - `networks`: the number of networks with several weights; their best weights are `best_spread` points apart.
    """

    network: str
    weights: int
    spread: float
    networks: int
    best_spread: float


def start_effects(
    arms: Sequence[Arm], results: Results, found: Comparisons, images: ImageValues | None = None
) -> Iterator[StartEffect]:
    """For each two networks that stand both from scratch and from weights, how weights change their difference.

    `found` is the comparison of these results, and `images` what each image contributes to them. Two arms from scratch
    have one recipe, and so have two from weights. Other arms help to estimate the noise. What has no common seed is
    left out.
    """
    results = {arm: runs for arm, runs in results.items() if any(run is not None for run in runs)}
    scratch_arms = [arm for arm in arms if arm.start is None and arm.label in results]
    begun = [arm for arm in arms if arm.start is not None and arm.label in results]
    from_scratch = {arm.label: results[arm.label] for arm in scratch_arms}
    recipes = dict.fromkeys(arm.recipe for arm in scratch_arms)
    for (one, two), recipe in product(combinations(begun, 2), recipes):
        fresh = {arm.network_hash: arm.label for arm in scratch_arms if arm.recipe == recipe}
        if one.network_hash == two.network_hash or one.recipe != two.recipe:
            continue
        if not {one.network_hash, two.network_hash} <= fresh.keys():
            continue
        started = {arm.label: results[arm.label] for arm in begun if arm not in (one, two)}
        for arm in (one, two):
            started[fresh[arm.network_hash]] = results[arm.label]
        networks = {fresh[arm.network_hash]: arm.label for arm in (one, two)}
        pair = next((pair for pair in found.pairs if {pair.better, pair.worse} == set(networks)), None)
        if pair is None or not _meet(results[one.label], results[two.label]):
            continue
        scratch = (pair.better, pair.worse)
        seen = None
        if images is not None:
            seen = ({label: images[networks[label]] for label in scratch}, {label: images[label] for label in scratch})
        change = difference_of_differences(started, from_scratch, scratch, images=seen, overlap=found.overlap)
        yield StartEffect(
            scratch=scratch,
            started=(networks[pair.better], networks[pair.worse]),
            difference=pair.difference,
            change=change,
        )


def start_spread(arms: Sequence[Arm], means: Mapping[str, float]) -> StartSpread | None:
    """How far the means of one network's weights lie apart, and those of the networks' best weights."""
    by_network: dict[str, list[Arm]] = {}
    for arm in arms:
        if arm.start is not None and arm.label in means:
            by_network.setdefault(arm.network_hash, []).append(arm)
    several = {name: begun for name, begun in by_network.items() if len(begun) > 1}
    if len(several) < 2:
        return None
    spreads = {name: _range([means[arm.label] for arm in begun]) for name, begun in several.items()}
    widest = max(spreads, key=lambda name: spreads[name])
    names = {arm.label.partition("@")[0] for arm in several[widest]}
    return StartSpread(
        network=names.pop() if len(names) == 1 else several[widest][0].text,
        weights=len(several[widest]),
        spread=spreads[widest],
        networks=len(several),
        best_spread=_range([max(means[arm.label] for arm in begun) for begun in several.values()]),
    )


def _range(values: Sequence[float]) -> float:
    return max(values) - min(values)


def _meet(first: Sequence[float | None], second: Sequence[float | None]) -> bool:
    """Whether two arms have a seed in common."""
    return any(a is not None and b is not None for a, b in zip(first, second, strict=True))
