from math import sqrt

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from dorsal.stats import PopulationComparison, compare_populations
from dorsal.stats.populations import _distances, _pooled, holm

POPULATIONS = st.lists(st.integers(0, 30), min_size=2, max_size=25)
few = settings(max_examples=25, deadline=None)


def spread(random, size):
    return 40 + 2 * random.gamma(2, 1, size)


@given(POPULATIONS, POPULATIONS)
@few
def test_distance_is_scipys(a, b):
    assert _distances(*_pooled(np.array(a, float), np.array(b, float)))[0] == pytest.approx(
        stats.ks_2samp(a, b, method="asymp").statistic  # the exact p, which nobody asks for here, can fail
    )


def test_p_values_are_those_of_exact_tests():
    random = np.random.default_rng(0)
    a, b = random.normal(size=12), random.normal(0.8, 1, 15)
    result = compare_populations(a, b, draws=20_000)
    assert result.distance_test.p == pytest.approx(stats.ks_2samp(a, b, method="exact").pvalue, abs=0.012)

    def welch(x, y, axis):
        return stats.ttest_ind(x, y, axis=axis, equal_var=False).statistic

    theirs = stats.permutation_test((a, b), welch, n_resamples=5_000, vectorized=True, rng=1).pvalue
    assert result.mean.test.p == pytest.approx(theirs, abs=0.012)


