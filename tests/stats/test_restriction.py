from math import sqrt

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from dorsal.stats import Cost, Estimate, dependence_p, members_cost, populations_cost, regression_cost
from dorsal.stats.restriction import FEWEST, FREEDOM

few = settings(max_examples=20, deadline=None)


def cost(low, value, high):
    return Cost(change=Estimate(value=value, low=low, high=high), inside=30, outside=30, missing=0)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-2, -0.1, "gains"),
        (-2, 0.4, "harmless"),
        (0.1, 0.4, "harmless"),
        (-2, 0.6, "open"),
        (0.5, 0.6, "open"),
        (0.51, 3, "costly"),
    ],
)
def test_a_verdict_is_where_the_interval_lies(low, high, verdict):
    assert cost(low, (low + high) / 2, high).verdict(0.5) == verdict


def test_with_no_margin_a_step_must_gain():
    assert cost(-1, 0, 0.1).verdict(0) == "open"
    assert cost(-1, -0.5, -0.1).verdict(0) == "gains"


def test_no_interval_is_no_verdict():
    assert Cost(change=None, inside=3, outside=90, missing=0).verdict(100) == "open"


@given(st.integers(0, 1000), st.floats(-5, 5))
@few
def test_members_cost_is_their_mean_minus_that_of_all(seed, gap):
    random = np.random.default_rng(seed)
    inside = np.arange(100) < 30
    errors = random.gamma(2, 2, 100) + gap * inside
    result = members_cost(errors, list(inside), draws=100)
    assert result.change.value == pytest.approx(errors[inside].mean() - errors.mean())
    assert result.change.low < result.change.value < result.change.high
    assert (result.inside, result.outside, result.missing) == (30, 70, 0)


def test_populations_cost_is_the_difference_of_means():
    random = np.random.default_rng(0)
    narrower, whole = random.normal(40, 2, 50), random.normal(42, 2, 80)
    result = populations_cost([*narrower, None], [*whole, float("nan")], draws=10_000)
    assert result.change.value == pytest.approx(narrower.mean() - whole.mean())
    assert (result.inside, result.outside, result.missing) == (50, 80, 2)
    # For normal errors of equal departure the bootstrap-t interval is nearly Welch's.
    known = stats.ttest_ind(narrower, whole, equal_var=False).confidence_interval()
    assert (result.change.low, result.change.high) == pytest.approx((known.low, known.high), abs=0.06)


def test_missing_results_are_left_out_and_counted():
    errors = [None if index % 10 == 0 else float(index % 7) for index in range(100)]
    inside = [index % 2 == 0 for index in range(100)]
    result = members_cost(errors, inside, draws=100)
    kept = [index for index in range(100) if index % 10]
    assert (result.inside, result.outside, result.missing) == (40, 50, 10)
    without = members_cost([errors[i] for i in kept], [inside[i] for i in kept], draws=100)
    assert result == msgspec.structs.replace(without, missing=10)


@pytest.mark.parametrize("inside", [0, FEWEST - 1, 100 - FEWEST + 1, 100])
def test_too_few_on_either_side_is_no_interval(inside):
    errors = np.random.default_rng(0).normal(size=100)
    result = members_cost(errors, [index < inside for index in range(100)], draws=100)
    assert result.change is None
    assert (result.inside, result.outside) == (inside, 100 - inside)
    assert populations_cost(errors[:inside], errors[inside:], draws=100).change is None


def hc3(departure, errors, others):
    """The slow twin: the formula of MacKinnon and White with the whole matrix. Coefficient and standard error."""
    design = np.column_stack([departure, np.ones(len(errors)), *others])
    inverse = np.linalg.inv(design.T @ design)
    coefficients = inverse @ design.T @ errors
    leverage = np.diag(design @ inverse @ design.T)
    scores = design * ((errors - design @ coefficients) / (1 - leverage))[:, None]
    return coefficients[0], sqrt((inverse @ scores.T @ scores @ inverse)[0, 0])


def test_regression_cost_agrees_with_the_textbook():
    random = np.random.default_rng(0)
    departure, mean = random.gamma(2, 1, 80), random.normal(size=80)
    errors = 30 + 1.5 * departure + mean + random.normal(size=80) * (1 + departure)
    result = regression_cost(departure, errors, {"mean": mean, "square": mean**2})
    coefficient, error = hc3(departure, errors, [mean, mean**2])
    assert result.change.value == pytest.approx(-coefficient * departure.mean())
    of_mean = coefficient**2 * departure.var(ddof=1) / 80
    reach = stats.t.ppf(0.975, 80 - 4) * sqrt(departure.mean() ** 2 * error**2 + of_mean)
    assert result.change.high - result.change.value == pytest.approx(reach)
    assert result.change.value - result.change.low == pytest.approx(reach)


@given(st.integers(0, 1000), st.floats(0.1, 10), st.floats(-50, 50))
@few
def test_regression_cost_moves_with_the_unit_and_not_with_the_level(seed, unit, level):
    random = np.random.default_rng(seed)
    departure, errors, mean = random.gamma(2, 1, 60), random.normal(40, 3, 60), random.normal(size=60)
    first = regression_cost(departure, errors, {"mean": mean}).change
    second = regression_cost(departure, unit * errors + level, {"mean": mean}).change
    assert second.value == pytest.approx(unit * first.value, abs=1e-6)
    assert second.high == pytest.approx(unit * first.high, abs=1e-6)


