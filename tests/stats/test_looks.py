from math import sqrt

import numpy as np
import pytest

from dorsal.stats.looks import FIRST_LOOK, look, look_confidence
from dorsal.stats.tukey import critical_range


def wrong_at_any_look(arms, most, studies, noise=1.0, looks=None):
    """Share of studies of equal arms in which an interval of some look misses the difference, which is 0."""
    random = np.random.default_rng(7)
    table = random.standard_normal((studies, arms, most)) * np.reshape(noise, (-1, 1))
    wrong = np.zeros(studies, dtype=bool)
    for seeds in looks or range(FIRST_LOOK, most + 1):
        seen = table[:, :, :seeds]
        means = seen.mean(axis=2)
        residuals = seen - means[:, :, None] - seen.mean(axis=1, keepdims=True) + seen.mean(axis=(1, 2), keepdims=True)
        freedom = (arms - 1) * (seeds - 1)
        error = np.sqrt((residuals**2).sum(axis=(1, 2)) / freedom / seeds)
        wrong |= np.ptp(means, axis=1) > critical_range(arms, freedom, look_confidence(arms, seeds, most)) * error
    return wrong.mean()


@pytest.mark.parametrize(("arms", "most"), [(4, 20), (3, 6), (2, 3)])
def test_under_continuous_looking_five_percent_of_studies_are_wrong(arms, most):
    studies = 5000
    assert wrong_at_any_look(arms, most, studies) == pytest.approx(0.05, abs=3 * sqrt(0.05 * 0.95 / studies) + 0.002)


@pytest.mark.slow
@pytest.mark.parametrize("arms", [2, 3, 5, 8])
@pytest.mark.parametrize("most", [5, 10, 20, 40])
def test_level_of_many_plans(arms, most):
    assert wrong_at_any_look(arms, most, 10_000) == pytest.approx(0.05, abs=0.008)


def test_fewer_looks_are_wrong_less_often():
    assert wrong_at_any_look(3, 20, 5000, looks=[5, 10, 20]) < 0.05


def test_one_look_is_no_correction():
    assert look_confidence(4, 3, 3) == pytest.approx(0.95, abs=0.001)


def test_later_looks_spend_more_and_the_first_stands_for_earlier_ones():
    levels = [1 - look_confidence(3, seeds, 12) for seeds in range(1, 13)]
    assert levels[0] == levels[1] == levels[2]
    assert levels[2:] == sorted(levels[2:])
    assert levels[11] == pytest.approx(4 * levels[2])
    assert levels[11] < 0.05


def test_a_clear_difference_is_decided_early_and_no_difference_is_not(light):
    random = np.random.default_rng(0)
    noise = random.standard_normal((2, 20)) / 10
    ahead = look({"a": noise[0, :4] + 5, "b": noise[1, :4]}, 20)
    assert (ahead.decided, ahead.first_decided, ahead.seeds) == (True, True, 4)
    assert [each.verdict for each in ahead.judgements] == ["better"]
    wide = {"a": 10 * noise[0], "b": 10 * noise[1]}
    assert not look(wide, 20, margin=0.1).decided
    assert look(wide, 20, margin=3).judgements[0].verdict == "practically equal"
    assert not look({"a": [9.0, 9.1], "b": [0.0, 0.2]}, 20).decided


def test_the_first_may_be_decided_before_all_are(light):
    found = look({"a": [9.0, 9.1, 8.9, 9.2], "b": [1.0, 1.4, 0.7, 1.1], "c": [1.3, 0.8, 1.2, 0.9]}, 10, margin=0.1)
    assert (found.decided, found.first_decided) == (False, True)


@pytest.mark.parametrize(
    ("arms", "seeds", "most", "message"),
    [(1, 3, 9, "arms=1"), (2, 2, 2, "most=2 is below 3"), (2, 9, 8, "most=8 is below the 9 seeds")],
)
def test_bad_input(arms, seeds, most, message):
    with pytest.raises(ValueError, match=message):
        look_confidence(arms, seeds, most)
