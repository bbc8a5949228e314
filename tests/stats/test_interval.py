import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from dorsal.stats import mean_interval


def test_matches_scipy():
    values = [76.1, 75.4, 76.9, 75.8]
    ours = mean_interval(values, confidence=0.9)
    theirs = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))
    assert ours.sd == pytest.approx(np.std(values, ddof=1))


def test_by_hand():
    # mean 2, sd 1, t(0.975, 2) = 4.3027, so 2 ± 4.3027 / sqrt(3).
    interval = mean_interval([1.0, 2.0, 3.0])
    assert interval.mean == 2.0
    assert interval.high == pytest.approx(2 + 2.4841, abs=1e-4)
    assert interval.low == pytest.approx(2 - 2.4841, abs=1e-4)


def test_one_seed_has_no_interval():
    interval = mean_interval([None, 5.0, float("nan")])
    assert (interval.mean, interval.low, interval.high, interval.sd, interval.n) == (5.0, None, None, None, 1)


def test_missing_seeds_are_left_out():
    assert mean_interval([1.0, None, 3.0]) == mean_interval([1.0, 3.0])


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_coverage(seeds):
    random = np.random.default_rng(seeds)
    intervals = [mean_interval(list(random.normal(7, 2, seeds))) for _ in range(4000)]
    coverage = np.mean([interval.low <= 7 <= interval.high for interval in intervals])
    assert coverage == pytest.approx(0.95, abs=3 * (0.95 * 0.05 / 4000) ** 0.5)


@given(
    st.lists(st.integers(-1000, 1000), min_size=2, max_size=6),
    st.integers(-1000, 1000),
    st.integers(1, 50),
)
def test_follows_shift_and_scale(values, shift, scale):
    before = mean_interval(values)
    after = mean_interval([scale * value + shift for value in values])
    expected = [scale * bound + shift for bound in (before.mean, before.low, before.high)]
    assert [after.mean, after.low, after.high] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("values", "confidence", "message"),
    [
        ([], 0.95, "values holds no result"),
        ([None], 0.95, "values holds no result"),
        ([1.0, float("inf")], 0.95, "infinite"),
        ([1.0, "fast"], 0.95, "values must be numbers"),
        ([1.0, 2.0], 95, "for example 0.95"),
        ([1.0, 2.0], 0.0, "confidence=0.0 must lie between 0 and 1"),
    ],
)
def test_bad_input(values, confidence, message):
    with pytest.raises(ValueError, match=message):
        mean_interval(values, confidence)
