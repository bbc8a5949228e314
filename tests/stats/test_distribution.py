from math import log, sqrt

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from dorsal.stats import Band, edf, normalized_weights, pointwise_band, simultaneous_band

ERRORS = st.lists(st.integers(0, 20), min_size=1, max_size=30)
few = settings(max_examples=30, deadline=None)


def bounds_at(band: Band, errors):
    """Low and high of the band at each of `errors`."""
    place = np.searchsorted(band.values, errors, side="right")
    return np.append(0, band.low)[place], np.append(band.high_below, band.high)[place]


def test_by_hand():
    result = edf([30.0, 20.0, None, 20.0, 50.0])
    assert result.values == (20.0, 30.0, 50.0)
    assert result.share == (0.5, 0.75, 1.0)
    assert (result.mean, result.minimum, result.n, result.missing) == (30.0, 20.0, 4, 1)
    assert result.effective_n == pytest.approx(4)


def test_weights_by_hand():
    result = edf([30.0, 20.0, float("nan"), 50.0], [1, 2, 9, 1])
    assert result.share == (0.5, 0.75, 1.0)
    assert result.mean == pytest.approx(30)
    assert result.effective_n == pytest.approx(16 / 6)


def test_one_network():
    assert edf([40.0]).share == (1.0,)
    band = pointwise_band([40.0])
    assert (band.low, band.high, band.high_below) == ((pytest.approx(0.025),), (1.0,), pytest.approx(0.975))
    assert simultaneous_band([40.0]).high_below == pytest.approx(0.975)


def test_constant_errors_are_one_step():
    assert edf([5.0] * 9).values == (5.0,)
    assert simultaneous_band([5.0] * 9, [1, 2, 3] * 3).low == (pytest.approx(1.0),)


def test_normalized_weights_by_hand():
    # Bins 0-1, 1-2, 2-3, of which the second is empty: 1 / (3 x 2) three times, 1 / (1 x 2).
    assert normalized_weights([0.0, 0.5, 0.9, 3.0], 3) == pytest.approx([1 / 6, 1 / 6, 1 / 6, 1 / 2])
    assert normalized_weights([7.0, 7.0], 5) == pytest.approx([0.5, 0.5])


def test_shared_edges_make_populations_comparable():
    edges = [0.0, 1.0, 2.0]
    # One network a bin, whatever the population's own extremes.
    assert normalized_weights([0.9, 1.0], edges) == pytest.approx([0.5, 0.5])
    assert normalized_weights([1.2, 1.9, 2.0], edges) == pytest.approx([1 / 3] * 3)


@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=30), st.integers(1, 12))
@few
def test_every_bin_weighs_alike(complexity, bins):
    weights = normalized_weights(complexity, bins)
    assert weights.sum() == pytest.approx(1)
    index = np.searchsorted(np.histogram_bin_edges(complexity, bins)[1:-1], complexity, side="right")
    of_bins = np.bincount(index, weights)
    assert of_bins[of_bins > 0] == pytest.approx(1 / np.count_nonzero(of_bins))


@given(ERRORS)
@few
def test_agrees_with_scipy(errors):
    theirs = stats.ecdf(errors).cdf
    ours = edf(errors)
    assert ours.values == pytest.approx(theirs.quantiles)
    assert ours.share == pytest.approx(theirs.probabilities)


@given(ERRORS)
@few
def test_equal_weights_change_nothing(errors):
    weights = [0.3] * len(errors)
    assert edf(errors, weights).share == pytest.approx(edf(errors).share)
    for band in (pointwise_band, simultaneous_band):
        with_weights, without = band(errors, weights), band(errors)
        assert with_weights.method == without.method
        assert with_weights.low == pytest.approx(without.low)
        assert with_weights.high == pytest.approx(without.high)


def test_pointwise_is_clopper_pearson():
    band = pointwise_band([1.0, 2.0, 2.0, 3.0, 4.0], confidence=0.9)
    for i, count in enumerate([1, 3, 4, 5]):
        exact = stats.binomtest(count, 5).proportion_ci(0.9)
        assert (band.low[i], band.high[i]) == pytest.approx((exact.low, exact.high))
    assert band.high_below == pytest.approx(stats.binomtest(0, 5).proportion_ci(0.9).high)


def test_the_drawn_band_tends_to_the_exact_one():
    """Weights equal but for a hair go the way of the bootstrap, and end at Clopper and Pearson's interval."""
    errors = np.arange(20.0)
    weights = np.ones(20)
    weights[0] += 1e-9
    drawn, exact = pointwise_band(errors, weights, draws=20_000), pointwise_band(errors)
    assert drawn.method != exact.method
    assert drawn.low == pytest.approx(exact.low, abs=0.015)
    assert drawn.high == pytest.approx(exact.high, abs=0.015)


@given(ERRORS, st.floats(0.5, 0.99))
@few
def test_simultaneous_is_within_the_bound_of_massart(errors, confidence):
    band = simultaneous_band(errors, confidence=confidence)
    bound = sqrt(log(2 / (1 - confidence)) / (2 * len(errors)))
    share = edf(errors).share
    assert np.all(np.array(share) - band.low <= bound + 1e-12)
    assert np.all(np.array(band.high) - share <= bound + 1e-12)
    assert msgspec.json.decode(msgspec.json.encode(band), type=Band) == band


