from itertools import product
from math import sqrt

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from dorsal.stats.sign_flips import FEWEST_TO_FLIP, MOST_FLIPPED, sign_flip_test

# Fisher, The Design of Experiments (1935), after Darwin: crossed less self-fertilised maize, 15 pairs, in eighths of an
# inch. Of all 32,768 flips 1,726 have a sum as far from 0 (Fisher gives 5.267 %).
DARWIN = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]


def test_fishers_example():
    (pair,) = sign_flip_test({"crossed": DARWIN, "self": [0] * 15})
    assert pair.p == pytest.approx(1726 / 32768)
    assert (pair.better, pair.n, pair.difference) == ("crossed", 15, pytest.approx(314 / 15))


def test_all_pairs_against_a_plain_loop():
    random = np.random.default_rng(0)
    values = {name: list(random.standard_normal(6) + shift) for name, shift in (("a", 2.0), ("b", 0.5), ("c", 0.0))}
    pairs = [("a", "b"), ("a", "c"), ("b", "c")]
    gaps = np.array([np.subtract(values[x], values[y]) for x, y in pairs])
    observed = abs(ttest_1samp(gaps, 0, axis=1).statistic)
    largest = [abs(ttest_1samp(gaps * signs, 0, axis=1).statistic).max() for signs in product((1, -1), repeat=6)]
    expected = [(np.array(largest) >= t - 1e-9).mean() for t in observed]
    assert [pair.p for pair in sign_flip_test(values)] == pytest.approx(expected)


def test_missing_seeds_are_left_out_of_their_pairs():
    values = {"a": [*range(1, 8)], "b": [0.0] * 6 + [None], "c": [0.0, 0.0, None, None, 0.0, 0.0, 0.0]}
    (pair,) = sign_flip_test(values)
    assert (pair.better, pair.worse, pair.n) == ("a", "b", FEWEST_TO_FLIP)
    assert pair.p == 2 / 2**6
    assert sign_flip_test({"a": [1.0] * 5, "b": [0.0] * 5}) == ()


def test_equal_results_show_nothing():
    (pair,) = sign_flip_test({"a": [1.0] * 6, "b": [1.0] * 6})
    assert pair.p == 1


def test_many_seeds_are_drawn_and_near_the_exact_value():
    random = np.random.default_rng(3)
    gaps = random.standard_normal(MOST_FLIPPED + 4) + 0.4
    (pair,) = sign_flip_test({"a": gaps, "b": np.zeros(gaps.size)})
    assert pair.p == pytest.approx(ttest_1samp(gaps, 0).pvalue, rel=0.15)
    assert sign_flip_test({"a": gaps, "b": np.zeros(gaps.size)}) == (pair,)


@pytest.mark.parametrize("noise", [(1, 1, 1, 1), (5, 1, 1, 1)])
def test_level_over_all_pairs_also_with_unequal_heavy_noise(noise):
    random, studies = np.random.default_rng(0), 800
    wrong = 0
    for _ in range(studies):
        table = random.standard_t(3, (4, 7)) * np.array(noise)[:, None]
        wrong += any(pair.p <= 0.05 for pair in sign_flip_test(dict(zip("abcd", table, strict=True))))
    assert wrong / studies <= 0.05 + 3 * sqrt(0.05 * 0.95 / studies)


def test_bad_input():
    with pytest.raises(ValueError, match="one entry a seed in every arm"):
        sign_flip_test({"a": [1.0], "b": [1.0, 2.0]})
