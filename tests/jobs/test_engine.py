"""The pool of processes on this machine."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from multiprocessing import forkserver
from pathlib import Path

import psutil
import pytest

from dorsal.jobs import engine
from dorsal.jobs.engine import LocalPool, Work
from dorsal.jobs.plan import Run
from dorsal.jobs.records import Trial
from tests.contracts.engine import ROOT, EngineContract
from tests.contracts.jobs import make_run, never_ends, says_environment, says_pid_and_threads
from tests.processes import still_running

ORPHANS = """
import sys
from functools import partial
from pathlib import Path
from dorsal.jobs.engine import LocalPool
from tests.contracts.jobs import make_run, never_ends
if __name__ == "__main__":
    pool = LocalPool(2, 1, partial(never_ends, folder=Path(sys.argv[1])))
    for report in pool.run_all([make_run(1), make_run(2)]):
        pass
"""

PRELOADED = """
import torch

def asked(*args):
    raise AssertionError("a copy of a process that has asked for CUDA devices cannot use them")

torch._C._cuda_getDeviceCount = torch.cuda.is_available = torch.cuda.device_count = asked
import dorsal.jobs.train
import dorsal.jobs.time_run
print(torch.cuda.is_initialized())
"""


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """This process hears Ctrl-C, which is ignored where the tests run as a background job of a shell."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class TestLocalPool(EngineContract):
    def engine(self, workers: int, work: Work[Run]) -> LocalPool:
        return LocalPool(workers, 1, work)

    def test_workers_are_other_processes_kept_across_runs_with_threads_pinned(self) -> None:
        pool = LocalPool(2, 3, says_pid_and_threads)
        told = [
            r.what.error.split() for r in pool.run_all([make_run(s) for s in range(6)]) if isinstance(r.what, Trial)
        ]
        assert {threads for _, threads in told} == {"3"}
        pids = {int(pid) for pid, _ in told}
        assert len(pids) <= 2
        assert os.getpid() not in pids

    def test_workers_have_the_environment_of_the_moment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        found = []
        for name in ("TEST_ONE", "TEST_TWO"):
            with monkeypatch.context() as patched:
                patched.setenv(name, "1")
                (report,) = self.engine(1, says_environment).run_all([make_run(1)])
            assert isinstance(report.what, Trial)
            found.append(report.what.error)
        assert found == ["TEST_ONE=1", "TEST_TWO=1"]

    def test_what_workers_are_copies_of_has_not_asked_for_accelerators(self) -> None:
        said = subprocess.run([sys.executable, "-c", PRELOADED], capture_output=True, text=True, check=False)
        assert (said.stdout, said.stderr) == ("False\n", "")

    def test_workers_do_not_hear_ctrl_c(self, tmp_path: Path) -> None:
        reports = LocalPool(1, 1, partial(never_ends, folder=tmp_path)).run_all([make_run(1)])
        next(reports)
        (worker,) = (psutil.Process(int(path.name)) for path in tmp_path.iterdir())
        worker.send_signal(signal.SIGINT)
        time.sleep(0.3)
        assert worker.is_running()
        next(reports)
        reports.close()

    @pytest.mark.usefixtures("ctrl_c")
    def test_ctrl_c_reaches_this_process_while_a_worker_starts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Until the process that workers are copies of has imported torch, that takes seconds."""
        start = forkserver.connect_to_new_process

        def press_and_start(fds: list[int]) -> tuple[int, int]:
            os.kill(os.getpid(), signal.SIGINT)
            return start(fds)

        monkeypatch.setattr(forkserver, "connect_to_new_process", press_and_start)
        with pytest.raises(KeyboardInterrupt):
            list(self.engine(1, says_pid_and_threads).run_all([make_run(1)]))

    @pytest.mark.parametrize("how", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
    def test_workers_end_when_the_main_process_is_killed(self, tmp_path: Path, how: signal.Signals) -> None:
        script = tmp_path / "main.py"
        script.write_text(ORPHANS)
        pids = tmp_path / "pids"
        pids.mkdir()
        path = os.pathsep.join([str(ROOT), *sys.path])
        with subprocess.Popen([sys.executable, script, pids], env={**os.environ, "PYTHONPATH": path}) as main:
            wait_until(lambda: len(list(pids.iterdir())) == 2)
            workers = [psutil.Process(int(path.name)) for path in pids.iterdir()]
            main.send_signal(how)
        assert not still_running(workers, 60)


def wait_until(condition, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_waits_until_a_process_has_started() -> None:
    """Another thread takes the signal, as the command line has one."""
    begun, started = threading.Event(), []
    other = threading.Thread(target=lambda: begun.wait() and signal.raise_signal(signal.SIGINT))
    other.start()

    def start() -> None:
        with engine._unheard_by_children():
            begun.set()
            other.join()
            time.sleep(0)  # Python looks for signals
            started.append(True)

    with pytest.raises(KeyboardInterrupt):
        start()
    assert started
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
