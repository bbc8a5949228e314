"""Forms are timed in rounds in which each has its turn, and other work on the machine does not go unseen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import pytest

from dorsal.jobs import rivals
from dorsal.jobs.engine import WorkerDeath
from dorsal.jobs.forms import BUSY
from dorsal.jobs.rivals import Contest, Timings, Turn, come_to_rest, in_rounds, in_sittings


class Machine:
    """A machine of one core whose clock moves only in turns. `disturbed` says how much other work each turn meets."""

    def __init__(self, disturbed: Callable[[int], float] = lambda _: 0.0) -> None:
        self.wall = self.worked = 0.0
        self.turns: list[str] = []
        self._disturbed = disturbed

    def rival(self, name: str, milliseconds: float, fails_in: int = 0, how: str | WorkerDeath = "no") -> rivals.Rival:
        def turn() -> Turn | str | WorkerDeath:
            self.turns.append(name)
            if self.turns.count(name) == fails_in:
                return how
            self.wall += 1.0
            self.worked += 0.5 + self._disturbed(len(self.turns))
            return Turn((milliseconds, milliseconds + 2), 0.5, 10.0 * self.turns.count(name))

        return turn

    def contest(self, *those: rivals.Rival, rounds: int) -> Contest:
        return in_rounds(those, rounds, busy=lambda: self.worked, now=lambda: self.wall)


@pytest.fixture(autouse=True)
def one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rivals, "available_cores", lambda: 1)
    monkeypatch.setattr(rivals.time, "process_time", lambda: 0.0)


def test_each_has_one_turn_in_each_round_in_changing_order() -> None:
    machine = Machine()
    found = machine.contest(machine.rival("a", 1), machine.rival("b", 2), machine.rival("c", 3), rounds=6)
    by_round = [machine.turns[start : start + 3] for start in range(0, 21, 3)]
    assert all(sorted(each) == ["a", "b", "c"] for each in by_round)
    assert len({tuple(each) for each in by_round}) > 2
    assert len(machine.turns) == 3 * (6 + 1), "one round does not count"
    assert [each.rounds for each in found.timings] == [((ms, ms + 2),) * 6 for ms in (1, 2, 3)]
    assert [each.memory for each in found.timings] == [70, 70, 70]
    assert found.others == 0


def test_a_round_that_other_work_spoils_is_made_again() -> None:
    machine = Machine(lambda turn: 0.4 if turn in (3, 4) else 0.0)  # the second round that counts
    found = machine.contest(machine.rival("a", 1), machine.rival("b", 2), rounds=4)
    assert len(machine.turns) == 2 * (1 + 4 + 1)
    assert found.others <= BUSY
    assert len(found.timings[0].rounds) == 4


def test_a_machine_that_is_always_busy_is_measured_and_said_to_be() -> None:
    machine = Machine(lambda _: 0.3)
    found = machine.contest(machine.rival("a", 1), rounds=3)
    assert len(machine.turns) == 1 + 3 + 3
    assert found.others == pytest.approx(0.3)


@pytest.mark.parametrize(("spins", "naps"), [(0, 1), (0.05, 6), (5, 30)])
def test_a_turn_ends_when_threads_no_longer_wait_for_work_on_a_core(spins: float, naps: int) -> None:
    asleep = 0.0

    def sleep(seconds: float) -> None:
        nonlocal asleep
        asleep += seconds

    come_to_rest(lambda: 2 * min(asleep, spins), sleep)  # two threads
    assert asleep == pytest.approx(naps * 0.01)


class Failure(NamedTuple):
    how: str | WorkerDeath
    said: str


@pytest.mark.parametrize("failure", [Failure("RuntimeError: no", "RuntimeError: no"), Failure(WorkerDeath("it"), "it")])
@pytest.mark.parametrize("turn", [1, 3])
def test_one_that_fails_leaves_the_others_their_rounds(failure: Failure, turn: int) -> None:
    machine = Machine()
    found = machine.contest(machine.rival("a", 1), machine.rival("b", 2, turn, failure.how), rounds=5)
    assert machine.turns.count("b") == turn
    assert (found.timings[1].rounds, found.timings[1].error) == ((), failure.said)
    assert (len(found.timings[0].rounds), found.timings[0].error) == (5, "")


def test_nothing_but_failures_ends_at_once() -> None:
    machine = Machine()
    assert machine.contest(machine.rival("a", 1, 1), rounds=5).timings[0].error == "no"
    assert machine.turns == ["a"]
    assert in_rounds((), 3) == Contest((), 0.0)


def test_sittings_have_all_rounds_in_another_order_without_what_failed() -> None:
    """Form 2 fails in the second sitting."""
    sat: list[tuple[list[int], int, int]] = []

    def sit(places: Sequence[int], count: int, done: int) -> Contest:
        sat.append((list(places), count, done))
        takes = {0: 10.0, 1: 20.0, 2: 11.0, 3: 10.5}
        return Contest(
            tuple(
                Timings((), None, "it died")
                if place == 2 and done
                else Timings(((takes[place],),) * count, takes[place])
                for place in places
            ),
            0.01 * len(sat),
        )

    found = in_sittings(4, 22, sit)
    assert [count for _, count, _ in sat] == [5, 5, 5, 5, 2]
    assert [done for *_, done in sat] == [0, 5, 10, 15, 20]
    assert [sorted(places) for places, *_ in sat] == [[0, 1, 2, 3], [0, 1, 2, 3], *[[0, 1, 3]] * 3]
    assert [len(each.rounds) for each in found.timings] == [22, 22, 0, 22]
    assert [each.error for each in found.timings] == ["", "", "it died", ""]
    assert found.timings[1].memory == 20
    assert found.others == pytest.approx(0.05)


def test_other_work_is_a_share_of_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    before = rivals.busy_seconds()
    assert before > 0
    assert rivals.busy_seconds() >= before
    worked = iter((10.0, 11.0))
    monkeypatch.setattr(rivals, "busy_seconds", lambda: next(worked))
    monkeypatch.setattr(rivals.time, "sleep", lambda _: None)
    assert rivals.other_work(2.0) == pytest.approx(0.5)
