from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from dorsal.stats import Need, compare_arms, pooled_means
from dorsal.stats.arms import fit_blocks
from dorsal.stats.needs import MOST_SEEDS, seeds_needed
from dorsal.stats.tukey import critical_range

# Montgomery, Design and Analysis of Experiments, table 4.3: vascular grafts, 4 pressures in 6 batches of resin.
GRAFTS = {
    "8500": [90.3, 89.2, 98.2, 93.9, 87.4, 97.9],
    "8700": [92.5, 89.5, 90.6, 94.7, 87.0, 95.8],
    "8900": [85.5, 90.8, 89.6, 86.2, 88.0, 93.4],
    "9100": [82.5, 89.5, 85.6, 87.4, 78.9, 90.7],
}
# The same book, balanced incomplete blocks: 4 catalysts in 4 batches of 3.
CATALYSTS = {
    "1": [73, 74, None, 71],
    "2": [None, 75, 67, 72],
    "3": [73, 75, 68, None],
    "4": [75, None, 72, 75],
}

GRIDS = st.integers(2, 4).flatmap(
    lambda seeds: st.lists(
        st.lists(st.one_of(st.none(), st.integers(-20, 20)), min_size=seeds, max_size=seeds).filter(
            lambda row: any(value is not None for value in row)
        ),
        min_size=2,
        max_size=3,
    )
)
few = settings(max_examples=25, deadline=None)


def by_names(comparisons):
    return {(pair.better, pair.worse): pair for pair in comparisons.pairs}


def matched(before, after):
    """Pairs of the same two arms; which of them is better may differ only where they are level to rounding."""
    others = {frozenset((pair.better, pair.worse)): pair for pair in after.pairs}
    assert len(others) == len(before.pairs)
    for old in before.pairs:
        new = others[frozenset((old.better, old.worse))]
        assert new.better == old.better or old.difference.value < 1e-9
        assert new.n == old.n
        yield old, new


def test_textbook_complete_blocks():
    result = compare_arms(GRAFTS)
    assert result.degrees_of_freedom == 15
    assert result.noise_sd == pytest.approx(sqrt(7.33), abs=1e-3)
    assert (result.empty, result.unpaired, result.missing) == ((), (), 0)
    half_width = 4.076 * sqrt(7.326 / 6)  # q(0.05; 4, 15) from the table of the studentized range
    pair = by_names(result)["8500", "9100"]
    assert pair.difference.value == pytest.approx(92.817 - 85.767, abs=1e-3)
    assert pair.difference.low == pytest.approx(7.05 - half_width, abs=5e-3)
    assert pair.difference.high == pytest.approx(7.05 + half_width, abs=5e-3)
    # Least significant difference by Tukey 4.5: only these two pairs exceed it.
    assert {names for names, pair in by_names(result).items() if pair.significant} == {
        ("8500", "9100"),
        ("8700", "9100"),
    }


def test_textbook_incomplete_blocks():
    result = compare_arms(CATALYSTS)
    pairs = by_names(result)
    assert result.degrees_of_freedom == 5
    assert result.noise_sd == pytest.approx(sqrt(0.65))
    assert pairs["4", "1"].difference.value == pytest.approx(20 / 8 + 9 / 8)
    assert pairs["3", "2"].difference.value == pytest.approx(7 / 8 - 4 / 8)
    assert pairs["4", "1"].n == 2
    half_width = critical_range(4, 5, 0.95) / sqrt(2) * sqrt(2 * 3 / (2 * 4) * 0.65)
    found = pairs["4", "1"].difference
    assert found.high - found.value == pytest.approx(half_width)
    assert (result.missing, result.results) == (4, 16)


def test_two_arms_are_the_paired_t_test():
    a, b = [93.1, 92.8, 93.4, 92.9], [92.0, 92.6, 92.7, 92.4]
    theirs = stats.ttest_rel(a, b)
    interval = theirs.confidence_interval(0.9)
    (ours,) = compare_arms({"a": a, "b": b}, confidence=0.9).pairs
    assert ours.p == pytest.approx(theirs.pvalue, abs=1e-7)
    found = ours.difference
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), abs=1e-7)


def test_two_arms_with_missing_seeds_use_the_seeds_both_have():
    (pair,) = compare_arms({"a": [1.0, None, 4.0, 2.5, 9.0], "b": [2.0, 7.0, 4.5, None, 8.0]}).pairs
    theirs = stats.ttest_rel([1.0, 4.0, 9.0], [2.0, 4.5, 8.0])
    assert pair.n == 3
    assert pair.p == pytest.approx(theirs.pvalue, abs=1e-7)


def test_pairing_removes_what_a_seed_does_to_all_arms():
    noise = {"a": [1.0, 1.2, 0.9], "b": [0.1, 0.0, 0.2], "c": [0.5, 0.3, 0.4]}
    shifted = {arm: [v + s for v, s in zip(row, [50, -70, 10], strict=True)] for arm, row in noise.items()}
    before, after = compare_arms(noise), compare_arms(shifted)
    assert [pair.p for pair in after.pairs] == pytest.approx([pair.p for pair in before.pairs], abs=1e-9)


