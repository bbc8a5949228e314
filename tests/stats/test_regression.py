from math import sqrt

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from dorsal.stats import Contest, LinearModel, PredictorScores, compare_predictors, fit_latency, score_predictors

few = settings(max_examples=20, deadline=None)


def networks(n, noise=0.05, seed=0):
    """Costs and latencies (ms) that follow activations, with MACs tied to them loosely."""
    random = np.random.default_rng(seed)
    macs = np.exp(random.normal(20, 0.5, n))
    activations = np.sqrt(macs) * np.exp(random.normal(0, 0.3, n))
    costs = {"macs": macs, "sqrt_macs": np.sqrt(macs), "activations": activations, "depth": random.integers(8, 30, n)}
    return costs, (3 + 5e-3 * activations + 1e-8 * macs) * np.exp(random.normal(0, noise, n))


def test_exact_data_are_met_exactly():
    costs, latency = networks(40, noise=0)
    fit = fit_latency({name: costs[name] for name in ("macs", "activations")}, latency)
    assert (fit.intercept, *fit.coefficients) == pytest.approx((3, 1e-8, 5e-3), rel=1e-6)
    assert fit.predict(costs) == pytest.approx(latency)
    assert fit.low == (costs["macs"].min(), costs["activations"].min())
    assert fit.high == (costs["macs"].max(), costs["activations"].max())


def test_minimises_the_relative_error():
    costs, latency = networks(60)
    fit = fit_latency({"macs": costs["macs"]}, latency)
    # numpy's weighted polynomial fit, weights applied to the residual.
    slope, intercept = np.polyfit(costs["macs"] / 1e8, latency, 1, w=1 / latency)
    assert (fit.intercept, fit.coefficients[0]) == pytest.approx((intercept, slope / 1e8))


def test_collinear_and_constant_predictors():
    costs, latency = networks(40, noise=0)
    doubled = {"a": costs["activations"], "b": 2 * costs["activations"], "c": np.ones(40), "m": costs["macs"]}
    fit = fit_latency(doubled, latency)
    assert fit.predict(doubled) == pytest.approx(latency, rel=1e-6)


@given(st.floats(0.01, 100), st.floats(1e-6, 1e6))
@few
def test_units_do_not_matter(time_unit, cost_unit):
    costs, latency = networks(30)
    one = fit_latency({"macs": costs["macs"]}, latency).predict(costs)
    scaled = {"macs": cost_unit * costs["macs"]}
    assert fit_latency(scaled, time_unit * latency).predict(scaled) == pytest.approx(time_unit * one, rel=1e-6)


def test_refuses_to_extrapolate():
    fit = fit_latency({"macs": np.linspace(100, 400, 20)}, np.linspace(1, 4, 20))
    assert fit.predict({"macs": [100.0, 250.0, 400.0], "params": [9, 9, 9]}) == pytest.approx([1, 2.5, 4])
    assert fit.predict({"macs": 200.0}) == pytest.approx(2)
    with pytest.raises(ValueError, match=r"macs=900 lies outside the 100 to 400 .* nearest is 400"):
        fit.predict({"macs": [200.0, 900.0]})
    with pytest.raises(ValueError, match=r"macs=4 .* nearest is 100"):
        fit.predict({"macs": 4.0})
    assert fit.predict({"macs": [200.0, 900.0]}, extrapolate=True) == pytest.approx([2, 9])
    assert np.isnan(fit.predict({"macs": [np.nan]}))
    with pytest.raises(ValueError, match="features has no 'macs'; did you mean mac"):
        fit.predict({"mac": 200.0, "params": 1.0})
    with pytest.raises(ValueError, match="features has no 'macs'; there are none"):
        fit.predict({})


def test_cross_validated_error_is_that_of_the_noise():
    costs, latency = networks(300, noise=0.05)
    result = score_predictors(costs, latency, draws=300)
    assert [score.predictors for score in result.scores] == [*((name,) for name in costs), tuple(costs)]
    # The median of |normal| is 0.674 standard deviations.
    assert result.scores[-1].error.value == pytest.approx(100 * 0.05 * 0.674, abs=0.7)
    assert result.scores[2].tau.value > 0.85
    for score in result.scores:
        assert score.error.low <= score.error.value <= score.error.high


def test_overfitting_shows():
    """20 networks and 8 useless predictors: together they are worse than the one that matters."""
    random = np.random.default_rng(0)
    costs = {f"x{i}": random.uniform(1, 2, 20) for i in range(9)}
    latency = 10 * costs["x0"] * np.exp(random.normal(0, 0.02, 20))
    scores = score_predictors(costs, latency, draws=200).scores
    assert scores[0].error.value < 3 < 1.2 * scores[0].error.value + 3
    assert scores[-1].error.value > 1.3 * scores[0].error.value


def test_a_useless_predictor_has_no_rank_correlation():
    """Compared across folds, its predictions would be those of the folds' means, and tau negative."""
    taus = []
    for seed in range(20):
        random = np.random.default_rng(seed)
        scores = score_predictors({"x": random.uniform(1, 2, 40)}, random.uniform(10, 20, 40), draws=100).scores
        assert len(scores) == 1
        taus.append(scores[0].tau.value)
    assert np.mean(taus) == pytest.approx(0, abs=0.12)