def test_holm_by_hand():
    # Sorted 0.01, 0.02, 0.03, 0.4 times 4, 3, 2, 1, then never falling.
    assert holm([0.02, 0.4, 0.01, 0.03]) == pytest.approx([0.06, 0.4, 0.04, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_effects_by_hand():
    result = compare_populations([10.0, 20.0, 30.0, None], [20.0, 30.0, 40.0, 50.0], quantiles=(0.5,), draws=200)
    assert result.mean.difference.value == -15
    assert result.quantiles[0].difference.value == -15
    assert result.distance == pytest.approx(0.5)
    assert (result.networks, result.missing) == ((3, 4), (1, 0))
    # Too few for any interval.
    assert result.mean.difference.low is None
    assert result.quantiles[0].difference.high is None


def test_two_networks_each_can_show_nothing():
    result = compare_populations([1.0, 2.0], [101.0, 102.0], draws=500)
    # Of the 6 ways to label, 2 are as extreme.
    assert result.mean.test.p == pytest.approx(1 / 3, abs=0.07)


def test_constant_errors():
    same = compare_populations([5.0] * 8, [5.0] * 9, quantiles=(0.5,), draws=200)
    assert (same.mean.test.p, same.distance_test.p, same.distance, same.needed) == (1.0, 1.0, 0.0, None)
    assert (same.mean.difference.low, same.mean.difference.high, same.shown) == (None, None, ())
    apart = compare_populations([5.0] * 8, [6.0] * 8, quantiles=(0.5,), draws=999)
    assert apart.mean.test.p < 0.01
    assert apart.shown == (apart.mean,)
    assert apart.needed is None  # two networks each do not tell the spread


def test_low_quantile_needs_36_networks_for_an_interval():
    random = np.random.default_rng(3)
    for n, known in ((35, False), (36, True)):
        effect = compare_populations(random.normal(size=n), random.normal(size=60), draws=200).quantiles[0]
        assert (effect.difference.low is not None) == known


@given(POPULATIONS, POPULATIONS)
@few
def test_swapping_turns_the_signs(a, b):
    one, other = (compare_populations(*pair, draws=100) for pair in ((a, b), (b, a)))
    assert one.distance == pytest.approx(other.distance)
    for first, second in zip((one.mean, *one.quantiles), (other.mean, *other.quantiles), strict=True):
        assert first.difference.value == pytest.approx(-second.difference.value)
        assert first.test.p <= first.test.adjusted_p


@given(POPULATIONS, POPULATIONS, st.integers(-100, 100), st.integers(1, 9))
@few
def test_follows_shift_and_scale(a, b, shift, scale):
    one = compare_populations(a, b, draws=100)
    other = compare_populations([scale * e + shift for e in a], [scale * e + shift for e in b], draws=100)
    assert other.mean.difference.value == pytest.approx(scale * one.mean.difference.value, abs=1e-9)
    assert [e.test.p for e in other.quantiles] == [e.test.p for e in one.quantiles]
    assert (other.distance_test, other.mean.test.p) == (one.distance_test, one.mean.test.p)


def test_same_seed_same_answer_and_round_trip():
    random = np.random.default_rng(1)
    a, b = spread(random, 30), spread(random, 40)
    result = compare_populations(a, b, draws=200)
    assert result == compare_populations(a, b, draws=200)
    assert msgspec.json.decode(msgspec.json.encode(result), type=PopulationComparison) == result


def rates(draw_a, draw_b, truth, runs, draws=199):
    """Share of studies that reject, by test [distance, mean, 10 %, 50 %] alone and at all, and interval coverage."""
    rejected, found, covered = np.zeros(4), 0, np.zeros(3)
    for seed in range(runs):
        random = np.random.default_rng(seed)
        result = compare_populations(draw_a(random), draw_b(random), draws=draws, seed=seed)
        effects = (result.mean, *result.quantiles)
        tests = [result.distance_test, *(effect.test for effect in effects)]
        rejected += [test.p <= 0.05 for test in tests]
        found += any(test.adjusted_p <= 0.05 for test in tests)
        covered += [
            effect.difference.low is not None and effect.difference.low <= true <= effect.difference.high
            for effect, true in zip(effects, truth, strict=True)
        ]
    return rejected / runs, found / runs, covered / runs


def test_level_under_the_null():
    runs = 400
    rejected, found, covered = rates(lambda r: spread(r, 50), lambda r: spread(r, 50), (0, 0, 0), runs)
    tolerance = 3 * sqrt(0.05 * 0.95 / runs)
    assert np.all(rejected <= 0.05 + tolerance)
    # Holm: any false difference at all.
    assert found <= 0.05 + tolerance
    assert np.all(covered >= 0.95 - tolerance - 0.01)


def test_ties_keep_the_level():
    runs = 300
    rejected, found, _ = rates(lambda r: np.round(spread(r, 40)), lambda r: np.round(spread(r, 60)), (0, 0, 0), runs)
    assert np.all(rejected <= 0.05 + 3 * sqrt(0.05 * 0.95 / runs))
    assert found <= 0.05 + 3 * sqrt(0.05 * 0.95 / runs)


def test_equal_means_with_unequal_spread_are_not_called_different():
    """The plain permutation test finds the means different in a quarter of such studies."""
    runs = 300
    rejected, _, covered = rates(lambda r: r.normal(0, 3, 40), lambda r: r.normal(0, 1, 120), (0, 0, 0), runs)
    assert rejected[1] <= 0.05 + 3 * sqrt(0.05 * 0.95 / runs)
    assert rejected[3] <= 0.10
    assert covered[0] >= 0.91
    # The distributions do differ, and the lowest tenth does.
    assert rejected[2] > 0.75


def test_power():
    runs = 150
    rejected, found, covered = rates(
        lambda r: r.normal(0.5, 1, 60), lambda r: r.normal(0, 1, 60), (0.5, 0.5, 0.5), runs
    )
    assert rejected[1] == pytest.approx(0.78, abs=0.1)  # Welch's t test: 0.78
    assert rejected[0] > 0.45
    assert found > 0.5
    assert np.all(covered > 0.88)


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [(50, 50), (30, 120), (200, 200)])
def test_rates_are_what_the_docstring_says(sizes):
    """1,000 studies of the same skewed population each.

    Rejected [distance, mean, 10 %, 50 %], any after Holm; covered [mean, 10 %, 50 %]:
    50, 50: 0.058 0.055 0.044 0.052, 0.044; 0.939 0.960 0.953
    30, 120: 0.042 0.049 0.045 0.042, 0.028; 0.950 (none) 0.952
    200, 200: 0.042 0.043 0.054 0.054, 0.029; 0.951 0.964 0.957
    """
    draw_a, draw_b = (lambda random, n=n: spread(random, n) for n in sizes)
    rejected, found, covered = rates(draw_a, draw_b, (0, 0, 0), 1000, draws=499)
    assert np.all(rejected <= 0.07), rejected
    assert found <= 0.07
    assert np.all(covered[[0, 2]] >= 0.92), covered
    assert covered[1] >= 0.92 or min(sizes) < 36


@pytest.mark.slow
def test_equal_means_with_unequal_spread():
    """Normal errors, sd 3 and 1, 30 and 120 networks; 1,000 studies: rejected 0.056, unstudentised 0.243."""
    rejected, plain = 0, 0
    for seed in range(1000):
        random = np.random.default_rng(seed)
        a, b = random.normal(0, 3, 30), random.normal(0, 1, 120)
        rejected += compare_populations(a, b, quantiles=(), draws=299, seed=seed).mean.test.p <= 0.05
        shuffled = random.permuted(np.tile(np.concatenate([a, b]), (299, 1)), axis=1)
        unscaled = np.abs(shuffled[:, :30].mean(axis=1) - shuffled[:, 30:].mean(axis=1))
        plain += (1 + np.sum(unscaled >= abs(a.mean() - b.mean()))) / 300 <= 0.05
    assert rejected / 1000 <= 0.09
    assert plain / 1000 > 0.2


@pytest.mark.slow
@pytest.mark.parametrize("quantile", [0.1, 0.5])
def test_equal_quantiles_with_unequal_spread(quantile):
    """Normal errors, standard deviation 3 and 1, 60 and 200 networks, equal in the one quantile; 1,000 studies.

    Rejected 0.057 (10 %) and 0.051 (median).
    """
    at = stats.norm.ppf(quantile)
    rejected = 0
    for seed in range(1000):
        random = np.random.default_rng(seed)
        a, b = random.normal(-3 * at, 3, 60), random.normal(-at, 1, 200)
        result = compare_populations(a, b, quantiles=(quantile,), draws=299, seed=seed)
        rejected += result.quantiles[0].test.p <= 0.05
    assert rejected / 1000 <= 0.10


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: compare_populations([1.0], [1.0, 2.0]), "a holds 1 result"),
        (lambda: compare_populations([1.0, 2.0], [None, float("nan")]), "b holds 0 result"),
        (lambda: compare_populations([1.0, 2.0], [1.0, float("inf")]), "b contains an infinite value"),
        (lambda: compare_populations([1.0, 2.0], [1.0, 2.0], quantiles=(10,)), "quantiles holds 10"),
        (lambda: compare_populations([1.0, 2.0], [1.0, 2.0], confidence=1.0), "confidence=1.0"),
        (lambda: compare_populations([1.0, 2.0], [1.0, 2.0], draws=99), "draws=99"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
