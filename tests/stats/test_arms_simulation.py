"""Error rates of the comparison, by simulation with fixed seeds; tolerances are three Monte Carlo standard errors."""

from math import sqrt

import numpy as np
import pytest

from dorsal.stats.arms import fit_blocks
from dorsal.stats.needs import seeds_needed
from dorsal.stats.tukey import critical_range

REPLICATIONS = 4000
TOLERANCE = 3 * sqrt(0.05 * 0.95 / REPLICATIONS)


def errors(effects, noise_sd, seeds, missing=0, state=0):
    """Share of studies in which at least one simultaneous interval misses the true difference."""
    random = np.random.default_rng(state)
    effects, noise_sd = np.asarray(effects, float), np.asarray(noise_sd, float)
    arms = len(effects)
    first, second = np.triu_indices(arms, 1)
    truth = effects[first] - effects[second]
    missed = 0
    for _ in range(REPLICATIONS):
        noise = noise_sd[:, None] * random.normal(size=(arms, seeds))
        results = effects[:, None] + 3 * random.normal(size=seeds) + noise
        # At most one missing result an arm, so that every arm keeps some.
        for arm in random.choice(arms, missing, replace=False):
            results[arm, random.integers(seeds)] = np.nan
        fit = fit_blocks(results)
        error = np.abs(fit.effects[first] - fit.effects[second] - truth)
        range_ = critical_range(arms, fit.degrees_of_freedom, 0.95)
        missed += np.any(error > range_ * np.sqrt(fit.noise_variance * fit.scale[first, second] / 2))
    return missed / REPLICATIONS


@pytest.mark.parametrize(("effects", "seeds"), [([0, 0, 0], 2), ([0, 0, 0, 0, 0], 3), ([0, 1, 5, 20], 3)])
def test_simultaneous_coverage_is_nominal(effects, seeds):
    """With all effects zero, this is the family-wise rate of false differences."""
    assert errors(effects, np.ones(len(effects)), seeds) == pytest.approx(0.05, abs=TOLERANCE)


@pytest.mark.parametrize(("arms", "seeds", "missing"), [(4, 3, 1), (4, 3, 2), (5, 4, 4)])
def test_missing_results_keep_the_rate(arms, seeds, missing):
    assert 0.03 < errors(np.zeros(arms), np.ones(arms), seeds, missing) <= 0.05 + TOLERANCE


def test_unequal_noise_costs_what_the_docstring_says():
    assert errors(np.zeros(5), [1, 1, 1, 1, 3], 3) == pytest.approx(0.10, abs=0.015)
    assert errors(np.zeros(5), [0.5, 0.75, 1, 1.5, 2], 3) == pytest.approx(0.075, abs=0.015)


@pytest.mark.parametrize(("effect", "arms"), [(1.5, 2), (1.5, 4)])
def test_power_at_seeds_needed(effect, arms):
    seeds = seeds_needed(effect, arms)
    threshold = critical_range(arms, (arms - 1) * (seeds - 1), 0.95) / sqrt(2)
    random = np.random.default_rng(1)
    shown = 0
    for _ in range(REPLICATIONS):
        results = random.normal(size=(arms, seeds))
        results[0] += effect
        fit = fit_blocks(results)
        shown += fit.effects[0] - fit.effects[1] > threshold * sqrt(fit.noise_variance * fit.scale[0, 1])
    # Never below 80 %; above it by what one more seed gives, since seeds are whole.
    assert 0.8 - 0.02 < shown / REPLICATIONS < 0.8 + 0.06
