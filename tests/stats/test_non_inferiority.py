from math import sqrt

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from dorsal.stats import ErrorIncrease, Estimate, dependence_p, members_cost, populations_cost
from dorsal.stats.non_inferiority import FEWEST_TO_NARROW, FREEDOM, MEMBERS

few = settings(max_examples=20, deadline=None)


def cost(low, value, high):
    return ErrorIncrease(change=Estimate(value=value, low=low, high=high), inside=30, outside=30, missing=0)


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
    assert ErrorIncrease(change=None, inside=3, outside=90, missing=0).verdict(100) == "open"


def by_membership(errors, inside, **options):
    """With no other feature: a member of the narrower space is one, and the whole is as the population."""
    column = np.array(inside, dtype=float)[:, None]
    return members_cost(errors, column, [[1.0]], column, **options)


@given(st.integers(0, 1000), st.floats(-5, 5))
@few
def test_members_alone_cost_their_mean_minus_that_of_all(seed, gap):
    random = np.random.default_rng(seed)
    inside = np.arange(100) < 30
    errors = random.gamma(2, 2, 100) + gap * inside
    result = by_membership(errors, inside)
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
    table = np.random.default_rng(0).normal(size=(100, 3))
    table[:, 0] = np.arange(100) % 2
    result = members_cost(errors, table, table[1::2], table)
    kept = np.arange(100) % 10 > 0
    assert (result.inside, result.outside, result.missing) == (50, 40, 10)
    without = members_cost(np.array(errors, dtype=float)[kept], table[kept], table[1::2], table)
    assert result == msgspec.structs.replace(without, missing=10)


@pytest.mark.parametrize("inside", [0, FEWEST_TO_NARROW - 1, 100 - FEWEST_TO_NARROW + 1, 100])
def test_too_few_in_either_population_is_no_interval(inside):
    errors = np.random.default_rng(0).normal(size=100)
    assert populations_cost(errors[:inside], errors[inside:], draws=100).change is None


@pytest.mark.parametrize(("inside", "known"), [(0, 0), (MEMBERS - 1, 0), (MEMBERS, 1), (95, 1), (96, 0), (100, 0)])
def test_too_few_on_either_side_is_no_interval(inside, known):
    result = by_membership(np.random.default_rng(0).normal(size=100), np.arange(100) < inside)
    assert (result.inside, result.outside) == (inside, 100 - inside)
    assert (result.change is not None) == known


def test_equal_errors_show_nothing():
    assert by_membership(np.full(60, 90.0), np.arange(60) < 30).change is None
    assert populations_cost(np.full(60, 90.0), np.full(60, 90.0), draws=100).change is None


def linear(random, networks, members):
    """Errors by membership and two features, of other noise each; and features of samples of the two spaces."""
    table = random.normal(size=(networks, 3))
    table[:, 0] = np.arange(networks) < members
    errors = 30 + table @ [1, 2, -1] + random.normal(size=networks) * (1 + table[:, 1] ** 2)
    new, old = random.normal([0, 0.3, 0], 1, (500, 3)), random.normal(size=(700, 3))
    new[:, 0], old[:, 0] = 1, random.random(700) < members / networks
    return errors, table, new, old


@pytest.mark.parametrize("members", [MEMBERS, 30])
def test_members_cost_agrees_with_the_textbook(members):
    """The slow twin: the formulas of the plain and of HC3's standard error with the whole matrix."""
    errors, table, new, old = linear(np.random.default_rng(0), 80, members)
    design = np.column_stack([np.ones(80), table])
    inverse = np.linalg.inv(design.T @ design)
    coefficients = inverse @ design.T @ errors
    residual = errors - design @ coefficients
    contrast = np.r_[0, new.mean(axis=0) - old.mean(axis=0)]
    scores = design * (residual / (1 - np.diag(design @ inverse @ design.T)))[:, None]
    plain = contrast @ inverse @ contrast * (residual @ residual) / 76
    hc3 = contrast @ inverse @ scores.T @ scores @ inverse @ contrast
    sampled = sum((each @ coefficients[1:]).var() / len(each) for each in (new, old))
    reach = stats.t.ppf(0.975, 76) * sqrt(max(plain, hc3) + sampled)
    result = members_cost(errors, table, new, old).change
    assert result.value == pytest.approx(contrast @ coefficients)
    assert (result.value - result.low, result.high - result.value) == pytest.approx((reach, reach))