def test_rank_correlation_of_a_monotone_predictor_is_its_own():
    costs, latency = networks(60)
    tau = score_predictors({"activations": costs["activations"]}, latency, draws=100).scores[0].tau.value
    assert tau == pytest.approx(stats.kendalltau(costs["activations"], latency).statistic, abs=0.03)


def test_constant_latency_has_no_ranks():
    score = score_predictors({"x": np.arange(20.0)}, np.full(20, 5.0), draws=100).scores[0]
    assert (score.error.value, score.tau.value) == (pytest.approx(0, abs=1e-9), 0)


def test_activations_predict_better_than_macs():
    costs, latency = networks(100)
    contest = compare_predictors(costs, latency, ["activations"], ["macs"], draws=300)
    assert contest.error_difference.high < 0 < contest.tau_difference.low
    assert contest.error_difference.value == pytest.approx(contest.first.error.value - contest.second.error.value)
    same = compare_predictors(costs, latency, ["macs"], ["macs"], draws=300)
    assert (same.error_difference.low, same.error_difference.high, same.tau_difference.value) == (0, 0, 0)
    assert same.first == score_predictors({"macs": costs["macs"]}, latency, draws=300).scores[0]


def test_incomplete_networks_are_left_out_and_all_round_trips():
    costs, latency = networks(40)
    latency[3], costs["macs"][5] = np.nan, np.nan
    fit, scores = fit_latency(costs, latency), score_predictors(costs, latency, draws=100)
    assert (fit.n, fit.missing, scores.n, scores.missing) == (38, 2, 38, 2)
    contest = compare_predictors(costs, latency, ["macs"], ["depth", "macs"], draws=100)
    for value, kind in ((fit, LinearModel), (scores, PredictorScores), (contest, Contest)):
        assert msgspec.json.decode(msgspec.json.encode(value), type=kind) == value


def coverage(n, runs, draws):
    """Coverage of the error and tau of a fit to n networks, and of the error difference of equal predictors."""
    costs, latency = networks(20_000, noise=0.2, seed=99)
    fit = fit_latency({"a": costs["activations"]}, latency)
    truth = 100 * np.median(np.abs(fit.predict({"a": costs["activations"]}) / latency - 1))
    tau = stats.kendalltau(costs["activations"], latency).statistic
    covered, shown = np.zeros(2), 0
    for seed in range(runs):
        costs, latency = networks(n, noise=0.2, seed=seed)
        score = score_predictors({"a": costs["activations"]}, latency, draws=draws, seed=seed).scores[0]
        covered += [score.error.low <= truth <= score.error.high, score.tau.low <= tau <= score.tau.high]
        random = np.random.default_rng(seed)
        twins = {name: costs["activations"] * np.exp(random.normal(0, 0.1, n)) for name in "ab"}
        contest = compare_predictors(twins, latency, "a", "b", draws=draws, seed=seed)
        shown += not contest.error_difference.low <= 0 <= contest.error_difference.high
    return covered / runs, shown / runs


def test_intervals_cover():
    covered, shown = coverage(60, runs=100, draws=150)
    assert np.all(covered >= 0.86), covered
    assert shown <= 0.05 + 3 * sqrt(0.05 * 0.95 / 100)


@pytest.mark.slow
@pytest.mark.parametrize("n", [30, 60, 200])
def test_coverage_is_what_the_docstring_says(n):
    """Error, tau; equal predictors told apart: 0.920, 0.986; 0.028 / 0.928, 0.978; 0.038 / 0.926, 0.970; 0.046."""
    covered, shown = coverage(n, runs=500, draws=500)
    assert np.all(covered >= 0.88)
    assert shown <= 0.08


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fit_latency({}, [1.0]), "features is empty"),
        (lambda: fit_latency({"macs": [1.0, 2.0]}, [1.0]), "lengths are"),
        (lambda: fit_latency({"macs": [1.0] * 3}, [1.0] * 3), "3 complete network"),
        (lambda: fit_latency({"latency": [1.0] * 9}, [1.0] * 9), "cannot predict itself"),
        (
            lambda: fit_latency({"macs": np.arange(9.0)}, np.arange(9.0)),
            "latency holds 0: every latency must be above 0",
        ),
        (lambda: fit_latency({"macs": [np.inf] * 9}, [1.0] * 9), "macs contains an infinite value"),
        (lambda: score_predictors({"macs": np.arange(9.0)}, np.arange(1.0, 10)), "at least 10 are needed"),
        (lambda: score_predictors({"macs": np.arange(20.0)}, np.ones(20), draws=2), "draws=2"),
        (lambda: compare_predictors({"macs": [1.0]}, [1.0], ["mac"], ["macs"]), "no 'mac'; did you mean macs"),
        (lambda: compare_predictors({"macs": [1.0]}, [1.0], [], ["macs"]), r"first=\[\], second=\['macs'\]"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
