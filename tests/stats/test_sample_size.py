from math import sqrt

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from dorsal.stats import SampleSize, sample_size
from dorsal.stats.sample_size import (
    FEWEST_TO_PLAN,
    MOST_NETWORKS,
    POINTS,
    _bridges,
    _critical,
    _gap,
    networks_for_mean,
    pooled,
    spread_interval,
)

few = settings(max_examples=25, deadline=None)
PILOT = 40 + 2 * np.random.default_rng(5).gamma(2, 1, 60)


def plan(difference, *pilots, **options):
    return sample_size(pilots or (PILOT,), difference, **options)


@given(st.floats(0.1, 1.5), st.floats(0.8, 0.99), st.floats(0.5, 0.95))
@few
def test_mean_agrees_with_the_noncentral_t(effect, confidence, power):
    """The exact need of the t test with equal spread is met to within a network or two percent."""
    ours = networks_for_mean(1.0, effect, confidence, power)

    def reached(n):
        shift, freedom = effect * sqrt(n / 2), 2 * n - 2
        return stats.nct.sf(stats.t.ppf((1 + confidence) / 2, freedom), freedom, shift)

    slack = 1 + ceil_percent(ours)
    assert reached(ours + slack) >= power - 1e-6
    assert ours - slack < 2 or reached(ours - slack) <= power + 1e-6


def ceil_percent(n):
    return int(0.02 * n) + 1


def test_mean_by_hand():
    # Cohen's table: d = 0.5, two-sided 5 %, 80 %: 64 in each group.
    assert networks_for_mean(2.0, 1.0) == 64
    assert networks_for_mean(2.0, 0.0) is None
    assert networks_for_mean(2.0, 1e-6) is None
    assert networks_for_mean(0.0, 1.0) == 2


def test_bridges_are_brownian():
    bridges = np.concatenate([_bridges(np.random.default_rng(seed)) for seed in range(3)])
    time = np.arange(1, POINTS) / POINTS
    assert bridges.mean(axis=0) == pytest.approx(0, abs=0.03)
    assert bridges.var(axis=0) == pytest.approx(time * (1 - time), abs=0.03)
    # The grid sees a little less than the supremum, whose 95 % quantile is 1.358.
    for confidence in (0.8, 0.95, 0.9875):
        assert np.quantile(np.abs(bridges).max(axis=1), confidence) == pytest.approx(_critical(confidence), abs=0.05)


def test_gap_of_a_known_shift():
    pilot = stats.norm.ppf((np.arange(4000) + 0.5) / 4000)
    assert _gap(pilot, 0.5).max() == pytest.approx(2 * stats.norm.cdf(0.25) - 1, abs=0.002)


def test_smaller_differences_need_more():
    needs = [plan(difference) for difference in (4.0, 1.0, 0.25)]
    assert [p.mean.value for p in needs] == sorted(p.mean.value for p in needs)
    assert [p.distance for p in needs] == sorted(p.distance for p in needs)
    for need in (p.mean for p in needs):
        assert need.low <= need.value <= need.high
    assert plan(1e-4).mean.value is None
    assert plan(1e-4).mean.high is None
    assert plan(1e-4).distance is None


def test_seeds_pay_only_where_there_is_noise():
    one, three = (plan(1.0, noise_share=0.5, seeds=seeds) for seeds in (1, 3))
    assert one.mean == plan(1.0).mean
    # Variance 0.5 + 0.5 / 3 of what it was; in runs, dearer.
    assert three.mean.value == pytest.approx(one.mean.value * 2 / 3, abs=2)
    assert 3 * three.mean.value > one.mean.value
    assert three.spread == one.spread
    assert plan(1.0, noise_share=0.0, seeds=3).mean == one.mean


def test_interval_narrows_with_the_pilot():
    random = np.random.default_rng(0)
    small, large = (plan(1.0, random.normal(40, 3, n)).mean for n in (15, 300))
    assert small.high / small.low > 2 > large.high / large.low


def test_small_pilots_and_ties():
    assert plan(5.0, [30.0, 40.0] * 5 + [30.0]).mean.value > 2
    assert plan(5.0, [30.0] * 20 + [40.0]).distance is not None


def test_pilots_count_around_their_own_means():
    shifted = [PILOT[:30], 100 + PILOT[30:], [7.0]]
    residuals, freedom = pooled([np.array(each) for each in shifted])
    assert (residuals.size, freedom) == (60, 58)
    # Of two samples: the pooled variance of the textbook.
    expected = (29 * PILOT[:30].var(ddof=1) + 29 * PILOT[30:].var(ddof=1)) / 58
    assert plan(1.0, *shifted).spread == pytest.approx(sqrt(expected))
    assert plan(1.0, PILOT).spread == pytest.approx(PILOT.std(ddof=1))


def test_small_pilots_of_several_populations_are_not_biased():
    """Twelve populations of two networks; with one degree of freedom lost in all, the plans had half the networks."""
    random = np.random.default_rng(0)
    plans = [plan(1.0, *random.normal(40, 2, (12, 2))).mean.value for _ in range(60)]
    assert np.mean(plans) == pytest.approx(networks_for_mean(2.0, 1.0), rel=0.12)