def test_breaking_the_pairing_changes_the_answer():
    (paired,) = compare_arms({"a": [1.0, 2.1, 3.0], "b": [2.0, 3.0, 4.0]}).pairs
    (broken,) = compare_arms({"a": [1.0, 2.1, 3.0], "b": [4.0, 3.0, 2.0]}).pairs
    assert paired.significant
    assert not broken.significant


def test_more_arms_cost_significance():
    arms = {"a": [1.0, 1.5, 1.1], "b": [0.1, 0.2, 0.2]}
    fit = fit_blocks(np.array(list(arms.values())))
    t = (fit.effects[0] - fit.effects[1]) / sqrt(fit.noise_variance * fit.scale[0, 1])
    assert t < critical_range(10, fit.degrees_of_freedom, 0.95) / sqrt(2)
    assert t > critical_range(2, fit.degrees_of_freedom, 0.95) / sqrt(2)


def test_one_seed_tells_nothing():
    result = compare_arms({"a": [90.0], "b": [70.0], "c": [80.0]})
    assert result.noise_sd is None
    assert [(pair.better, pair.worse, pair.difference.value) for pair in result.pairs] == [
        ("a", "c", pytest.approx(10)),
        ("a", "b", pytest.approx(20)),
        ("c", "b", pytest.approx(10)),
    ]
    for pair in result.pairs:
        assert (pair.difference.low, pair.difference.high, pair.p, pair.needed) == (None, None, None, None)
        assert not pair.significant


@pytest.mark.parametrize("level", [0.0, 0.1, 93.7])
def test_no_noise_is_not_proof(level):
    result = compare_arms({"b": [level] * 3, "a": [level] * 3, "c": [level + 1] * 3})
    assert result.noise_sd == 0
    assert [(pair.better, pair.worse) for pair in result.pairs] == [("c", "a"), ("c", "b"), ("a", "b")]
    assert result.pairs[2].difference.value == 0
    assert all(pair.p is None and not pair.significant for pair in result.pairs)


def test_arms_and_pairs_without_data_are_named():
    nan = float("nan")
    result = compare_arms({"a": [1, 2, None], "b": [2, 2.5, 3], "late": [None, None, 4], "dead": [nan] * 3})
    assert set(by_names(result)) == {("b", "a"), ("late", "b")}
    assert (result.empty, result.unpaired) == (("dead",), (("late", "a"),))
    assert (result.missing, result.results) == (3, 9)


@few
@given(GRIDS, st.integers(-50, 50), st.integers(1, 9))
def test_follows_shift_and_scale(grid, shift, scale):
    before = compare_arms({str(i): row for i, row in enumerate(grid)})
    moved = [[None if v is None else scale * v + shift for v in row] for row in grid]
    after = compare_arms({str(i): row for i, row in enumerate(moved)})
    for old, new in matched(before, after):
        then, now = old.difference, new.difference
        assert now.value == pytest.approx(scale * then.value, abs=1e-8)
        assert (new.p is None) == (old.p is None)
        if old.p is not None:
            assert new.p == pytest.approx(old.p, abs=1e-6)
            assert now.high - now.low == pytest.approx(scale * (then.high - then.low), rel=1e-6)


@few
@given(GRIDS, st.randoms(use_true_random=False))
def test_order_of_arms_and_seeds_does_not_matter(grid, random):
    arms = [(str(i), row) for i, row in enumerate(grid)]
    seeds = list(range(len(grid[0])))
    random.shuffle(seeds)
    shuffled = [(arm, [row[s] for s in seeds]) for arm, row in arms]
    random.shuffle(shuffled)
    before, after = compare_arms(dict(arms)), compare_arms(dict(shuffled))
    for old, new in matched(before, after):
        assert new.difference.value == pytest.approx(old.difference.value, abs=1e-9)
        assert new.p == (None if old.p is None else pytest.approx(old.p, abs=1e-6))


@few
@given(GRIDS)
def test_interval_and_p_agree(grid):
    for pair in compare_arms({str(i): row for i, row in enumerate(grid)}).pairs:
        assert pair.difference.value >= 0
        if pair.p is not None and abs(pair.p - 0.05) > 1e-6:
            assert pair.significant == (pair.p < 0.05) == (pair.difference.low > 0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "values has 0 arm"),
        ({"a": [1.0, 2.0]}, "values has 1 arm"),
        ({"a": [1.0, 2.0], "b": [None, None]}, "values has 1 arm"),
        ({"a": [1.0, 2.0], "b": [1.0]}, "'b': 1"),
        ({"a": [1.0, 2.0], "b": [1.0, float("inf")]}, r"values\['b'\] contains an infinite value"),
    ],
)
def test_bad_input(values, message):
    with pytest.raises(ValueError, match=message):
        compare_arms(values)


def test_bad_confidence():
    with pytest.raises(ValueError, match=r"for example 0\.99"):
        compare_arms({"a": [1, 2], "b": [2, 4]}, confidence=99)