@given(ERRORS, st.data())
@few
def test_bands_are_monotone_and_hold_the_curve(errors, data):
    weights = data.draw(st.lists(st.integers(1, 9), min_size=len(errors), max_size=len(errors)))
    share = edf(errors, weights).share
    for band in (pointwise_band(errors, weights, draws=300), simultaneous_band(errors, weights, draws=300)):
        assert 0 <= band.high_below <= 1
        assert all(low <= here <= high for low, here, high in zip(band.low, share, band.high, strict=True))
        assert np.all(np.diff(band.low) >= -1e-12)
        assert np.all(np.diff((band.high_below, *band.high)) >= -1e-12)


@pytest.mark.parametrize("n", [20, 60])
def test_unweighted_bands_cover(n):
    """Pointwise at four shares down to 0.01; simultaneous on both sides of every jump, with the exact probability."""
    random, runs = np.random.default_rng(n), 400
    shares = np.array([0.01, 0.1, 0.5, 0.9])
    pointwise, simultaneous = np.zeros(4), 0
    for _ in range(runs):
        errors = random.normal(size=n)
        low, high = bounds_at(pointwise_band(errors), stats.norm.ppf(shares))
        pointwise += (low <= shares) & (shares <= high)
        band = simultaneous_band(errors)
        truth = stats.norm.cdf(band.values)
        simultaneous += np.all(band.low <= truth) and np.all(truth <= np.append(band.high_below, band.high[:-1]))
    tolerance = 3 * sqrt(0.05 * 0.95 / runs)
    assert np.all(pointwise / runs >= 0.95 - tolerance)
    assert simultaneous / runs == pytest.approx(0.95, abs=tolerance)


def test_bands_of_tied_errors_cover():
    random, runs = np.random.default_rng(0), 300
    grid = np.arange(-4.0, 5)
    truth = stats.norm.cdf(grid + 1)
    pointwise, simultaneous = np.zeros(grid.size), 0
    for _ in range(runs):
        errors = np.floor(random.normal(size=40))
        low, high = bounds_at(pointwise_band(errors), grid)
        pointwise += (low <= truth) & (truth <= high)
        low, high = bounds_at(simultaneous_band(errors), grid)
        simultaneous += np.all((low <= truth) & (truth <= high))
    tolerance = 3 * sqrt(0.05 * 0.95 / runs)
    assert np.all(pointwise / runs >= 0.95 - tolerance)
    assert simultaneous / runs >= 0.95 - tolerance


EDGES = np.linspace(0.2, 4, 11)


def weighted_coverage(n, runs, draws):
    """Coverage of weighted bands: pointwise at 4 errors, and simultaneous; the bins that occurred count alike."""
    random = np.random.default_rng(n)

    def draw(size):
        complexity = np.exp(random.normal(0, 0.5, size)).clip(0.2, 4)
        return complexity, 40 - 6 * np.log(complexity) + random.gamma(2, 2, size)

    complexity, errors = draw(400_000)
    bins = np.digitize(complexity, EDGES[1:-1])
    grid = np.quantile(errors, np.linspace(0.001, 0.999, 200))
    of_bins = np.stack(
        [np.searchsorted(np.sort(errors[bins == b]), grid, "right") / (bins == b).sum() for b in range(10)]
    )
    pointwise, simultaneous = np.zeros(4), 0
    for _ in range(runs):
        complexity, errors = draw(n)
        weights = normalized_weights(complexity, EDGES)
        truth = of_bins[np.unique(np.digitize(complexity, EDGES[1:-1]))].mean(axis=0)
        low, high = bounds_at(pointwise_band(errors, weights, draws=draws), grid)
        pointwise += ((low <= truth + 1e-12) & (truth <= high + 1e-12))[[0, 20, 100, 180]]
        low, high = bounds_at(simultaneous_band(errors, weights, draws=draws), grid)
        simultaneous += np.all((low <= truth + 1e-12) & (truth <= high + 1e-12))
    return pointwise / runs, simultaneous / runs


def test_weighted_bands_cover():
    pointwise, simultaneous = weighted_coverage(100, runs=150, draws=200)
    assert np.all(pointwise > 0.92)
    assert simultaneous > 0.92


@pytest.mark.slow
@pytest.mark.parametrize("n", [50, 200, 500])
def test_weighted_coverage_is_what_the_docstring_says(n):
    pointwise, simultaneous = weighted_coverage(n, runs=400, draws=1000)
    assert np.all(pointwise > 0.96), pointwise
    assert simultaneous > 0.93, simultaneous


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: edf([]), "errors holds 0 result"),
        (lambda: edf([None, None]), "errors holds 0 result"),
        (lambda: edf([1.0, float("inf")]), "infinite"),
        (lambda: edf([[1.0], [2.0]]), "one value a network"),
        (lambda: edf([1.0, 2.0], [1.0]), "lengths are"),
        (lambda: edf([1.0, 2.0], [1.0, -1.0]), "weights must be"),
        (lambda: edf([1.0, 2.0], [0.0, 0.0]), "weights must be"),
        (lambda: edf([1.0, 2.0], [None, 1.0]), "weights must be"),
        (lambda: pointwise_band([1.0], confidence=95), "confidence=95"),
        (lambda: simultaneous_band([1.0], draws=5), "draws=5"),
        (lambda: normalized_weights([1.0, None], 3), "1 missing of 2"),
        (lambda: normalized_weights([], 3), "0 values"),
        (lambda: normalized_weights([1.0], 0), "bins=0"),
        (lambda: normalized_weights([1.0, 5.0], [0, 2, 4]), "complexity 5 lies outside the bins, 0 to 4"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
