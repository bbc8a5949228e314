"""Distributions: their probabilities against drawing and rounding as pycls does, known answers, bad input."""

import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from dorsal.space.distributions import (
    Choice,
    LogNormal,
    LogUniform,
    Normal,
    PowerOfTwo,
    PowerOfTwoOrLogUniform,
    Uniform,
    support,
)
from tests.space.slow import draw_one

DRAWS = (
    Uniform(12, 28),
    Uniform(-8, 24, 8),
    Uniform(0.0, 1.0, 0.25),
    LogUniform(1, 16),
    LogUniform(8, 256, 8),
    LogUniform(2.0, 3.0, 0.125),
    PowerOfTwo(1, 32),
    PowerOfTwo(0.25, 8.0),
    PowerOfTwoOrLogUniform(1, 128, 8),
    PowerOfTwoOrLogUniform(16, 128, 8),
    PowerOfTwoOrLogUniform(1, 4, 8),
    Normal(0, 12, 2),
    LogNormal(8, 128, 8),
    Choice((1, 2, "x"), (1.0, 2.0, 5.0)),
)


@pytest.mark.parametrize("draw", DRAWS, ids=str)
def test_probabilities_are_those_of_drawing_and_rounding(draw):
    random_ = random.Random(1)
    counts = Counter(draw_one(draw, random_) for _ in range(20_000))
    values, probabilities = support(draw)
    assert set(counts) <= set(values)
    likely = probabilities > 5 / 20_000
    observed = np.array([counts[value] for value in values])[likely]
    expected = probabilities[likely] / probabilities[likely].sum() * observed.sum()
    assert chisquare(observed, expected).pvalue > 1e-3


def test_the_rounding_rules_differ_and_are_told_apart():
    up, nearest = support(LogUniform(1, 4)), support(LogUniform(1, 4, rounding="nearest"))
    assert up.probabilities == pytest.approx([1 / 3, 1 / 3, np.log(1.5) / np.log(8), np.log(4 / 3) / np.log(8)])
    assert nearest.probabilities[0] == pytest.approx(np.log(1.5 / 0.5) / np.log(4.5 / 0.5))


def test_decimals_are_exact():
    assert support(Uniform(0.1, 0.5, 0.1)).values == (0.1, 0.2, 0.3, 0.4, 0.5)
    assert support(LogUniform(2.0, 3.0, 0.001)).values[7] == 2.007


@given(
    st.integers(1, 40), st.integers(0, 40), st.integers(1, 9), st.sampled_from([Uniform, LogUniform, Normal, LogNormal])
)
def test_any_range_is_a_distribution_over_its_multiples(first, more, quantum, kind):
    values, probabilities = support(kind(first * quantum, (first + more) * quantum, quantum))
    assert list(values) == [index * quantum for index in range(first, first + more + 1)]
    assert probabilities.sum() == pytest.approx(1)
    assert (probabilities > 0).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Uniform(5, 2), "low=5 is above high=2.*did you mean 2 to 5"),
        (lambda: LogUniform(8, 100, 8), "high=100 is no multiple of quantum=8; nearest valid: 104"),
        (lambda: LogUniform(0, 8), "low=0 must be above 0"),
        (lambda: LogUniform(1, 8, 2, rounding="nearest"), "low=1 is no multiple"),
        (lambda: Uniform(0, 1, 0), "quantum=0 must be above 0"),
        (lambda: Uniform(0, 8, float("nan")), "quantum=nan"),
        (lambda: Uniform(float("inf"), 8), "low=inf must be a number"),
        (lambda: Uniform(0.0, 8.0, 1e-9), "over a million values"),
        (lambda: PowerOfTwo(3, 8), "low=3 is no power of two; nearest valid: 4"),
        (lambda: PowerOfTwo(0, 8), "low=0 is no power of two"),
        (lambda: PowerOfTwo(8, 4), "low=8 is above high=4"),
        (lambda: Choice(()), "values is empty"),
        (lambda: Choice((1, 2, 1)), "1 is given twice"),
        (lambda: Choice((1, 2), (1.0,)), "1 numbers for 2 values"),
        (lambda: Choice((1, 2), (1.0, 0.0)), "must be positive"),
    ],
)
def test_refusals_say_what_would_be_valid(make, message):
    with pytest.raises(ValueError, match=message):
        make()