@given(st.integers(0, 1000), st.floats(0.1, 10), st.floats(-50, 50))
@few
def test_members_cost_moves_with_the_unit_and_not_with_the_level(seed, unit, level):
    errors, *tables = linear(np.random.default_rng(seed), 80, 20)
    first, second = members_cost(errors, *tables).change, members_cost(unit * errors + level, *tables).change
    assert second.value == pytest.approx(unit * first.value, abs=1e-6)
    assert second.high == pytest.approx(unit * first.high, abs=1e-6)


def test_columns_that_say_nothing_new_change_nothing():
    errors, *tables = linear(np.random.default_rng(1), 80, 20)
    plain = members_cost(errors, *tables).change
    more = members_cost(errors, *(np.column_stack([each, 2 * each[:, 1] - 7, 0 * each[:, 1] + 3e8]) for each in tables))
    assert (more.change.low, more.change.value, more.change.high) == pytest.approx((plain.low, plain.value, plain.high))


def test_what_features_explain_is_no_noise():
    errors, table, new, old = linear(np.random.default_rng(1), 80, 20)
    whole = members_cost(errors + 10 * table[:, 2], table, new, old).change
    alone = by_membership(errors + 10 * table[:, 2], table[:, 0]).change
    assert whole.high - whole.low < (alone.high - alone.low) / 2


def test_too_many_features_for_the_networks_leave_membership_alone():
    random = np.random.default_rng(2)
    errors, inside = random.normal(40, 3, 60), np.arange(60) < 20
    table = np.column_stack([inside, random.normal(size=(60, 60 - FREEDOM - 1))])
    new = np.insert(random.normal(size=(50, table.shape[1] - 1)), 0, 1.0, axis=1)
    few = [each[:, :-1] for each in (table, new, table)]
    assert members_cost(errors, table, new, table) == by_membership(errors, inside)
    assert members_cost(errors, *few) != by_membership(errors, inside)


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


@pytest.mark.parametrize("members", [6, 30])
@pytest.mark.parametrize("jump", [False, True])
def test_members_cost_covers_whatever_the_errors_depend_on(members, jump):
    """A parabola that no column has, or a jump at the members, in skewed noise."""
    random = np.random.default_rng(0)
    new, old = random.normal(size=(3000, 2)) / 2, random.normal(size=(3000, 2))
    new[:, 0], old[:, 0] = 1, random.random(3000) < members / 120

    def truth(table):
        return 40 + table[:, 1] + (3 * table[:, 0] if jump else table[:, 1] ** 2)

    missed = 0
    for _ in range(300):
        inside = np.arange(120) < members
        table = np.column_stack([inside, random.normal(size=120) * np.where(inside, 0.5, 1)])
        # The others make up for what the members lack, so that all are as the whole.
        table[~inside, 1] *= sqrt((120 - members / 4) / (120 - members))
        result = members_cost(truth(table) + random.gamma(2, 1, 120) - 2, table, new, old).change
        cost = 3 * (1 - members / 120) if jump else 0.25 - 1
        missed += not result.low <= cost <= result.high
    assert missed / 300 <= 0.09


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: by_membership([1.0], [True, False]), "'errors': 1, 'features': 2"),
        (lambda: by_membership([float("inf")] * 60, [True] * 60), "infinite"),
        (lambda: by_membership([1.0] * 60, [True] * 30 + [False] * 30, confidence=95), "confidence=95"),
        (
            lambda: members_cost([1.0], [[1.0]], [[1.0, 2.0]], [[1.0]]),
            r"same columns, but are \(1, 1\), \(1, 2\), \(1, 1\)",
        ),
        (lambda: populations_cost([1.0] * 60, ["bad"]), "whole must be numbers"),
        (lambda: populations_cost([1.0] * 60, [1.0] * 60, draws=10), "draws=10"),
        (lambda: dependence_p([[1.0, 2.0]], [1.0]), r"'errors': 1, 'columns\[0\]': 2"),
    ],
)
def test_bad_input_is_named(call, said):
    with pytest.raises(ValueError, match=said):
        call()
