from itertools import combinations
from math import comb

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dorsal.stats import SearchCurve, search_curve
from dorsal.stats.best_of import _jackknife, rank_chances

few = settings(max_examples=30, deadline=None)


@given(st.lists(st.integers(0, 9), min_size=2, max_size=7), st.data())
@few
def test_equals_the_mean_over_all_searches(errors, data):
    """The slow twin: every set of k networks, ties for the best shared."""
    tests = data.draw(st.lists(st.integers(0, 9), min_size=len(errors), max_size=len(errors)))
    curve = search_curve(errors, range(1, len(errors) + 1), tests, draws=100)
    for point in curve.points:
        searches = list(combinations(range(len(errors)), point.k))
        best = [min(errors[i] for i in search) for search in searches]
        chosen = [
            np.mean([tests[i] for i in range(len(errors)) if errors[i] == least and i in search])
            for search, least in zip(searches, best, strict=True)
        ]
        assert point.expected.value == pytest.approx(np.mean(best))
        # Sharing ties within each search or over the population comes to the same mean.
        assert point.chosen == pytest.approx(np.mean(chosen))
        for level, value in ((0.1, point.lucky), (0.5, point.median), (0.9, point.unlucky)):
            assert value == np.quantile(best, level - 1e-9, method="inverted_cdf")


def test_chances_by_hand():
    chances = rank_chances(5, np.array([1, 2, 5]))
    assert chances[0] == pytest.approx([0.2] * 5)
    assert chances[1] * comb(5, 2) == pytest.approx([4, 3, 2, 1, 0])
    assert chances[2] == pytest.approx([1, 0, 0, 0, 0])


def test_chances_of_a_large_population_are_accurate():
    n, k = 20_000, 300
    ours = rank_chances(n, np.array([k]))[0]
    assert ours.sum() == pytest.approx(1)
    for rank in (1, 50, 400):
        assert ours[rank - 1] == pytest.approx(comb(n - rank, k - 1) / comb(n, k), rel=1e-6)


@given(st.lists(st.floats(0, 100), min_size=3, max_size=25))
@few
def test_jackknife_equals_leaving_out(errors):
    ordered, ks = np.sort(errors), np.array([1, 2])
    n = ordered.size
    without = rank_chances(n - 1, ks)
    left_out = np.stack([without @ np.delete(ordered, i) for i in range(n)])
    slow = np.sqrt((n - 1) * left_out.var(axis=0))
    assert _jackknife(ordered[None], without)[0] == pytest.approx(slow, abs=1e-6)


@given(st.lists(st.integers(0, 50), min_size=2, max_size=40))
@few
def test_more_networks_never_hurt(errors):
    curve = search_curve(errors, draws=100)
    expected = [point.expected.value for point in curve.points]
    assert expected[0] == pytest.approx(np.mean(errors))
    assert expected[-1] == pytest.approx(min(errors))
    assert np.all(np.diff(expected) <= 1e-9)
    assert all(p.lucky <= p.median <= p.unlucky for p in curve.points)
    assert [p.k for p in curve.points if p.expected.low is not None] == [
        p.k for p in curve.points if 4 * p.k <= len(errors)
    ]
    assert msgspec.json.decode(msgspec.json.encode(curve), type=SearchCurve) == curve


def test_the_choice_flatters_itself():
    random = np.random.default_rng(0)
    true = random.normal(40, 2, 200)
    validation, test = true + random.normal(0, 2, 200), true + random.normal(0, 2, 200)
    point = search_curve(validation, [20], test, draws=100).points[0]
    assert point.expected.value < point.chosen - 1


def test_missing_are_counted():
    assert search_curve([1.0, None, 3.0], draws=100).missing == 1
    curve = search_curve([1.0, None, 3.0, 4.0], [1], [2.0, 2.0, None, 6.0], draws=100)
    assert (curve.n, curve.missing, curve.points[0].chosen) == (2, 2, 4.0)


def coverage(n, draw, shares, runs, draws):
    ks = np.unique(np.maximum(1, np.floor(n * np.array(shares) + 1e-9).astype(int)))
    random = np.random.default_rng(n)
    truth = np.array([draw(random, (400_000 // k, k)).min(axis=1).mean() for k in ks])
    covered = np.zeros(ks.size)
    for seed in range(runs):
        curve = search_curve(draw(random, n), ks.tolist(), draws=draws, seed=seed)
        covered += [p.expected.low <= true <= p.expected.high for p, true in zip(curve.points, truth, strict=True)]
    return covered / runs


def skewed(random, size):
    return 40 + 2 * random.gamma(2, 1, size)


def normal(random, size):
    return random.normal(40, 4, size)


@pytest.mark.parametrize("draw", [skewed, normal])
def test_bands_cover(draw):
    assert np.all(coverage(60, draw, [0.02, 0.1, 0.25], runs=250, draws=300) >= 0.89)


@pytest.mark.slow
@pytest.mark.parametrize("draw", [skewed, normal])
@pytest.mark.parametrize("n", [30, 100, 300])
def test_coverage_is_what_the_docstring_says(draw, n):
    """1,000 studies each. Skewed, by n: 0.93 to 0.95 throughout; normal: 0.93 to 0.96, 0.92 to 0.95, 0.91 to 0.94."""
    covered = coverage(n, draw, [0.03, 0.1, 0.2, 0.25], runs=1000, draws=500)
    assert np.all(covered >= 0.89), covered


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: search_curve([1.0]), "errors holds 1 result"),
        (lambda: search_curve([1.0, 2.0], [3]), r"ks=\[3\]: each k must lie from 1 to the 2 networks"),
        (lambda: search_curve([1.0, 2.0], [0]), "each k must lie"),
        (lambda: search_curve([1.0, 2.0], []), "each k must lie"),
        (lambda: search_curve([1.0, 2.0], [1], [1.0]), "lengths are"),
        (lambda: search_curve([1.0, 2.0], confidence=5), "confidence=5"),
        (lambda: search_curve([1.0, 2.0], draws=2), "draws=2"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
