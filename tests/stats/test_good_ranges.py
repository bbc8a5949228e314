from collections import Counter
from math import sqrt

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dorsal.stats import GoodRange, GoodValues, good_range, good_values
from dorsal.stats.good_ranges import best_chances

ERRORS = st.lists(st.integers(0, 20), min_size=1, max_size=40)
few = settings(max_examples=30, deadline=None)


def simulated(errors, repeats=20_000):
    """The slow twin: draw a quarter with replacement, keep the best, as the paper does."""
    random = np.random.default_rng(0)
    size = max(1, len(errors) // 4)
    drawn = random.integers(0, len(errors), (repeats, size))
    return drawn[np.arange(repeats), errors[drawn].argmin(axis=1)]


def test_chances_by_hand():
    # 8 networks, draws of 2: best with 1 - (7/8)^2 = 15/64, next 13/64, and so on.
    chances = best_chances(np.array([3.0, 1, 2, 8, 7, 6, 5, 4]))
    assert chances * 64 == pytest.approx([11, 15, 13, 1, 3, 5, 7, 9])
    # The two best tie.
    assert best_chances(np.array([1.0, 1, 2, 3, 4, 5, 6, 7]))[:2] * 64 == pytest.approx([14, 14])
    assert best_chances(np.array([9.0])) == pytest.approx([1])


@given(ERRORS)
@few
def test_chances_are_a_distribution_that_falls_with_error(errors):
    errors = np.array(errors, float)
    chances = best_chances(errors)
    assert chances.sum() == pytest.approx(1)
    assert np.all(np.diff(chances[np.argsort(errors)]) <= 1e-12)
    assert all(np.ptp(chances[errors == value]) < 1e-12 for value in set(errors))


@pytest.mark.parametrize("n", [9, 100])
def test_agrees_with_the_papers_procedure(n):
    random = np.random.default_rng(n)
    errors, axis = np.round(random.normal(40, 3, n)), random.uniform(0, 1, n)
    kept = simulated(errors)
    shares = np.bincount(kept, minlength=n) / kept.size
    assert shares == pytest.approx(best_chances(errors), abs=4 * sqrt(0.25 / kept.size))
    ours = good_range(axis, errors, draws=100)
    # Where the simulated distribution crosses 2.5, 50, 97.5 %, to within its noise of 0.3 %.
    for value, level in ((ours.low, 0.025), (ours.median, 0.5), (ours.high, 0.975)):
        assert (axis[kept] < value).mean() <= level + 0.015
        assert (axis[kept] <= value).mean() >= level - 0.015


def test_categories_agree_with_the_papers_procedure():
    random = np.random.default_rng(2)
    errors, axis = random.normal(40, 3, 60), random.choice(["conv", "res2", "splat"], 60)
    wins = Counter(axis[simulated(errors)])
    result = good_values(list(axis), errors, draws=100)
    for value in result.values:
        assert value.wins == pytest.approx(wins[value.value] / 20_000, abs=0.02)
        assert value.share == np.mean(axis == value.value)
    assert [value.wins for value in result.values] == sorted((value.wins for value in result.values), reverse=True)


def test_the_range_rests_on_some_eight_networks_whatever_n():
    random = np.random.default_rng(1)
    for n in (100, 1000, 10_000):
        assert good_range(random.normal(size=n), random.normal(size=n), draws=100).effective_n == pytest.approx(
            8, abs=0.4
        )


def test_finds_the_valley():
    random = np.random.default_rng(0)
    axis = random.uniform(0, 64, 300)
    result = good_range(axis, 40 + 0.02 * (axis - 20) ** 2 + random.normal(0, 1, 300), draws=1000)
    assert 10 < result.low < result.median < result.high < 30
    assert result.p < 0.01
    assert result.inside < 0.3 < result.inside_if_irrelevant


def test_missing_and_inactive_networks_are_counted():
    result = good_range([1.0, None, 3.0, 4.0], [10.0, 5.0, None, 20.0], draws=100)
    assert (result.n, result.missing) == (2, 2)
    values = good_values(["a", None, "b", "a"], [10.0, 5.0, None, 20.0], draws=100)
    assert (values.n, values.missing, [v.value for v in values.values]) == (2, 2, ["a"])


def test_one_network_and_constant_columns():
    one = good_range([7.0], [40.0], draws=100)
    assert (one.low, one.high, one.inside, one.p) == (7.0, 7.0, 1.0, 1.0)
    same = good_range([7.0] * 9, np.arange(9.0), draws=100)
    assert (same.low, same.high, same.p) == (7.0, 7.0, 1.0)
    # Nothing to choose by: every network counts alike.
    level = good_range(np.arange(40.0), [5.0] * 40, draws=100)
    assert (level.low, level.high, level.p, level.effective_n) == (0.0, 38.0, 1.0, pytest.approx(40))
    assert good_values(["x"] * 5, np.arange(5.0), draws=100).p == 1.0


def test_good_values_are_the_fewest_that_win_enough():
    errors = np.array([1.0] * 20 + [2.0] * 20)
    result = good_values(["a"] * 20 + ["b"] * 20, errors, draws=200)
    assert [value.good for value in result.values] == [True, False]
    assert result.inside == 0.5
    assert result.p < 0.01


@given(ERRORS, st.data())
@few
def test_follows_the_scale_of_the_axis_and_round_trips(errors, data):
    axis = data.draw(st.lists(st.integers(-20, 20), min_size=len(errors), max_size=len(errors)))
    result = good_range(axis, errors, draws=100)
    assert result.low <= result.median <= result.high
    stretched = good_range([3 * value + 1 for value in axis], [7 * error for error in errors], draws=100)
    assert (stretched.low, stretched.median, stretched.high) == tuple(
        3 * value + 1 for value in (result.low, result.median, result.high)
    )
    assert (stretched.p, stretched.inside) == (result.p, result.inside)
    assert msgspec.json.decode(msgspec.json.encode(result), type=GoodRange) == result
    values = good_values([str(value) for value in axis], errors, draws=100)
    assert sum(value.wins for value in values.values) == pytest.approx(1)
    assert msgspec.json.decode(msgspec.json.encode(values), type=GoodValues) == values


def test_level_and_power():
    """An axis that does not matter is found in 5 % of studies; its range excludes a part of the axis in most."""
    runs, tolerance = 400, 3 * sqrt(0.05 * 0.95 / 400)
    noise, narrow, chosen, found, valley = 0, 0, 0, 0, 0
    for seed in range(runs):
        random = np.random.default_rng(seed)
        axis, errors = random.choice(16, 100), np.round(random.normal(40, 3, 100), 1)
        irrelevant = good_range(axis, errors, draws=199)
        noise += irrelevant.p <= 0.05
        narrow += irrelevant.inside < 1
        chosen += good_values([str(value % 4) for value in axis], errors, draws=199).p <= 0.05
        found += good_range(axis, errors + 0.5 * axis, draws=199).p <= 0.05
        valley += good_range(axis, errors + 0.2 * (axis - 7.5) ** 2, draws=199).p <= 0.05
    assert noise / runs <= 0.05 + tolerance
    assert chosen / runs <= 0.05 + tolerance
    assert narrow / runs > 0.7
    assert found / runs > 0.8
    assert valley / runs > 0.7  # 0.05 by the distance of Cramer and von Mises alone


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: good_range([], []), "axis, errors: 0 complete"),
        (lambda: good_range([1.0], [None]), "axis, errors: 0 complete"),
        (lambda: good_range([1.0], [1.0, 2.0]), "lengths are"),
        (lambda: good_range(["a"], [1.0]), "axis must be numbers"),
        (lambda: good_range([float("inf")], [1.0]), "axis contains an infinite value"),
        (lambda: good_values(["a"], [1.0, 2.0]), "lengths are"),
        (lambda: good_values([None], [1.0]), "axis, errors: 0 complete"),
        (lambda: good_values(["a"], [1.0], draws=3), "draws=3"),
        (lambda: good_range([1.0], [1.0], confidence=0), "confidence=0"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