NORMAL, GAMMA, EXPONENTIAL = stats.norm(), stats.gamma(2), stats.expon()


def spread_coverage(errors, sizes, studies):
    covered = 0
    for seed in range(studies):
        random = np.random.default_rng(seed)
        low, high = spread_interval(*pooled([errors.rvs(n, random_state=random) for n in sizes]))
        covered += low <= errors.std() <= high
    return covered / studies


@pytest.mark.parametrize("errors", [NORMAL, GAMMA, EXPONENTIAL])
@pytest.mark.parametrize("sizes", [(11,), (40,), (5,) * 4, (2,) * 12])
def test_the_interval_of_the_spread_covers(errors, sizes):
    """A percentile bootstrap covers 0.64 (exponential) and 0.78 (normal) with 11 networks."""
    runs = 400
    assert spread_coverage(errors, sizes, runs) >= 0.9 - 3 * sqrt(0.9 * 0.1 / runs)


@pytest.mark.slow
@pytest.mark.parametrize(("errors", "lowest"), [(NORMAL, 0.93), (GAMMA, 0.89), (EXPONENTIAL, 0.88), (stats.t(5), 0.89)])
@pytest.mark.parametrize("sizes", [(11,), (20,), (40,), (100,), (5,) * 4, (2,) * 12, (32,) * 4])
def test_coverage_of_the_spread_is_what_the_docstring_says(errors, lowest, sizes):
    assert spread_coverage(errors, sizes, 3000) >= lowest


def test_same_seed_same_plan_and_round_trip():
    result = plan(1.0)
    assert result == plan(1.0)
    assert msgspec.json.decode(msgspec.json.encode(result), type=SampleSize) == result
    assert (result.mean.value < MOST_NETWORKS, result.pilot_networks) == (True, 60)


def critical_distance(n, random):
    """Distance that two samples of n from one population exceed in at most 5 % of permutations."""
    labels = random.permuted(np.tile(np.repeat([1, -1], n), (3000, 1)), axis=1)
    return np.quantile(np.abs(labels.cumsum(axis=1)).max(axis=1), 0.95)


def simulated_power(draw, difference, n, runs):
    """Power of Welch's t test and of the Kolmogorov-Smirnov test."""
    random = np.random.default_rng(0)
    a, b = draw(random, (runs, n)), draw(random, (runs, n)) + difference
    means = np.mean(stats.ttest_ind(a, b, axis=1, equal_var=False).pvalue <= 0.05)
    order = np.concatenate([a, b], axis=1).argsort(axis=1)
    steps = np.abs(np.where(order < n, 1, -1).cumsum(axis=1)).max(axis=1)
    return means, np.mean(steps > critical_distance(n, random))


def skewed(random, size):
    return 40 + 2 * random.gamma(2, 1, size)


def normal(random, size):
    return random.normal(40, 4, size)


@pytest.mark.parametrize(("draw", "difference"), [(skewed, 1.0), (normal, 2.0)])
def test_plans_have_the_power_they_promise(draw, difference):
    result = plan(difference, draw(np.random.default_rng(1), 2000))
    of_mean, _ = simulated_power(draw, difference, result.mean.value, 1500)
    _, of_distance = simulated_power(draw, difference, result.distance, 1500)
    assert of_mean == pytest.approx(0.8, abs=0.035)
    assert of_distance == pytest.approx(0.8, abs=0.07)


@pytest.mark.slow
@pytest.mark.parametrize("draw", [skewed, normal, lambda random, size: 40 + 3 * random.exponential(1, size)])
@pytest.mark.parametrize("difference", [2.0, 1.0])
def test_power_is_what_the_docstring_says(draw, difference):
    result = plan(difference, draw(np.random.default_rng(1), 3000))
    of_mean, _ = simulated_power(draw, difference, result.mean.value, 4000)
    _, of_distance = simulated_power(draw, difference, result.distance, 4000)
    # Networks and power, mean and distance: skewed 32 0.80, 29 0.78 and 123 0.77, 105 0.82; normal 64 0.81,
    # 88 0.77 and 251 0.79, 343 0.80; exponential 36 0.80, 22 0.91 and 140 0.79, 67 0.93.
    assert of_mean == pytest.approx(0.8, abs=0.03)
    assert of_distance == pytest.approx(0.8, abs=0.14)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plan(1.0, [1.0, 2.0]), f"1 degree.* at least {FEWEST_TO_PLAN} are needed"),
        (lambda: plan(1.0, *[[1.0, 2.0, None]] * 5), "pilots have 5 degree"),
        (lambda: plan(1.0, [47.3] * 12, [0.1] * 9), "pilots: the errors of each are all equal"),
        (lambda: plan(0.0), "difference=0.0 must be above 0"),
        (lambda: plan(float("nan")), "difference=nan must be above 0"),
        (lambda: plan(1.0, noise_share=30), "noise_share=30"),
        (lambda: plan(1.0, seeds=0), "seeds=0"),
        (lambda: plan(1.0, power=0.01), "power=0.01"),
        (lambda: plan(1.0, confidence=80), "confidence=80"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
