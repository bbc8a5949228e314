from math import sqrt

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from dorsal.stats import CategoricalProfile, NumericProfile, categorical_profile, numeric_profile
from dorsal.stats.bootstrap import FEWEST_TO_RESAMPLE, order_bracket, quantile_estimate

few = settings(max_examples=30, deadline=None)


def test_bins_by_hand():
    result = numeric_profile([1, 2, 3, 4, None], [10.0, 20.0, 30.0, 50.0, 9.0], groups=2, draws=100)
    assert [(b.low, b.centre, b.high) for b in result.bins] == [(1.0, 1.5, 2.0), (3.0, 3.5, 4.0)]
    assert [(b.errors.n, b.errors.mean.value, b.errors.minimum) for b in result.bins] == [
        (2, 15.0, 10.0),
        (2, 40.0, 30.0),
    ]
    assert result.missing == 1
    assert result.bins[0].errors.mean.low is None
    assert result.bins[0].errors.median.high is None


def test_few_values_have_a_bin_each():
    result = numeric_profile([8, 1, 8, 2, 1, 8], np.arange(6.0), groups=4, draws=100)
    assert [(b.low, b.high, b.errors.n) for b in result.bins] == [(1, 1, 2), (2, 2, 1), (8, 8, 3)]


def test_one_network():
    (only,) = numeric_profile([3.0], [40.0], draws=100).bins
    assert (only.low, only.high, only.errors.mean.value, only.errors.tenth.low) == (3, 3, 40, None)


def test_constant_errors_have_a_mean_without_an_interval():
    (only,) = numeric_profile(np.ones(FEWEST_TO_RESAMPLE), np.full(FEWEST_TO_RESAMPLE, 7.0), draws=100).bins
    assert (only.errors.mean.value, only.errors.mean.low, only.errors.mean.high) == (7.0, None, None)


@given(st.lists(st.integers(0, 15), min_size=1, max_size=80), st.integers(1, 10))
@few
def test_bins_partition_the_axis(axis, groups):
    result = numeric_profile(axis, np.arange(len(axis)), groups=groups, draws=100)
    assert 1 <= len(result.bins) <= groups
    assert sum(b.errors.n for b in result.bins) == len(axis)
    for left, right in zip(result.bins, result.bins[1:], strict=False):
        assert left.low <= left.centre <= left.high < right.low
    for b in result.bins:
        assert b.errors.n == sum(b.low <= value <= b.high for value in axis)
    assert msgspec.json.decode(msgspec.json.encode(result), type=NumericProfile) == result


@given(st.integers(8, 400), st.integers(1, 8))
@few
def test_distinct_values_are_split_evenly(n, groups):
    sizes = [b.errors.n for b in numeric_profile(np.arange(n), np.zeros(n), groups=groups, draws=100).bins]
    assert len(sizes) == groups
    assert max(sizes) - min(sizes) <= 1


def test_categories_by_hand():
    result = categorical_profile(["b", "a", None, "b"], [1.0, 5.0, 9.0, 3.0], draws=100)
    assert [(c.value, c.errors.n, c.errors.mean.value) for c in result.categories] == [("b", 2, 2.0), ("a", 1, 5.0)]
    assert result.missing == 1
    assert msgspec.json.decode(msgspec.json.encode(result), type=CategoricalProfile) == result


@given(st.integers(1, 300), st.floats(0.02, 0.98))
@few
def test_order_statistics_bracket_a_quantile(n, share):
    """The exact probability that the bracket holds the quantile is at least nominal, and not when narrower."""
    bracket = order_bracket(n, share, 0.95)
    if bracket is None:
        assert min(stats.binom.pmf(0, n, share), stats.binom.pmf(n, n, share)) < 0.96
        assert stats.binom.pmf(0, n, share) >= 0.025 or stats.binom.pmf(n, n, share) >= 0.025
        return
    low, high = bracket
    # The quantile lies between the order statistics of index low and high when low < count below <= high.
    assert stats.binom.cdf(high, n, share) - stats.binom.cdf(low, n, share) >= 0.95 - 1e-12


def test_quantile_interval_by_hand():
    # The median of 6 lies between the extremes with probability 1 - 2 / 64.
    estimate = quantile_estimate(np.arange(6.0), 0.5, 0.95)
    assert (estimate.value, estimate.low, estimate.high) == (2.5, 0.0, 5.0)
    assert quantile_estimate(np.arange(5.0), 0.5, 0.95).low is None
    assert quantile_estimate(np.arange(36.0), 0.1, 0.95).low == 0.0
    assert quantile_estimate(np.arange(35.0), 0.1, 0.95).low is None


def coverage(n, bins, runs, draws):
    """Share of profiles whose intervals hold in all bins at once: mean, median, lowest tenth."""
    truth = np.array([40 + 4, 40 + stats.gamma.ppf(0.5, 2, scale=2), 40 + stats.gamma.ppf(0.1, 2, scale=2)])
    covered = np.zeros(3)
    for seed in range(runs):
        random = np.random.default_rng(seed)
        axis = random.uniform(0, 1, n)
        profile = numeric_profile(axis, 40 + random.gamma(2, 2, n), groups=bins, draws=draws, seed=seed)
        inside = [
            [
                e.low is None or e.low <= t <= e.high
                for e, t in zip((b.errors.mean, b.errors.median, b.errors.tenth), truth, strict=True)
            ]
            for b in profile.bins
        ]
        covered += np.all(inside, axis=0)
    return covered / runs


def test_intervals_hold_in_all_bins_at_once():
    mean, median, tenth = coverage(200, 4, runs=200, draws=800)
    assert mean >= 0.95 - 3 * sqrt(0.05 * 0.95 / 200) - 0.02
    assert median >= 0.91
    assert tenth >= 0.91


@pytest.mark.slow
@pytest.mark.parametrize("n", [200, 480])
def test_coverage_is_what_the_docstring_says(n):
    """Mean, median, lowest tenth: 0.930, 0.948, 1 (no interval) at 200; 0.942, 0.940, 0.964 at 480 networks."""
    covered = coverage(n, 8, runs=500, draws=4000)
    assert np.all(covered > 0.91), covered


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: numeric_profile([], []), "0 complete"),
        (lambda: numeric_profile([1.0], [1.0, 2.0]), "lengths are"),
        (lambda: numeric_profile([1.0], [1.0], groups=0), "groups=0"),
        (lambda: numeric_profile([1.0], [1.0], confidence=2), "confidence=2"),
        (lambda: categorical_profile([], []), "0 complete"),
        (lambda: categorical_profile(["a"], [1.0], draws=1), "draws=1"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
