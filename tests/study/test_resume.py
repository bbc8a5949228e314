"""A study broken off in every way goes on where it was and ends as an unbroken one does, bit for bit."""

import contextlib
import os
import signal
from pathlib import Path

import psutil
import pytest

from dorsal.jobs.events import Event, JobEnd, Progress, StudyStart
from dorsal.jobs.records import Study
from dorsal.jobs.study_file import load_study
from dorsal.study.comparison.question import Comparison
from dorsal.study.comparison.run import compare
from tests.processes import still_running
from tests.study.conftest import Session, results, tiny

DATA = "scenes(train=128, val=32, size=32)"


def short(out: Path, workers: int) -> Comparison:
    """Three epochs of four steps."""
    return tiny(out, workers=workers, epochs=3, data=DATA)


class Broken:
    """A study of which a worker is killed, that is interrupted, killed, taken to its end, and asked once more."""

    def __init__(self, out: Path) -> None:
        comparison = short(out, workers=2)
        self.interrupted = Session(short(out, workers=1), hold=("a",))
        self.with_worker = self.interrupted.until_midway()
        self.interrupted.workers()[0].kill()
        self.interrupted.until(lambda event: event["kind"] == "Note")
        self.with_next_worker = self.interrupted.until_midway()
        os.killpg(self.interrupted.process.pid, signal.SIGINT)
        self.interrupted_error = self.interrupted.end()
        self.left_after_interrupt = still_running(_group(self.interrupted.process.pid), 60)
        self.after_interrupt = load_study(out)

        self.main_killed = Session(comparison, hold=("b",))
        self.main_killed.until(lambda event: event["kind"] == "JobEnd")
        self.in_flight = self.main_killed.until_midway()
        workers = self.main_killed.workers()
        self.main_killed.process.kill()
        self.main_killed.end()
        self.orphans = still_running(workers, 60)
        self.after_kill = load_study(out)

        self.last: list[Event] = []
        self.study = compare(comparison, on_event=self.last.append)
        self.again: list[Event] = []
        compare(comparison, on_event=self.again.append)
        self.checkpoints = list((out / "checkpoints").iterdir())


def _group(pgid: int) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getpgid(process.pid) == pgid:
                found.append(process)
    return found


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Broken:
    return Broken(tmp_path_factory.mktemp("study") / "broken")


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return compare(short(tmp_path_factory.mktemp("study") / "unbroken", workers=1))


def test_the_results_are_those_of_an_unbroken_study(broken: Broken, unbroken: Study) -> None:
    assert [trial.status for trial in unbroken.trials] == ["finished"] * 4
    assert results(broken.study) == results(unbroken)


def test_a_killed_worker_is_told_of_and_its_run_goes_on(broken: Broken) -> None:
    notes = [event["text"] for event in broken.interrupted.kinds("Note")]
    death = "worker died (signal 9, most likely for want of memory)"
    assert [note for note in notes if "died" in note] == [f"a, plain, seed 1: {death}; it goes on from its checkpoint"]
    assert broken.with_next_worker["job"] == broken.with_worker["job"]
    after = broken.interrupted.events[broken.interrupted.events.index(broken.with_worker) + 1 :]
    assert {event["step"]["epoch"] for event in after if event["kind"] == "Progress"} == {2}


def test_ctrl_c_leaves_no_process_and_no_noise_of_workers(broken: Broken) -> None:
    assert broken.interrupted.process.exitcode != 0
    assert broken.left_after_interrupt == []
    assert broken.interrupted_error.count("Traceback") <= 1
    assert "KeyboardInterrupt" in broken.interrupted_error


def test_workers_of_a_killed_main_process_end(broken: Broken) -> None:
    assert broken.orphans == []


def test_ended_runs_are_not_made_again(broken: Broken) -> None:
    killed = [*broken.interrupted.kinds("JobEnd"), *broken.main_killed.kinds("JobEnd")]
    ended = [event["outcome"]["key"] for event in killed]
    ended += [event.outcome.key for event in broken.last if isinstance(event, JobEnd)]
    assert len(ended) == len(set(ended)) == 4
    begun_last = {event.job.key for event in broken.last if isinstance(event, Progress)}
    assert not begun_last & {trial.key for trial in broken.after_kill.trials}
    assert not any(isinstance(event, Progress | JobEnd) for event in broken.again)
    (planned,) = (event for event in broken.again if isinstance(event, StudyStart))
    assert (planned.forecast.done, planned.forecast.seconds) == (4, 0)


def test_a_run_in_flight_goes_on_at_the_epoch_it_was_in(broken: Broken) -> None:
    which = broken.in_flight["job"]["key"]
    told = [event for event in broken.last if isinstance(event, Progress) and event.job.key == which]
    assert told[0].step.epoch >= 2


def test_a_broken_study_can_be_read_and_is_in_order(broken: Broken) -> None:
    assert len(broken.after_interrupt.trials) < 4
    assert 1 <= len(broken.after_kill.trials) < 4
    in_order = [(1, "a"), (1, "b"), (2, "a"), (2, "b")]
    assert [(seed, arm) for arm, _, seed in broken.study.ended()] == in_order
    assert [trial.key for trial in broken.study.trials] == [run.key for run in broken.study.runs]


def test_checkpoints_of_ended_runs_are_gone(broken: Broken) -> None:
    assert broken.checkpoints == []
