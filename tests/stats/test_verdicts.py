from math import inf, sqrt

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dorsal.stats import compare_arms
from dorsal.stats.arms import fit_blocks
from dorsal.stats.interval import Estimate
from dorsal.stats.standings import rank_intervals, tie_group
from dorsal.stats.tukey import critical_range
from dorsal.stats.verdicts import check_margin, compared_arms, judge, runs_to_narrow, seeds_for_equality, verdict_of

few = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
GRIDS = st.integers(2, 4).flatmap(
    lambda seeds: st.lists(
        st.lists(st.floats(-20, 20, allow_subnormal=False), min_size=seeds, max_size=seeds), min_size=2, max_size=4
    )
)


def named(rows):
    return {f"arm{place}": row for place, row in enumerate(rows)}


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.1, 0.9, "better"),
        (-0.9, -0.1, "better"),
        (0.1, 3, "better"),
        (-0.4, 0.9, "practically equal"),
        (-0.4, 1.0, "undecided"),
        (-3, 3, "undecided"),
        (0, 0.5, "practically equal"),
        (None, None, "undecided"),
    ],
)
def test_the_interval_gives_the_verdict(low, high, expected):
    value = 0.0 if low is None else (low + high) / 2
    assert verdict_of(Estimate(value=value, low=low, high=high), margin=1) == expected


@pytest.mark.parametrize("margin", [0, -1, inf, float("nan")])
def test_a_margin_that_is_none_is_refused(margin):
    with pytest.raises(ValueError, match=r"margin=.* must be above 0"):
        check_margin(margin)


@few
@given(GRIDS, st.floats(0.01, 30))
def test_verdicts_never_contradict_their_interval(light, rows, margin):
    found = compare_arms(named(rows))
    for pair, judgement in zip(found.pairs, judge(found, margin), strict=True):
        assert (judgement.better, judgement.worse) == (pair.better, pair.worse)
        assert (judgement.verdict == "better") == pair.significant
        if judgement.verdict == "practically equal":
            assert judgement.within_margin
            assert judgement.can_be_equal
        if not judgement.can_be_equal:
            assert not judgement.within_margin


def test_equality_is_not_on_offer_where_the_interval_is_longer_than_the_margin():
    found = compare_arms({"a": [71.0, 74.0, 72.0], "b": [71.5, 72.0, 73.5]})
    (judgement,) = judge(found, 1.0)
    assert (judgement.verdict, judgement.can_be_equal) == ("undecided", False)
    assert judgement.equal_needed is not None
    assert judgement.equal_needed.low < judgement.equal_needed.value < judgement.equal_needed.high


@pytest.mark.parametrize(("margin", "arms"), [(1, 2), (1, 4), (2, 4)])
def test_power_at_seeds_for_equality(margin, arms):
    seeds, random = seeds_for_equality(margin, arms), np.random.default_rng(0)
    reach = critical_range(arms, (arms - 1) * (seeds - 1), 0.95) / sqrt(2)
    shown = 0
    for _ in range(1000):
        fit = fit_blocks(random.standard_normal((arms, seeds)))
        half = reach * sqrt(fit.noise_variance * fit.scale[0, 1])
        shown += abs(fit.effects[0] - fit.effects[1]) + half < margin
    assert 0.8 - 0.03 < shown / 1000 < 0.8 + 0.06


def test_more_seeds_than_anybody_has_are_none():
    assert seeds_for_equality(0.01, 2) is None


@pytest.mark.parametrize(("arms", "effects"), [(2, [0, 1]), (4, [0, 0, 1, 1]), (5, [0, 0, 0, 0, 1])])
def test_equality_is_claimed_falsely_in_at_most_a_fortieth_of_studies(arms, effects, light):
    """Arms that differ by just the margin. Half of 1 - confidence is the nominal level."""
    random, wrong, studies = np.random.default_rng(0), 0, 500
    for _ in range(studies):
        found = compare_arms(named(0.25 * random.standard_normal((arms, 6)) + np.array(effects)[:, None]))
        wrong += any(
            verdict_of(pair.difference, 1.0) == "practically equal"
            and effects[int(pair.better[3:])] != effects[int(pair.worse[3:])]
            for pair in found.pairs
        )
    assert wrong / studies < 0.025 + 3 * sqrt(0.025 / studies)


def test_one_of_two_parts_of_an_interval_can_be_narrowed():
    assert runs_to_narrow(0.8, 0.6, 100, 1.0) == 100
    assert runs_to_narrow(1.6, 0.6, 100, 1.0) == 400
    assert runs_to_narrow(0.1, 1.0, 100, 1.0) is None


def test_the_tie_group_is_of_the_first_and_says_nothing_of_the_others():
    """b is not shown to differ from a; c is shown to be worse than a, and not than b."""
    found = compare_arms(
        {"c": [70.0, 70.9, 71.8], "d": [60, 60.7, 62.1], "b": [72.0, 71.4, 72.7], "a": [73.1, 72.2, 73.6]}
    )
    assert compared_arms(found) == ("a", "b", "c", "d")
    assert tie_group(found) == ("a", "b")
    assert rank_intervals(found) == {"a": (1, 2), "b": (1, 3), "c": (2, 3), "d": (4, 4)}


def test_arms_without_a_common_seed_are_in_the_group():
    found = compare_arms({"a": [9.0, 9.1, None, None], "b": [1.0, 1.2, 1.1, 1.2], "c": [None, None, 1.0, 1.2]})
    assert found.unpaired == (("a", "c"),)
    assert compared_arms(found)[0] == "a"
    assert "c" in tie_group(found)
    assert rank_intervals(found)["c"][0] == 1


@few
@given(GRIDS)
def test_ranks_hold_the_order_of_the_estimates(light, rows):
    found = compare_arms(named(rows))
    ranks = rank_intervals(found)
    for place, (arm, (low, high)) in enumerate(ranks.items(), start=1):
        assert 1 <= low <= place <= high <= len(rows), arm
    assert ranks[tie_group(found)[0]][0] == 1


def test_all_ranks_are_covered_at_once(light):
    random, truth, missed, studies = np.random.default_rng(0), np.array([0, 0.5, 1.0, 3.0]), 0, 500
    for _ in range(studies):
        ranks = rank_intervals(compare_arms(named(random.standard_normal((4, 4)) + truth[:, None])))
        missed += any(not low <= 4 - int(arm[3:]) <= high for arm, (low, high) in ranks.items())
    assert missed / studies <= 0.05 + 3 * sqrt(0.05 * 0.95 / studies)
