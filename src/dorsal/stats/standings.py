"""Where each arm stands: the tie group at the top, and an interval for the rank of each arm."""

from __future__ import annotations

from dorsal.stats.arms import Comparisons
from dorsal.stats.verdicts import compared_arms


def tie_group(found: Comparisons) -> tuple[str, ...]:
    """The arm with the largest estimate, then every arm that is not shown to differ from it.

    The others are shown to be worse than the first. Nothing is said about two arms inside the group: not to be shown
    to differ from the first does not make them equal to each other, nor to it. An arm without a common seed with the
    first is in the group.
    """
    first, *others = compared_arms(found)
    beaten = {pair.worse for pair in found.pairs if pair.better == first and pair.significant}
    return (first, *(arm for arm in others if arm not in beaten))


def rank_intervals(found: Comparisons) -> dict[str, tuple[int, int]]:
    """The best and the worst rank that each arm may have; 1 is the best. In the order of the estimates.

    An arm ranks behind those that are shown to be better, and ahead of those that are shown to be worse. Where the
    intervals of the differences hold for all pairs at once, all rank intervals hold at once with the same probability.

    Sources: Klein, Wright and Wieczorek (2020), "A joint confidence region for an overall ranking of populations";
    Al Mohamad, Goeman and van Zwet (2022), "Simultaneous confidence intervals for ranks".
    """
    arms = compared_arms(found)
    shown = [(pair.better, pair.worse) for pair in found.pairs if pair.significant]
    return {
        arm: (1 + sum(worse == arm for _, worse in shown), len(arms) - sum(better == arm for better, _ in shown))
        for arm in arms
    }
