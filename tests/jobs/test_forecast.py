"""What runs will take, and the time left."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dorsal.jobs.forecast import START_UP_SECONDS, forecast, makespan
from dorsal.jobs.plan import Plan
from tests.jobs.timed import ROUND, SECONDS


def test_forecast_of_one_worker_is_the_sum(made: Plan) -> None:
    result = forecast(made, SECONDS, set(), 1)
    assert (result.runs, result.done) == (12, 0)
    assert result.seconds == pytest.approx(3 * ROUND + START_UP_SECONDS)
    assert result.arm_seconds == {"small": 3 * 25.0, "wide": 3 * 50.0}


def test_ended_runs_take_no_time(made: Plan) -> None:
    ended = {run.key for run in made.runs if run.arm == "wide"}
    result = forecast(made, SECONDS, ended, 1)
    assert (result.done, result.arm_seconds) == (6, {"small": 75.0, "wide": 0.0})
    assert forecast(made, SECONDS, {run.key for run in made.runs}, 2).seconds == 0


def test_makespan_known_answers() -> None:
    assert makespan([3, 3, 3], 1) == 9
    assert makespan([3, 3, 3], 2) == 6
    assert makespan([1, 5, 1, 1], 2) == 5
    assert makespan([], 4) == 0


@given(st.lists(st.floats(0, 100), max_size=30), st.integers(1, 8))
def test_makespan_lies_between_its_bounds(jobs: list[float], workers: int) -> None:
    taken = makespan(jobs, workers)
    assert taken >= max([*jobs, sum(jobs) / workers, 0]) * (1 - 1e-9)
    assert taken <= sum(jobs) / workers + max(jobs, default=0) + 1e-6


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), max_size=30), st.integers(1, 8))
def test_no_makespan_falls_where_jobs_take_longer(jobs: list[tuple[float, float]], workers: int) -> None:
    """Each job given to whoever is free first: a budget is refused by some of the times because this holds."""
    longer = makespan((seconds + more for seconds, more in jobs), workers)
    assert longer >= makespan((seconds for seconds, _ in jobs), workers) * (1 - 1e-9)


def test_where_nothing_could_be_timed_there_is_no_forecast(made: Plan) -> None:
    unknown = dict.fromkeys(SECONDS, 0.0)
    assert forecast(made, unknown, set(), 1).seconds is None
    assert forecast(made, unknown, {run.key for run in made.runs}, 1).seconds == 0
