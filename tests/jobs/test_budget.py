"""What fits a budget."""

from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dorsal.jobs.budget import Budget
from dorsal.jobs.forecast import START_UP_SECONDS, first_seeds
from dorsal.jobs.plan import Plan
from tests.jobs.timed import ROUND, SECONDS


def by_seeds(made: Plan, ended: set[str], workers: int, text: str) -> Budget:
    cut = partial(first_seeds, made)
    return Budget(text=text, cut=cut, parts=3, part_name="seeds for every arm and recipe", done=ended, workers=workers)


def test_one_that_fits_all_changes_nothing(made: Plan) -> None:
    assert by_seeds(made, set(), 1, "1h").fitting(SECONDS) == (made, None)


def test_one_keeps_whole_rounds_of_seeds(made: Plan) -> None:
    part, cut = by_seeds(made, set(), 1, f"{2 * ROUND + START_UP_SECONDS + 1}s").fitting(SECONDS)
    assert part.seeds == (1, 2)
    assert len(part.runs) == 8
    assert part == first_seeds(made, 2)
    assert cut is not None
    assert (cut.fitting, cut.parts, cut.part_name) == (2, 3, "seeds for every arm and recipe")
    assert cut.seconds == 2 * ROUND + START_UP_SECONDS


def test_what_has_ended_is_free(made: Plan) -> None:
    ended = {run.key for run in made.runs if run.seed < 3}
    part, cut = by_seeds(made, ended, 1, f"{ROUND + START_UP_SECONDS + 1}s").fitting(SECONDS)
    assert (part, cut) == (made, None)


def test_one_too_small_says_what_is_needed_and_what_to_try(made: Plan) -> None:
    says = "budget='10s' is too small: 1 of 3 seeds for every arm and recipe takes about 1m21s; try a budget of 3m, or"
    with pytest.raises(ValueError, match=says):
        by_seeds(made, set(), 1, "10s").fitting(SECONDS)
    assert by_seeds(made, set(), 1, "3m").fitting(SECONDS)[0].seeds == (1, 2)


def test_one_is_refused_by_the_first_network_where_that_is_enough(made: Plan) -> None:
    with pytest.raises(ValueError, match=r"budget='10s' is too small: .* takes about .*; try a budget of .*, or none"):
        by_seeds(made, set(), 1, "10s").check({("small", "plain"): 2.0})
    by_seeds(made, set(), 1, "17s").check({("small", "plain"): 2.0})  # 10 s, and 6 to start


def test_one_shorter_than_a_worker_takes_to_start_is_refused_by_nothing_at_all(made: Plan) -> None:
    with pytest.raises(ValueError, match="budget='5s' is too small"):
        by_seeds(made, set(), 1, "5s").check({})
    by_seeds(made, {run.key for run in made.runs}, 1, "5s").check({})  # where nothing is left to run, all is well


@given(
    st.lists(st.integers(0, 50), min_size=4, max_size=4),
    st.integers(0, 4),
    st.integers(1, 3),
    st.integers(1, 1000),
    st.sets(st.integers(0, 11)),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_refused_early_would_be_refused_in_the_end(
    made: Plan, seconds: list[int], known: int, workers: int, allowed: int, ended: set[int]
) -> None:
    budget = by_seeds(made, {made.runs[index].key for index in ended}, workers, f"{allowed}s")
    measured = dict(zip(SECONDS, map(float, seconds), strict=True))
    try:
        budget.check(dict(list(measured.items())[:known]))
    except ValueError:
        with pytest.raises(ValueError, match="budget="):
            budget.fitting(measured)


def test_where_nothing_could_be_timed_none_is_met(made: Plan) -> None:
    with pytest.raises(ValueError, match="budget='1h': no network could be timed here, so what fits is not known"):
        by_seeds(made, set(), 1, "1h").fitting(dict.fromkeys(SECONDS, 0.0))
