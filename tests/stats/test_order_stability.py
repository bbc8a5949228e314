from math import sqrt

import msgspec
import numpy as np
import pytest

from dorsal.stats import PopulationReliability, population_reliability

BUDGETS = ("10 epochs", "100 epochs")


def population(random, n, means, between=2.0, agreement=0.8, seeds=1, noise=0.5):
    """Errors [n, 2, seeds] with mean `means` at the two budgets, whose true values agree as said."""
    true = random.normal(size=(n, 2))
    true[:, 1] = agreement * true[:, 0] + sqrt(1 - agreement**2) * true[:, 1]
    return np.array(means)[None, :, None] + between * true[:, :, None] + noise * random.normal(size=(n, 2, seeds))


def test_by_hand():
    a = np.stack([np.arange(6.0), np.arange(6.0) + 10], axis=1)[:, :, None]
    b = a + np.array([100.0, -100.0])[None, :, None]
    result = population_reliability(a, b, BUDGETS, quantiles=(0.5,), draws=200)
    mean, median = result.survivals
    assert (mean.quantile, median.quantile) == (None, 0.5)
    for survival in (mean, median):
        assert (survival.short_difference.value, survival.long_difference.value) == (-100, 100)
        assert (survival.kept, survival.verdict) == (0.0, "reversed")
    same = population_reliability(a, a + 100, BUDGETS, quantiles=(), draws=200).survivals[0]
    assert (same.kept, same.verdict) == (1.0, "kept")


def test_every_two_budgets_and_too_few_for_a_quantile():
    random = np.random.default_rng(0)
    tables = random.normal(size=(2, 20, 3, 2))
    result = population_reliability(*tables, ("5", "25", "100"), draws=200)
    assert [(s.short, s.long) for s in result.survivals[:3]] == [("5", "25"), ("5", "100"), ("25", "100")]
    tenth = result.survivals[3]
    assert (tenth.quantile, tenth.kept, tenth.short_difference.low, tenth.verdict) == (0.1, None, None, "not shown")
    assert result.survivals[6].short_difference.low is not None
    assert msgspec.json.decode(msgspec.json.encode(result), type=PopulationReliability) == result


def test_a_network_counts_only_with_all_of_its_runs():
    random = np.random.default_rng(0)
    a, b = population(random, 10, (0, 0), seeds=2), population(random, 10, (0, 0), seeds=2)
    a[0, 1, :] = np.nan  # no run at the long budget
    a[1, 0, 0] = np.nan  # one of two
    result = population_reliability(a, b, BUDGETS, quantiles=(), draws=200)
    assert result.networks == (8, 10)
    expected = a[2:].mean(axis=(0, 2)) - b.mean(axis=(0, 2))
    survival = result.survivals[0]
    assert [survival.short_difference.value, survival.long_difference.value] == pytest.approx(expected)


def verdict_without(lost, means=(-8, -8), n=16):
    """The verdict where the first networks of the better population, a, lost their runs at the long budget."""
    random = np.random.default_rng(1)
    a, b = population(random, n, means, seeds=3) + 50, population(random, n, (0, 0), seeds=3) + 50
    a[:lost, 1] = np.nan
    return population_reliability(a, b, BUDGETS, quantiles=(0.5,), draws=500).survivals


def test_an_order_that_lost_runs_could_turn_is_not_called_kept():
    assert [survival.verdict for survival in verdict_without(0)] == ["kept", "kept"]
    assert [survival.verdict for survival in verdict_without(1, (-16, -16))] == ["kept", "kept"]
    for lost in (4, 8):
        mean, _ = verdict_without(lost)
        assert (mean.verdict, mean.kept) == ("hinges on lost runs", 1.0)
    assert verdict_without(8)[1].verdict == "hinges on lost runs"  # half of the networks are above any median
    # Lost runs of the population that is behind anyway take nothing from the order.
    assert [survival.verdict for survival in verdict_without(4, (8, 8))] == ["kept", "kept"]
    assert verdict_without(8, (8, -8))[0].verdict == "hinges on lost runs"
    assert verdict_without(4, (0, 0))[0].verdict == "not shown"


def test_equal_networks_do_not_keep_an_order():
    """The same errors at both budgets always agree in sign; without a difference nothing is kept."""
    constant = np.full((8, 2, 1), 5.0)
    survival = population_reliability(constant, constant, BUDGETS, quantiles=(), draws=200).survivals[0]
    assert (survival.kept, survival.verdict) == (0.0, "not shown")


def verdicts(n, means, agreement, studies, draws=300):
    """Share of studies that say kept and reversed, of the mean; population b is at 0 at both budgets."""
    counts = {"kept": 0, "reversed": 0, "not shown": 0}
    for seed in range(studies):
        random = np.random.default_rng(seed)
        a, b = population(random, n, means, agreement=agreement), population(random, n, (0, 0), agreement=agreement)
        result = population_reliability(a, b, BUDGETS, quantiles=(), draws=draws, seed=seed)
        counts[result.survivals[0].verdict] += 1
    return counts["kept"] / studies, counts["reversed"] / studies


@pytest.mark.parametrize("agreement", [0.0, 1.0])
def test_level(agreement):
    """No difference at either budget, or only at the short one: an order is claimed in about 5 % at most."""
    for means in ((0, 0), (-2, 0)):
        kept, turned = verdicts(30, means, agreement, studies=300)
        assert kept + turned <= 0.05 + 3 * sqrt(0.05 * 0.95 / 300) + 0.01


def test_power():
    kept, turned = verdicts(30, (-2, -2), 0.8, studies=100)
    assert kept > 0.8
    assert turned == 0
    kept, turned = verdicts(30, (-2, 2), 0.8, studies=100)
    assert turned > 0.8


@pytest.mark.slow
@pytest.mark.parametrize("n", [6, 15, 40])
@pytest.mark.parametrize("agreement", [0.0, 0.8, 1.0])
@pytest.mark.parametrize("means", [(0, 0), (-2, 0)])
def test_level_is_what_the_docstring_says(n, agreement, means):
    kept, turned = verdicts(n, means, agreement, studies=1000, draws=1000)
    # Highest in 1,000 studies: 0.081 with 6 networks (agreement 1, no difference), 0.057 with 15, 0.065 with 40.
    assert kept + turned <= {6: 0.11}.get(n, 0.085)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: population_reliability(t[:5], t, BUDGETS), r"a has 5 network\(s\) with all runs"),
        (lambda t: population_reliability(t, t * np.nan, BUDGETS), "b has 0 network"),
        (lambda t: population_reliability(t[:, :, 0], t, BUDGETS), "a has shape"),
        (lambda t: population_reliability(t, t, ("10 epochs",)), r"with 1 budget\(s\), 10 epochs"),
        (lambda t: population_reliability(t, t, BUDGETS, quantiles=(50,)), "quantiles holds 50"),
        (lambda t: population_reliability(t, t, BUDGETS, confidence=50), "confidence=50"),
        (lambda t: population_reliability(t, t, BUDGETS, draws=50), "draws=50"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.ones((8, 2, 1)))
