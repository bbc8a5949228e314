from itertools import combinations, permutations
from math import asin, pi, sqrt

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import brentq

from dorsal.stats import Reliability, rank_reliability
from dorsal.stats.bootstrap import members, multiplicities
from dorsal.stats.rank import sign_products, tau_b

few = settings(max_examples=40, deadline=None)
COLUMN = st.lists(st.one_of(st.integers(0, 6), st.none()), min_size=5, max_size=20)
BUDGETS = ("10 epochs", "100 epochs")


def kendall(first, second, counts=None):
    first, second = np.array(first, float), np.array(second, float)
    counts = np.ones((1, first.size)) if counts is None else counts
    return tau_b(sign_products(first, second), counts)


@given(COLUMN, st.data())
@few
def test_tau_is_scipys(first, data):
    second = data.draw(st.lists(st.one_of(st.integers(0, 6), st.none()), min_size=len(first), max_size=len(first)))
    both = [(a, b) for a, b in zip(first, second, strict=True) if a is not None and b is not None]
    expected = stats.kendalltau(*zip(*both, strict=True)).statistic if len(both) > 1 else np.nan
    assert kendall(first, second)[0] == pytest.approx(expected, nan_ok=True)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=2, max_size=12), st.integers(0, 99))
@few
def test_counts_stand_for_copies(pairs, seed):
    first, second = np.array(pairs, float).T
    counts = multiplicities(first.size, 5, np.random.default_rng(seed))
    for tau, inside in zip(kendall(first, second, counts), members(counts), strict=True):
        expected = stats.kendalltau(first[inside], second[inside]).statistic
        assert tau == pytest.approx(expected, nan_ok=True)


def table(*budgets):
    """[networks, budgets, seeds] from one [networks, seeds] a budget."""
    return np.stack([np.array(budget, float) for budget in budgets], axis=1)


def runs(n, correlation, noise, seeds, random):
    """Errors at two budgets whose true values correlate, each with its own noise of seeds."""
    true = random.normal(size=(n, 2))
    true[:, 1] = correlation * true[:, 0] + sqrt(1 - correlation**2) * true[:, 1]
    return true[:, :, None] + np.array(noise)[None, :, None] * random.normal(size=(n, 2, seeds))


def test_one_seed_by_hand():
    errors = table([[1], [2], [3], [4], [5], [6]], [[1], [2], [3], [4], [6], [5]])
    result = rank_reliability(errors, BUDGETS, k=2, draws=200)
    (pair,) = result.agreements
    assert pair.tau.value == pytest.approx((14 - 1) / 15)
    assert (pair.top.value, pair.top_by_chance, pair.n, pair.true_tau) == (1.0, 2 / 6, 6, None)
    assert [c.tau for c in result.ceilings] == [None, None]
    # The same networks ranked from the other end share one of the worst two.
    assert rank_reliability(-errors, BUDGETS, k=1, draws=200).agreements[0].top.value == 0.0


def test_different_seeds_are_paired():
    """What a seed does alike at both budgets is not agreement: true errors equal, noise shared within a seed."""
    random = np.random.default_rng(0)
    noise = random.normal(size=(30, 3))
    (pair,) = rank_reliability(table(noise, noise), BUDGETS, draws=200).agreements
    assert abs(pair.tau.value) < 0.2
    # With one seed there is no other to pair it with.
    (pair,) = rank_reliability(table(noise[:, :1], noise[:, :1]), BUDGETS, draws=200).agreements
    assert pair.tau.value == pytest.approx(1)


def test_missing_runs():
    random = np.random.default_rng(1)
    errors = runs(20, 0.9, (0.3, 0.1), 3, random)
    errors[:, 1, 1:] = np.nan  # one seed at the long budget
    errors[3, 0, :] = np.nan
    result = rank_reliability(errors, BUDGETS, draws=200)
    (pair,) = result.agreements
    assert pair.n == 19
    expected = [stats.kendalltau(errors[:, 0, s], errors[:, 1, 0], nan_policy="omit").statistic for s in (1, 2)]
    assert pair.tau.value == pytest.approx(np.mean(expected))
    assert (result.ceilings[0].tau is None, result.ceilings[1].tau is None) == (False, True)
    assert pair.true_tau is None