@pytest.mark.parametrize(("effect", "arms"), [(3.0, 2), (1.0, 3), (0.5, 6), (0.1, 3)])
def test_seeds_needed_is_the_smallest_number(effect, arms):
    def power(seeds):
        freedom = (arms - 1) * (seeds - 1)
        threshold = critical_range(arms, freedom, 0.95) / sqrt(2)
        return stats.nct.sf(threshold, freedom, effect * sqrt(seeds / 2))

    seeds = seeds_needed(effect, arms)
    assert power(seeds - 1) < 0.8 <= power(seeds)


def test_seeds_needed_at_the_ends():
    assert seeds_needed(0.0, 3) is None
    assert seeds_needed(0.01, 3) is None
    assert seeds_needed(1e9, 3) == 2


def test_a_need_has_the_range_of_the_noise():
    arms = {"a": [90.1, 92.2, 91.0, 92.4], "b": [91.3, 92.1, 92.6, 92.9], "c": [90.2, 92.5, 91.9, 91.0]}
    result = compare_arms(arms)
    pair = max(result.pairs, key=lambda pair: pair.difference.value)
    effect = pair.difference.value / result.noise_sd
    assert pair.needed.value == seeds_needed(effect, 3)
    # The 90 % interval of a standard deviation with 6 degrees of freedom; needs go with its square.
    low, high = 6 / stats.chi2.ppf([0.95, 0.05], 6)
    assert pair.needed.low == pytest.approx(pair.needed.value * low, abs=1)
    assert pair.needed.high == pytest.approx(pair.needed.value * high, abs=1)
    assert pair.needed.high < MOST_SEEDS


def test_a_need_is_left_out_where_noise_is_not_known_or_nothing_is_needed():
    (few,) = compare_arms({"a": [90.0, 93.0], "b": [90.5, 92.0]}).pairs  # one degree of freedom
    assert few.p is not None
    assert few.needed is None
    (clear,) = compare_arms({"a": [90.0, 91.0, 92.0], "b": [80.0, 81.1, 82.0]}).pairs
    assert clear.significant
    assert clear.needed is None
    level = compare_arms({"a": [1.0, 2.0, 3.0], "b": [2.0, 1.0, 3.0]}).pairs[0]
    assert level.needed == Need(value=None, low=None, high=None)


def test_the_mean_of_an_arm_has_the_noise_of_all_arms():
    """22.58 twice is no proof that there is no noise: the interval is as wide as that of the other arms."""
    arms = {"tie": [22.58, 22.58], "far": [20.0, 25.4], "near": [21.0, 21.9], "fourth": [24.0, 25.0]}
    found = pooled_means(arms)
    fit = fit_blocks(np.array(list(arms.values())))
    reach = stats.t.ppf(0.975, 3) * sqrt(fit.noise_variance / 2)
    assert fit.degrees_of_freedom == 3
    for arm, values in arms.items():
        assert found[arm].value == pytest.approx(np.mean(values))
        assert found[arm].high - found[arm].value == pytest.approx(reach)
        assert found[arm].value - found[arm].low == pytest.approx(reach)


def test_an_arm_with_fewer_seeds_has_a_wider_interval_and_one_without_is_left_out():
    found = pooled_means({"a": [1.0, 2.0, 4.0], "b": [1.5, None, 3.0], "c": [None, None, None], "d": [0.0, 2.0, 2.5]})
    assert list(found) == ["a", "b", "d"]
    a, b = (found[arm].high - found[arm].low for arm in "ab")
    assert b == pytest.approx(a * sqrt(3 / 2))


def test_a_lone_arm_has_students_interval_of_its_own_results():
    values = [76.1, 75.4, 76.9, 75.8]
    theirs = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    found = pooled_means({"a": [*values, None]}, confidence=0.9)["a"]
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high))


@pytest.mark.parametrize(
    "arms",
    [
        {"a": [1.0]},
        {"a": [1.0, 2.0]},  # one degree of freedom
        {"a": [1.0, 2.0], "b": [2.0, 5.0]},
        {"a": [0.1, 0.1, 0.1]},  # no noise
        {"a": [0.1, 0.4, 0.7], "b": [1.1, 1.4, 1.7]},
    ],
)
def test_what_cannot_be_known_has_no_interval(arms):
    assert all((found.low, found.high) == (None, None) for found in pooled_means(arms).values())


@pytest.mark.parametrize(("arms", "seeds"), [(1, 3), (3, 2), (4, 3), (8, 2)])
def test_intervals_of_means_cover(arms, seeds):
    random = np.random.default_rng([arms, seeds])
    inside = []
    for _ in range(1000):
        results = random.normal(7, 2, (arms, seeds))
        found = pooled_means({str(place): row for place, row in enumerate(results.tolist())})["0"]
        inside.append(found.low <= 7 <= found.high)
    assert np.mean(inside) == pytest.approx(0.95, abs=4 * (0.95 * 0.05 / 1000) ** 0.5)


def test_bad_means():
    with pytest.raises(ValueError, match=r"for example 0\.95"):
        pooled_means({"a": [1, 2]}, confidence=95)
    with pytest.raises(ValueError, match="'b': 1"):
        pooled_means({"a": [1.0, 2.0], "b": [1.0]})
