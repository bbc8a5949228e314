import numpy as np
import pytest

from dorsal.stats.bootstrap import FEWEST_TO_RESAMPLE, mean_estimate, studentised


def test_a_draw_without_spread_is_infinitely_far_on_its_side():
    """11 of 200 draws are alike and below the value: they are the lower tail of t, so the upper end is Student's."""
    drawn = np.append(np.linspace(-1, 1, 189), np.full(11, -2.0))
    errors = np.append(np.ones(189), np.zeros(11))
    found = studentised(0.0, 1.0, drawn, errors, 0.95)
    assert found.high == pytest.approx(-found.low)
    assert found.high > 1.96
    # Two of them are less than a tail, and move it by two places only.
    few = studentised(0.0, 1.0, drawn[:191], errors[:191], 0.95)
    assert few.high == pytest.approx(1.0, abs=0.05)


def test_equal_values_have_no_interval_whatever_their_rounding():
    for value in (90.0, 47.3, 0.1):
        found = mean_estimate(np.full(47, value), 0.95, 200, np.random.default_rng(0))
        assert (found.value, found.low, found.high) == (pytest.approx(value), None, None)
    assert mean_estimate(np.arange(FEWEST_TO_RESAMPLE - 1.0), 0.95, 200, np.random.default_rng(0)).low is None


def stuck(random, n, share, spread):
    """Errors of which most are those of networks that learn nothing."""
    return np.where(random.random(n) < share, 90.0, random.normal(50, spread, n))


def coverage(n, share, spread, studies, draws=300):
    """Of the studies whose errors are not all alike."""
    found = []
    for seed in range(studies):
        random = np.random.default_rng(seed)
        estimate = mean_estimate(stuck(random, n, share, spread), 0.95, draws, random)
        if estimate.low is not None:
            assert estimate.high > estimate.low
            found.append(estimate.low <= 50 + 40 * share <= estimate.high)
    return np.mean(found)


@pytest.mark.parametrize(("n", "share", "spread"), [(20, 0.8, 3), (50, 0.9, 3), (20, 0.9, 0)])
def test_the_mean_is_covered_where_most_networks_are_stuck(n, share, spread):
    """Leaving draws without spread out covered 0.80, 0.89 and 0.67."""
    assert coverage(n, share, spread, 300) >= 0.93


@pytest.mark.slow
@pytest.mark.parametrize(("n", "share"), [(12, 0.8), (20, 0.8), (20, 0.9), (50, 0.9), (100, 0.95)])
def test_coverage_is_what_the_docstring_says(n, share):
    assert coverage(n, share, 3, 2000, draws=500) >= 0.96