def test_too_few_or_constant_say_nothing():
    few_networks = rank_reliability(np.arange(8.0).reshape(4, 2, 1), BUDGETS, k=1, draws=100).agreements[0]
    assert (few_networks.tau, few_networks.top, few_networks.verdict) == (None, None, "not shown")
    one = rank_reliability(np.ones((1, 2, 1)), BUDGETS, k=1, draws=100).agreements[0]
    assert (one.n, one.tau) == (1, None)
    nothing = rank_reliability(np.full((3, 2, 2), np.nan), BUDGETS, k=1, draws=100).agreements[0]
    assert (nothing.n, nothing.top_by_chance) == (0, None)
    constant = rank_reliability(np.ones((20, 2, 2)), BUDGETS, draws=100).agreements[0]
    assert (constant.tau, constant.verdict) == (None, "not shown")


def test_ties_are_not_agreement():
    """All errors equal: the best five are any five, so agreement is that of chance."""
    tops = [
        rank_reliability(np.ones((40, 2, 2)), BUDGETS, draws=100, seed=s).agreements[0].top.value for s in range(60)
    ]
    assert np.mean(tops) == pytest.approx(5 / 40, abs=0.05)


def test_verdicts():
    random = np.random.default_rng(0)
    for correlation, noise, verdict, schedule in (
        (1.0, (0.1, 0.1), "reliable", "keeps the order"),
        (0.0, (0.1, 0.1), "unreliable", "does not keep it"),
        (1.0, (1.0, 1.0), "unreliable", "keeps the order"),  # the same true order under noise as large as the spread
    ):
        (pair,) = rank_reliability(runs(60, correlation, noise, 3, random), BUDGETS, draws=500).agreements
        assert (pair.verdict, pair.schedule) == (verdict, schedule)
    (pair,) = rank_reliability(runs(8, 0.8, (0.1, 0.1), 1, random), BUDGETS, k=2, draws=500).agreements
    assert (pair.verdict, pair.schedule, pair.true_tau) == ("not shown", "not shown", None)
    (pair,) = rank_reliability(runs(14, 1.0, (0.1, 0.1), 3, random), BUDGETS, k=2, draws=500).agreements
    assert pair.true_tau.low > 0.6
    assert pair.schedule == "not shown"  # too few networks to judge it


@pytest.mark.parametrize("sizes", [(6,), (5, 2)])
def test_agreement_of_few_in_all_pairs_is_not_certain(sizes):
    """The bound by Mallows's model, against a sum over all orders."""
    spaces = np.repeat(np.arange(len(sizes)), sizes).tolist()
    ranks = np.arange(len(spaces), dtype=float)[:, None].repeat(2, axis=1)
    (same,) = rank_reliability(table(ranks, 2 * ranks), BUDGETS, spaces=spaces, k=1, draws=200).agreements
    (opposite,) = rank_reliability(table(ranks, -ranks), BUDGETS, spaces=spaces, k=1, draws=200).agreements
    inversions = [
        np.array([sum(a > b for a, b in combinations(order, 2)) for order in permutations(range(size))])
        for size in sizes
    ]
    q = brentq(lambda q: np.prod([1 / np.sum(q**each) for each in inversions]) - 0.025, 0.01, 1)
    others = sum(np.sum(each * q**each) / np.sum(q**each) for each in inversions)
    low = 1 - 2 * others / sum(size * (size - 1) / 2 for size in sizes)
    assert (same.tau.value, same.tau.low, same.tau.high) == pytest.approx((1, low, 1))
    assert (opposite.tau.value, opposite.tau.low, opposite.tau.high) == pytest.approx((-1, -1, -low))
    assert (same.verdict, opposite.verdict) == ("not shown", "unreliable")


def test_networks_without_a_second_run_do_not_make_a_ceiling_certain():
    errors = table(*[np.arange(20.0)[:, None].repeat(2, axis=1)] * 2)
    whole = rank_reliability(errors[:6], BUDGETS, k=1, draws=200).ceilings[0].tau
    errors[6:, :, 1] = np.nan
    assert rank_reliability(errors, BUDGETS, k=1, draws=200).ceilings[0].tau.low == pytest.approx(whole.low)


def test_agreement_of_many_in_all_pairs_is():
    ranks = np.arange(20.0)[:, None].repeat(2, axis=1)
    (pair,) = rank_reliability(table(ranks, ranks), BUDGETS, draws=200).agreements
    assert 0.9 < pair.tau.low < 1
    assert (pair.verdict, pair.schedule) == ("reliable", "keeps the order")


