"""A search against random search: known answers, the level of its verdict, sentences; and the Pareto front."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dorsal.stats.rank import pareto_front
from dorsal.stats.versus_random import against_random, against_random_sentence


def test_the_chance_of_beating_all_is_the_share_of_the_search() -> None:
    found = against_random([10.0, 40.0], [20.0, 30.0, 40.0, 50.0, 60.0, 70.0])
    assert (found.k, found.n, found.best) == (2, 6, 10.0)
    assert found.p_better == pytest.approx(2 / 8)
    assert found.p_worse == 1.0
    assert found.expected.value == pytest.approx((20 * 5 + 30 * 4 + 40 * 3 + 50 * 2 + 60) / 15)
    assert found.verdict == "not shown"
    assert found.needed == 78  # 2 / (78 + 2) = 0.025


def test_needed_networks_are_just_enough() -> None:
    enough, short = (against_random([1.0, 99.0], np.arange(n) + 2.0) for n in (78, 77))
    assert (enough.verdict, short.verdict) == ("better", "not shown")
    assert "fewer than 78" in against_random_sentence(short)
    assert against_random_sentence(enough).startswith("The search did better than random search")


def test_a_search_far_behind_is_worse_and_equal_errors_count_for_neither() -> None:
    worse = against_random([50.0] * 40, np.linspace(10, 40, 40))
    assert worse.verdict == "worse"
    assert against_random_sentence(worse).startswith("The search did worse than random search")
    assert against_random([30.0] * 5, [30.0] * 400).verdict == "not shown"


def test_of_a_longer_search_the_first_networks_count_and_what_is_missing_is_said() -> None:
    found = against_random([5.0, None, 4.0, 1.0], [9.0, 8.0, float("nan")])
    assert (found.k, found.found, found.n, found.missing, found.best) == (2, 3, 2, 1, 4.0)
    sentence = against_random_sentence(found)
    assert sentence.startswith("No difference shown between the search and random search: the best of its first 2 net")
    assert "1 more have no result" in sentence


@pytest.mark.slow
def test_a_search_that_is_random_is_hardly_ever_said_to_differ() -> None:
    random = np.random.default_rng(0)
    verdicts = [against_random(e[:4], e[4:]).verdict for e in random.normal(50, 3, (400, 204))]
    assert sum(verdict != "not shown" for verdict in verdicts) <= 400 * 0.05 + 3 * (400 * 0.05 * 0.95) ** 0.5
    assert "better" in verdicts  # it can be shown: 204 networks are enough for 4


@pytest.mark.parametrize(
    ("found", "random", "confidence", "says"),
    [
        ([], [1.0, 2.0], 0.95, "found holds 0 result"),
        ([1.0], [1.0], 0.95, "random holds 1 result"),
        ([1.0], [1.0, 2.0], 95, "confidence=95 must lie between 0 and 1"),
    ],
)
def test_bad_input_is_refused(found: list[float], random: list[float], confidence: float, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        against_random(found, random, confidence=confidence)


def test_a_front_is_what_nothing_beats() -> None:
    values = {"dear": (1.0, 9.0), "beaten": (2.0, 9.0), "cheap": (3.0, 1.0), "twin": (3.0, 1.0), "bad": (9.0, 1.5)}
    assert pareto_front(values) == ("dear", "cheap", "twin")
    assert pareto_front({}) == ()


@given(st.lists(st.tuples(*[st.integers(0, 5).map(float)] * 3), min_size=1, max_size=30))
def test_every_network_is_on_the_front_or_beaten_by_one_that_is(rows: list[tuple[float, ...]]) -> None:
    values = {str(index): row for index, row in enumerate(rows)}
    front = pareto_front(values)

    def beats(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
        return a != b and all(x <= y for x, y in zip(a, b, strict=True))

    for label, row in values.items():
        assert (label in front) != any(beats(values[other], row) for other in front)
