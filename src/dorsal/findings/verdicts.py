"""The verdicts on all pairs of one comparison, and what goes with them: ranks, wins, and how far the noise is equal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from dorsal.stats import Comparisons, Estimate, Pair
from dorsal.stats.sign_flips import sign_flip_test
from dorsal.stats.standings import rank_intervals, tie_group
from dorsal.stats.unequal_noise import NoiseTest, compare_unequal_arms, noise_test
from dorsal.stats.verdicts import Judgement, judge
from dorsal.stats.win_probability import win_probability

UNEQUAL_NOISE = 0.05
"""Level of the test of equal noise."""


class PairVerdict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The verdict on one pair.

    - `wins`: the probability that one run of the better arm beats one run of the worse one. None without noise.
    - `flips_p`: the p value of the exact sign-flip test. None below 6 common seeds, and where seeds share images.
    """

    judgement: Judgement
    wins: Estimate | None
    flips_p: float | None


class Verdicts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What follows from the pairs of a comparison.

    - `pairs`: in the order of the comparison's own.
    - `tie_group`: the first, and those not shown to differ from it. `ranks`: the best and worst rank of each arm.
    - `noise`: whether the arms are equally noisy. `borne`: where they are not, at the level of 5 %, the pairs compared
      each by its own noise, over seeds alone.
    """

    pairs: tuple[PairVerdict, ...]
    tie_group: tuple[str, ...]
    ranks: dict[str, tuple[int, int]]
    noise: NoiseTest | None
    borne: tuple[Pair, ...]


def verdicts_on(
    found: Comparisons, table: Mapping[str, Sequence[float | None]], margin: float, confidence: float = 0.95
) -> Verdicts:
    """The verdicts on a comparison of the arms of this table."""
    tested = () if found.overlap else sign_flip_test(table)  # seeds that share images are not independent
    flips = {frozenset((each.better, each.worse)): each.p for each in tested}
    noise = noise_test(table)
    is_unequal = noise is not None and noise.p < UNEQUAL_NOISE
    return Verdicts(
        pairs=tuple(
            PairVerdict(
                judgement=judgement,
                wins=_wins(table, pair, found.overlap),
                flips_p=flips.get(frozenset((pair.better, pair.worse))),
            )
            for pair, judgement in zip(found.pairs, judge(found, margin), strict=True)
        ),
        tie_group=tie_group(found),
        ranks=rank_intervals(found),
        noise=noise,
        borne=compare_unequal_arms(table, confidence, found.overlap).pairs if is_unequal else (),
    )


def _wins(table: Mapping[str, Sequence[float | None]], pair: Pair, overlap: float) -> Estimate | None:
    found = win_probability(table[pair.better], table[pair.worse], overlap=overlap)
    return None if found.low is None else found