def test_draws_without_a_ceiling_leave_the_true_tau_open():
    """Runs that hardly agree with each other: the draws in which they do not are no evidence for either end."""
    (pair,) = rank_reliability(runs(15, 1.0, (1.5, 1.5), 2, np.random.default_rng(5)), BUDGETS, draws=500).agreements
    assert (pair.true_tau.low, pair.true_tau.high, pair.schedule) == (-1, 1, "not shown")


def apart(random, correlation, sizes=(12,) * 4, noise=(0.3, 0.3), seeds=2):
    """Errors of networks of several spaces, 10 points apart at both budgets, and the names of their spaces."""
    place = np.repeat(np.arange(len(sizes)), sizes)
    errors = runs(place.size, correlation, noise, seeds, random) + 10 * place[:, None, None]
    return errors, place.astype(str).tolist()


def test_networks_of_two_spaces_are_not_ranked_against_each_other():
    """The distance between spaces is no agreement of ranks: nothing is true inside any of them."""
    errors, spaces = apart(np.random.default_rng(0), 0.0)
    (all_pairs,) = rank_reliability(errors, BUDGETS, k=3, draws=300).agreements
    assert (all_pairs.verdict, all_pairs.tau.value > 0.6) == ("reliable", True)
    inside = rank_reliability(errors, BUDGETS, spaces=spaces, k=3, draws=300)
    (pair,) = inside.agreements
    assert (pair.verdict, pair.schedule, pair.n) == ("unreliable", "does not keep it", 48)
    assert (pair.top_by_chance, pair.top.value < 0.5) == (0.25, True)
    # The distances themselves do not count, nor do the names.
    moved = errors + 7 * np.repeat(np.arange(4), 12)[:, None, None] ** 2
    assert rank_reliability(moved, BUDGETS, spaces=[f"s{s}" for s in spaces], k=3, draws=300) == inside


def test_within_spaces_by_hand():
    """Three networks of one space in the same order, two of another in the reverse one; 3 + 1 pairs, 3 - 1 agree."""
    errors = table([[1], [2], [3], [9], [8], [4]], [[1], [2], [3], [8], [9], [5]])
    spaces = ["a", "a", "a", "b", "b", "a"]
    (pair,) = rank_reliability(errors[[0, 1, 2, 3, 4]], BUDGETS, spaces=spaces[:5], k=1, draws=200).agreements
    assert (pair.n, pair.tau) == (5, None)  # no space has five
    five = np.concatenate([errors, [[[5.0], [6.0]]]])
    (pair,) = rank_reliability(five, BUDGETS, spaces=[*spaces, "a"], k=1, draws=200).agreements
    assert pair.tau.value == pytest.approx((10 - 1) / 11)
    assert (pair.top.value, pair.top_by_chance) == (1, 1 / 5)


@given(st.integers(5, 12), st.integers(1, 3), st.integers(0, 1000))
@few
def test_invariances(n, seeds, state):
    random = np.random.default_rng(state)
    errors = np.round(runs(n, 0.7, (0.5, 0.5), seeds, random), 1)
    errors[random.random(errors.shape) < 0.1] = np.nan
    result = rank_reliability(errors, BUDGETS, k=2, draws=100)
    assert rank_reliability(3 * errors + 7, BUDGETS, k=2, draws=100) == result
    assert msgspec.json.decode(msgspec.json.encode(result), type=Reliability) == result
    for estimate in (result.agreements[0].tau, result.agreements[0].top, *(c.tau for c in result.ceilings)):
        assert estimate is None or -1 <= estimate.low <= estimate.high <= 1


