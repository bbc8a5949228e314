"""The time left for jobs."""

import pytest

from dorsal.jobs.clock import Amount, Clock
from dorsal.jobs.plan import Plan
from dorsal.recipes.epoch import Step
from tests.jobs.timed import ROUND, SECONDS


def of_runs(made: Plan, seconds: dict[tuple[str, str], float]) -> Clock:
    return Clock({run.key: Amount((run.arm, run.recipe_name), run.recipe.epochs) for run in made.runs}, seconds, 1)


def test_jobs_go_by_the_forecast_and_then_by_what_others_took() -> None:
    clock = Clock({name: Amount(name) for name in "abc"}, {"a": 10.0, "b": 10.0, "c": 20.0}, 2)
    assert clock.seconds_left() == 30
    clock.moved("a", Step(1, 5, 10))
    assert clock.seconds_left() == 25
    clock.measured("a", 20.0)
    clock.ended("a")
    assert clock.seconds_left() == 40
    clock.measured("b", 20.0)
    clock.ended("b")
    clock.moved("c", Step(1, 3, 4))
    assert clock.seconds_left() == 10
    clock.ended("c")
    assert (clock.seconds_left(), clock.done, clock.total) == (0, 3, 3)


def test_a_job_that_failed_does_not_make_the_others_quicker() -> None:
    clock = Clock({name: Amount(name) for name in "abc"}, {"a": 10.0, "b": 10.0, "c": 20.0}, 1)
    clock.ended("a")
    assert clock.seconds_left() == 30
    clock.measured("b", 20.0)
    clock.ended("b")
    assert clock.seconds_left() == 40


def test_time_left_falls_to_nothing_and_follows_what_is_measured(made: Plan) -> None:
    clock = of_runs(made, SECONDS)
    assert clock.seconds_left() == pytest.approx(3 * ROUND)
    first = made.runs[0].key
    clock.measured(first, 4.0)  # twice as slow as forecast: so will all others be
    clock.moved(first, Step(1, 20, 20))
    assert clock.seconds_left() == pytest.approx(2 * 3 * ROUND - 4.0)
    clock.moved(first, Step(2, 5, 20))
    assert clock.seconds_left() == pytest.approx(2 * 3 * ROUND - 5.0)
    for epoch in range(2, 6):
        clock.measured(first, 4.0)
        clock.moved(first, Step(epoch, 20, 20))
    assert clock.seconds_left() == pytest.approx(2 * 3 * ROUND - 20.0)
    for run in made.runs:
        clock.ended(run.key)
    assert clock.seconds_left() == 0


def test_without_a_forecast_all_take_what_those_so_far_did(made: Plan) -> None:
    clock = of_runs(made, dict.fromkeys(SECONDS, 0.0))
    assert clock.seconds_left() == 0
    clock.measured(made.runs[0].key, 2.0)
    clock.moved(made.runs[0].key, Step(1, 1, 1))
    assert clock.seconds_left() == pytest.approx(2.0 * (5 * 12 - 1))


def test_jobs_that_become_known_later_are_counted_from_the_start() -> None:
    clock = Clock({"a": Amount("run", 3)}, {"run": 2.0}, 1, unknown=[Amount("run", 3), Amount("run", 3)], done=4)
    assert (clock.seconds_left(), clock.done, clock.total) == (18, 4, 7)
    clock.add(["b"])
    assert clock.seconds_left() == 18
    clock.ended("b")
    assert (clock.seconds_left(), clock.done) == (12, 5)
