"""Calls made in another process."""

import os

import psutil
import pytest

from dorsal.jobs.child_process import ChildProcess
from dorsal.jobs.engine import WorkerDeath
from tests.contracts.engine import ROOT
from tests.contracts.jobs import half_unless_negative


def test_calls_are_made_in_one_other_process_and_in_a_new_one_after_its_death(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT)
    with ChildProcess(half_unless_negative, 3) as half:
        answers = [half(number) for number in (8, 6, -1, 4)]
    assert answers[2] == WorkerDeath("worker died (signal 9, most likely for want of memory)")
    (a, first, threads), (b, second, _), _, (c, third, _) = answers  # type: ignore[misc]
    assert (a, b, c, threads) == (4, 3, 2, "3")
    assert first == second
    assert len({first, third, os.getpid()}) == 3
    assert not psutil.pid_exists(first)
    assert not psutil.pid_exists(third)
