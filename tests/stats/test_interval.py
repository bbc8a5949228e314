import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats

from dorsal.stats import share_at_least
from dorsal.stats.interval import as_results


@pytest.mark.parametrize(("successes", "n"), [(1, 10), (7, 10), (10, 10), (113, 1000)])
def test_a_share_has_the_exact_binomial_lower_end(successes, n):
    theirs = stats.binomtest(successes, n, alternative="greater").proportion_ci(0.95)
    assert share_at_least(successes, n) == pytest.approx(theirs.low)
    # By definition: at this share so many or more successes come with a chance of 5 %.
    assert stats.binom.sf(successes - 1, n, share_at_least(successes, n)) == pytest.approx(0.05)


def test_no_success_shows_nothing():
    assert share_at_least(0, 50) == 0


@given(st.integers(1, 60), st.floats(0, 1), st.sampled_from([0.8, 0.95, 0.999]))
@example(1, 2.2e-309, 0.8)
@example(20, 3e-309, 0.8)
@example(1, 1e-5, 0.95)
def test_it_lies_below_the_share_and_rises_with_it(n, share, confidence):
    low = share_at_least(share * n, n, confidence)
    assert 0 <= low <= share
    assert share_at_least(min(share * n + 0.5, n), n, confidence) >= low


@pytest.mark.parametrize(
    ("successes", "n", "confidence", "message"),
    [
        (1, 0, 0.95, "n must be at least 1"),
        (-1, 5, 0.95, "successes from 0 to n"),
        (6, 5, 0.95, "successes=6 of n=5"),
        (1, 5, 95, "for example 0.95"),
    ],
)
def test_bad_shares(successes, n, confidence, message):
    with pytest.raises(ValueError, match=message):
        share_at_least(successes, n, confidence)


def test_none_is_a_missing_result_and_infinity_none_at_all():
    assert np.isnan(as_results([1.0, None], "values")[1])
    with pytest.raises(ValueError, match="values contains an infinite value"):
        as_results([1.0, float("inf")], "values")
    with pytest.raises(ValueError, match="values must be numbers"):
        as_results([1.0, "fast"], "values")