def test_columns_that_say_nothing_new_change_nothing():
    random = np.random.default_rng(1)
    departure, errors, mean = random.gamma(2, 1, 60), random.normal(40, 3, 60), random.normal(size=60)
    plain = regression_cost(departure, errors, {"mean": mean}).change
    more = regression_cost(departure, errors, {"mean": mean, "twice": 2 * mean - 7, "one": np.full(60, 3e8)}).change
    assert (more.low, more.value, more.high) == pytest.approx((plain.low, plain.value, plain.high))


def test_regression_cost_says_nothing_where_it_cannot():
    random = np.random.default_rng(2)
    departure, errors = random.gamma(2, 1, 60), random.normal(40, 3, 60)
    assert regression_cost(departure, errors, {"itself": 1 - departure}).change is None
    assert regression_cost(np.full(60, 2.0), errors, {}).change is None
    assert regression_cost(departure[: FREEDOM + 2], errors[: FREEDOM + 2], {}).change is not None
    assert regression_cost(departure[: FREEDOM + 1], errors[: FREEDOM + 1], {}).change is None
    assert regression_cost([None] * 60, errors, {}) == Cost(change=None, inside=0, outside=0, missing=60)


def test_dependence_agrees_with_the_f_test():
    random = np.random.default_rng(0)
    groups = random.integers(0, 3, 80)
    errors = random.normal(40, 2, 80) + 0.7 * groups
    found = dependence_p([(groups == group).astype(float) for group in range(3)], errors, draws=20_000)
    known = stats.f_oneway(*(errors[groups == group] for group in range(3))).pvalue
    assert found == pytest.approx(known, abs=4 * sqrt(known / 20_000))


def test_dependence_sees_a_valley_that_a_line_does_not():
    random = np.random.default_rng(0)
    axis = random.uniform(-1, 1, 100)
    errors = 40 + 3 * axis**2 + random.normal(0, 0.5, 100)
    assert dependence_p([axis, axis**2], errors, draws=1000) == pytest.approx(1 / 1001)
    assert dependence_p([axis], errors, draws=1000) > 0.05


def test_dependence_keeps_its_level():
    random = np.random.default_rng(0)
    p = [
        dependence_p([axis, axis**2], random.exponential(2, 30), draws=200, seed=seed)
        for seed, axis in enumerate(random.normal(size=(400, 30)))
    ]
    assert 0.02 <= np.mean(np.array(p) <= 0.05) <= 0.08
    assert stats.kstest(p, "uniform").pvalue > 0.01


def test_dependence_without_evidence_is_none():
    assert dependence_p([[None, None]], [1.0, 2.0]) == 1
    assert dependence_p([[1.0, 2.0, 3.0]], [5.0, 5.0, 5.0]) == 1
    assert dependence_p([], [1.0, 2.0, 3.0]) == 1


def test_members_cost_covers():
    random = np.random.default_rng(0)
    inside = np.arange(120) < 30
    outside_interval = 0
    for seed in range(200):
        result = members_cost(random.gamma(2, 2, 120) + 2 * inside, list(inside), draws=500, seed=seed).change
        outside_interval += not result.low <= 2 * 0.75 <= result.high
    assert outside_interval / 200 <= 0.11  # 5 to 7 %; more than 11 % would come with a chance of 1 in 50 to 3,000


@pytest.mark.parametrize("additive", [True, False])
def test_regression_cost_covers(additive):
    random = np.random.default_rng(1)
    axis = random.integers(0, 3, (120, 4)).astype(float)
    variance, mean, square = axis.var(axis=1), axis.mean(axis=1), (axis**2).mean(axis=1)
    truth = ((axis - 1) ** 2).mean(axis=1) if additive else 2 * variance
    cost_of_sharing = 0.0 if additive else -2 * variance.mean()
    outside_interval = 0
    for _ in range(300):
        errors = 40 + truth + (1 + variance) * (random.gamma(2, 1, 120) - 2)
        result = regression_cost(variance, errors, {"mean": mean, "square": square}).change
        outside_interval += not result.low <= cost_of_sharing <= result.high
    assert outside_interval / 300 <= 0.09


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: members_cost([1.0], [True, False]), "'errors': 1, 'inside': 2"),
        (lambda: members_cost([float("inf")] * 60, [True] * 60), "infinite"),
        (lambda: members_cost([1.0] * 60, [True] * 30 + [False] * 30, confidence=95), "confidence=95"),
        (lambda: members_cost([1.0] * 60, [True] * 30 + [False] * 30, draws=10), "draws=10"),
        (lambda: populations_cost([1.0] * 60, ["bad"]), "whole must be numbers"),
        (lambda: regression_cost([1.0], [1.0, 2.0], {}), "'departure': 1, 'errors': 2"),
        (lambda: regression_cost([1.0], [1.0], {}, confidence=0), "confidence=0"),
        (lambda: dependence_p([[1.0, 2.0]], [1.0]), r"'errors': 1, 'columns\[0\]': 2"),
    ],
)
def test_bad_input_is_named(call, said):
    with pytest.raises(ValueError, match=said):
        call()