def coverage(n, correlation, noise, seeds, studies, draws):
    """Coverage and mean of tau, ceiling, true_tau and top-k agreement."""
    random = np.random.default_rng(n)

    def tau(r):
        return 2 / pi * asin(r)

    k = max(1, n // 5)
    many = runs(n * 3000, correlation, noise, 1, random)[:, :, 0].reshape(3000, n, 2)
    best = many.argsort(axis=1).argsort(axis=1) < k
    truth = [
        tau(correlation / sqrt((1 + noise[0] ** 2) * (1 + noise[1] ** 2))),
        tau(1 / (1 + noise[0] ** 2)),
        tau(correlation),
        best.all(axis=2).sum(axis=1).mean() / k,
    ]
    covered = np.zeros(4)
    for seed in range(studies):
        errors = runs(n, correlation, noise, seeds, random)
        result = rank_reliability(errors, BUDGETS, k=k, draws=draws, seed=seed)
        pair = result.agreements[0]
        for i, estimate in enumerate((pair.tau, result.ceilings[0].tau, pair.true_tau, pair.top)):
            covered[i] += estimate is not None and estimate.low <= truth[i] + 1e-9 and truth[i] - 1e-9 <= estimate.high
    return covered / studies


def test_intervals_cover():
    covered = coverage(30, 0.9, (0.7, 0.3), 2, studies=150, draws=150)
    assert np.all(covered >= 0.87), covered


def claims(sizes, noise, seeds, studies, draws):
    """Of schedules whose true tau is just what would do: coverage of tau and true_tau, shares of either verdict."""
    correlation = np.sin(0.6 * pi / 2)
    tau = 2 / pi * asin(correlation / sqrt((1 + noise[0] ** 2) * (1 + noise[1] ** 2)))
    random = np.random.default_rng(len(sizes))
    found = []
    for seed in range(studies):
        errors, spaces = apart(random, correlation, sizes, noise, seeds)
        (pair,) = rank_reliability(errors, BUDGETS, spaces=spaces, k=1, draws=draws, seed=seed).agreements
        true = pair.true_tau
        found.append(
            (
                pair.tau.low <= tau <= pair.tau.high,
                true is None or true.low <= 0.6 <= true.high,
                pair.schedule == "keeps the order",
                pair.schedule == "does not keep it",
            )
        )
    return np.mean(found, axis=0)


def test_within_spaces_intervals_cover_and_verdicts_keep_their_level():
    covered, true_covered, keeps, does_not = claims((5,) * 4, (0.5, 0.5), 2, studies=150, draws=150)
    assert min(covered, true_covered) >= 0.9
    assert max(keeps, does_not) <= 0.1


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [(15,), (60,), (5,) * 4, (12,) * 4])
@pytest.mark.parametrize("noise", [(0.3, 0.3), (0.7, 0.5), (1.0, 1.0)])
def test_claims_are_what_the_docstring_says(sizes, noise):
    covered, true_covered, keeps, does_not = claims(sizes, noise, 3, studies=400, draws=300)
    assert min(covered, true_covered) >= 0.9
    assert keeps <= 0.11
    assert does_not <= 0.04


@pytest.mark.slow
@pytest.mark.parametrize("n", [8, 15, 30, 60])
@pytest.mark.parametrize(("correlation", "noise"), [(0.9, (0.7, 0.3)), (0.6, (0.5, 0.5)), (0.99, (0.3, 0.1))])
def test_coverage_is_what_the_docstring_says(n, correlation, noise):
    covered = coverage(n, correlation, noise, 3, studies=400, draws=500)
    # Lowest of the three cases [tau, ceiling, true_tau, top], 400 studies each: 8 networks 0.92 0.95 0.82 0.86;
    # 15: 0.95 0.96 0.92 0.98; 30: 0.95 0.98 0.93 0.97; 60: 0.94 0.93 0.95 0.98.
    assert np.all(covered[:2] >= 0.9)
    assert covered[2] >= {8: 0.76}.get(n, 0.88)
    assert covered[3] >= 0.7


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: rank_reliability(np.ones((3, 2)), BUDGETS),
            r"shape \(3, 2\): it must be \[networks, budgets, seeds\]",
        ),
        (lambda: rank_reliability(np.ones((9, 3, 1)), BUDGETS), "with 2 budget"),
        (lambda: rank_reliability(np.ones((0, 2, 1)), BUDGETS), "shape"),
        (lambda: rank_reliability(np.ones((4, 2, 1)), BUDGETS), "k=5 must lie from 1 to the 4 networks"),
        (lambda: rank_reliability(np.full((9, 2, 1), np.inf), BUDGETS), "infinite"),
        (lambda: rank_reliability(np.ones((9, 2, 1)), BUDGETS, spaces=["a"] * 8), "'errors': 9, 'spaces': 8"),
        (lambda: rank_reliability(np.ones((9, 2, 1)), BUDGETS, confidence=7), "confidence=7"),
        (lambda: rank_reliability(np.ones((9, 2, 1)), BUDGETS, draws=7), "draws=7"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
