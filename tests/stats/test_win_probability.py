from math import sqrt

import numpy as np
import pytest
from scipy.stats import nct, norm

from dorsal.stats.win_probability import win_probability


def share_covered(studies, draw, truth, paired=True):
    random, hits = np.random.default_rng(0), 0
    for _ in range(studies):
        found = win_probability(*draw(random), paired=paired)
        hits += found.low <= truth <= found.high
    return hits / studies


def test_the_interval_is_that_of_the_noncentral_t():
    first, second = [72.1, 73.4, 72.8, 71.9], [71.0, 71.9, 72.3, 71.5]
    gaps = np.subtract(first, second)
    t = gaps.mean() / gaps.std(ddof=1) * 2
    found = win_probability(first, second)
    for end, share in ((found.low, 0.975), (found.value, 0.5), (found.high, 0.025)):
        assert nct.cdf(t, 3, norm.ppf(end) * 2) == pytest.approx(share, abs=0.003)


def test_the_other_way_round_it_is_one_minus_it():
    first, second = [3.0, 4.5, None, 5.0], [2.0, 5.0, 7.0, 3.5]
    for paired in (True, False):
        one, other = (win_probability(*pair, paired=paired) for pair in ((first, second), (second, first)))
        assert one.value == pytest.approx(1 - other.value, abs=1e-6)
        assert one.low == pytest.approx(1 - other.high, abs=1e-6)


@pytest.mark.parametrize(("first", "second", "value"), [([5], [4], 1), ([5, 6], [4, 5], 1), ([5, 6], [5, 6], 0.5)])
def test_without_noise_it_is_the_share_of_wins(first, second, value):
    found = win_probability(first, second)
    assert (found.value, found.low, found.high) == (value, None, None)


def test_bad_input():
    with pytest.raises(ValueError, match="hold 2 and 1 results"):
        win_probability([1, 2], [1])
    with pytest.raises(ValueError, match="no seed in common"):
        win_probability([1, None], [None, 1])
    with pytest.raises(ValueError, match="first or second has no result"):
        win_probability([1, 2], [None], paired=False)
    with pytest.raises(ValueError, match="confidence=95"):
        win_probability([1, 2], [1, 2], confidence=95)


@pytest.mark.parametrize(("seeds", "effect"), [(3, 0), (3, 2), (5, 1), (10, 0.5)])
def test_coverage_of_pairs_is_nominal_also_with_unequal_noise(seeds, effect):
    def draw(random):
        blocks = 5 * random.standard_normal(seeds)
        return effect * sqrt(10) + blocks + 3 * random.standard_normal(seeds), blocks + random.standard_normal(seeds)

    assert share_covered(400, draw, norm.cdf(effect)) == pytest.approx(0.95, abs=3 * sqrt(0.05 * 0.95 / 400))


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize(("noise", "other"), [(1, 0), (1, 1), (3, 0)])
def test_coverage_of_runs_with_seeds_of_their_own(seeds, noise, other):
    def draw(random):
        return noise * random.standard_normal(seeds) + 2, random.standard_normal(seeds + other)

    truth = norm.cdf(2 / sqrt(1 + noise**2))
    assert 0.93 < share_covered(2000, draw, truth, paired=False) < 0.98


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "least"), [(3, 0.91), (5, 0.89), (10, 0.87)])
def test_coverage_with_heavy_tails(seeds, least):
    """Student's t with 4 degrees of freedom."""
    random = np.random.default_rng(1)
    truth = float((random.standard_t(4, 10**6) + sqrt(2) > 0).mean())

    def draw(random):
        return random.standard_t(4, seeds) + sqrt(2), np.zeros(seeds)

    assert share_covered(2000, draw, truth) > least
