from math import sqrt

import numpy as np
import pytest
from scipy.stats import ttest_rel

from dorsal.stats import compare_arms
from dorsal.stats.unequal_noise import compare_unequal_arms, noise_test


def study(random, noise, seeds, draw="standard_normal"):
    table = getattr(random, draw)(size=(len(noise), seeds)) * np.array(noise)[:, None]
    return dict(zip("abcdefgh", table + 3 * random.standard_normal(seeds), strict=False))


def share_found(noise, seeds, studies=1200):
    random = np.random.default_rng(0)
    return np.mean([noise_test(study(random, noise, seeds)).p <= 0.05 for _ in range(studies)])


@pytest.mark.parametrize(("arms", "seeds"), [(3, 3), (5, 3), (5, 8)])
def test_the_level_is_nominal_from_three_seeds_on(arms, seeds):
    assert share_found([1] * arms, seeds) == pytest.approx(0.05, abs=3 * sqrt(0.05 * 0.95 / 1200))


def test_a_noisy_arm_is_found_and_named():
    assert share_found([10, 1, 1, 1, 1], 3) > 0.8
    found = noise_test(study(np.random.default_rng(1), [1, 1, 10, 1], 8))
    assert found.noisiest == "c"
    assert found.p < 0.01
    assert found.noise_sd["c"] > 4 * max(found.noise_sd[arm] for arm in ("a", "b", "d"))


def test_the_noise_of_each_arm_is_known_where_nothing_is_random():
    """Three contrasts over seeds that are orthogonal: their variances add up in every difference."""
    found = noise_test({"a": [1, -1, 0, 0], "b": [0, 0, 2, -2], "c": [3, 3, -3, -3]})
    assert found.noise_sd == pytest.approx({"a": sqrt(2 / 3), "b": sqrt(8 / 3), "c": sqrt(12)})


@pytest.mark.parametrize(
    "values",
    [{"a": [1, 2, 4], "b": [2, 2, 1]}, {"a": [1, 2], "b": [3, 3], "c": [1, 4]}, {arm: [1, 2, 3] for arm in "abc"}],
    ids=["two arms", "two seeds", "no noise"],
)
def test_where_nothing_can_be_said(values):
    assert noise_test(values) is None


def test_seeds_with_a_missing_result_and_empty_arms_are_left_out():
    whole = {"a": [1, 2, 4, 9.0], "b": [2, 2, 1, 8.0], "c": [0, 5, 3, 9.5]}
    ragged = {"a": [*whole["a"], 3], "b": [*whole["b"], None], "c": [*whole["c"], 7], "d": [None] * 5}
    assert noise_test(ragged) == noise_test(whole)
    assert noise_test(ragged).seeds == 4


def test_pairs_by_themselves_are_paired_t_tests_with_bonferronis_correction():
    random = np.random.default_rng(5)
    values = study(random, [1, 2, 6], 8)
    found = compare_unequal_arms(values)
    for pair in found.pairs:
        test = ttest_rel(values[pair.better], values[pair.worse])
        assert pair.p == pytest.approx(min(1, 3 * test.pvalue))
        ends = test.confidence_interval(1 - 0.05 / 3)
        assert (pair.difference.low, pair.difference.high) == pytest.approx((ends.low, ends.high))
        assert pair.significant == (pair.p < 0.05)
    assert found.noise_sd == compare_arms(values).noise_sd


def test_pairs_by_themselves_without_noise_have_no_interval():
    (pair,) = compare_unequal_arms({"a": [1, 2], "b": [0, 1]}).pairs
    assert (pair.difference.value, pair.difference.low, pair.p, pair.significant) == (1, None, None, False)


@pytest.mark.parametrize(("noise", "seeds"), [([1, 1, 1, 1, 1], 3), ([10, 1, 1, 1, 1], 3), ([3, 1, 1, 1, 1], 5)])
def test_pairs_by_themselves_keep_the_level(noise, seeds, light):
    random, studies = np.random.default_rng(0), 500
    wrong = sum(
        any(pair.significant for pair in compare_unequal_arms(study(random, noise, seeds)).pairs)
        for _ in range(studies)
    )
    assert wrong / studies <= 0.05 + 3 * sqrt(0.05 * 0.95 / studies)


@pytest.mark.slow
@pytest.mark.parametrize(("arms", "seeds", "most"), [(3, 3, 0.07), (5, 3, 0.10), (5, 10, 0.18), (8, 3, 0.15)])
def test_level_with_heavy_tails(arms, seeds, most):
    """Student's t with 5 degrees of freedom."""
    random = np.random.default_rng(0)
    tables = [dict(zip("abcdefgh", random.standard_t(5, (arms, seeds)), strict=False)) for _ in range(4000)]
    assert np.mean([noise_test(table).p <= 0.05 for table in tables]) < most
