"""Jobs done by a pool of processes on this machine. Knows of training only the name of what workers start with, and
imports no torch.

The main process alone decides and stores. A worker gets a job through its pipe, tells what it does through the same
pipe, and ends by itself when the main process is gone.
"""

from __future__ import annotations

import contextlib
import multiprocessing as mp
import os
import signal
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, SpawnContext
from types import FrameType
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from dorsal.jobs.events import Note
from dorsal.jobs.lock import UNGUARDED
from dorsal.jobs.plan import Job
from dorsal.jobs.records import Outcome
from dorsal.recipes.epoch import Epoch, Step

LIVES = 3
"""A job fails once this many workers have died while doing it."""

_UNGUARDED_SAYS = (
    "dorsal: workers import the main module, and this one would begin the study again: put what starts it under "
    '`if __name__ == "__main__":`'
)
_SECONDS_BETWEEN_STEPS = 0.2
_SECONDS_TO_LEAVE = 5.0
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class WorkerDeath(msgspec.Struct, frozen=True):
    """A worker died of a job, which goes on elsewhere."""

    reason: str


class Predictions(msgspec.Struct, frozen=True):
    """What a finished run said of each validation image, as `jobs.kept.pack` packs it; comes before its trial. `shown`
    are some of the images with what was found in them, as `jobs.shown.pack_shown` packs them; empty where none are."""

    content: bytes
    shown: bytes = b""


Message = Step | Epoch | Note | Predictions


AnyJob = TypeVar("AnyJob", bound=Job)
Work = Callable[[AnyJob, Callable[[Message], None]], Outcome]
"""Does one job and tells of it on the way. It is pickled on its way to the workers."""


Request = TypeVar("Request")
Reply = TypeVar("Reply")


class Report(msgspec.Struct, Generic[AnyJob], frozen=True):
    """What worker `worker`, counted from 0, has to tell about a job. The last report of every job is its outcome."""

    worker: int
    job: AnyJob
    what: Message | Outcome | WorkerDeath


class Engine(Protocol[AnyJob]):
    """Somewhere to do jobs. Closing the iterator ends all workers; the jobs they were at have no outcome."""

    def capacity(self) -> int:
        """How many jobs it can do at once. Raises ValueError where there is no room for one."""

    def run_all(
        self, jobs: Sequence[AnyJob], more: Callable[[], Sequence[AnyJob]] | None = None
    ) -> Generator[Report[AnyJob]]:
        """Reports until every job has its outcome. Jobs begin in order.

        `more` gives jobs that were not known before. It is asked when a report has been dealt with, and while any job
        is being done, idle workers are kept for what it may give.
        """


class LocalPool(Generic[AnyJob]):
    """`workers` processes of `threads` threads each, which do every job by `work`.

    A job whose worker dies (killed, out of memory) starts again on a fresh worker, where a run finds its checkpoint;
    when `LIVES` workers died of it, it has failed. Only the main process hears Ctrl-C, at any moment.
    """

    def __init__(self, workers: int, threads: int, work: Work[AnyJob]) -> None:
        self._workers, self._threads, self._work = workers, threads, work

    def capacity(self) -> int:
        """See `Engine.capacity`."""
        return self._workers

    def run_all(
        self, jobs: Sequence[AnyJob], more: Callable[[], Sequence[AnyJob]] | None = None
    ) -> Generator[Report[AnyJob]]:
        """See `Engine.run_all`."""
        waiting = deque(jobs)
        deaths: Counter[str] = Counter()
        pool: dict[int, Worker[AnyJob, Message | Outcome]] = {}
        try:
            while self._occupy(pool, waiting, keep=more is not None):
                by_pipe = {worker.pipe: number for number, worker in pool.items() if worker.job is not None}
                for pipe in wait(list(by_pipe)):
                    number = by_pipe[pipe]  # type: ignore[index]
                    job, what = pool[number].receive()
                    if isinstance(what, WorkerDeath):
                        pool.pop(number).stop()
                        what = begin_again(job, what, deaths, waiting)
                    yield Report(number, job, what)
                    waiting.extend(more() if more else ())
        finally:
            for worker in pool.values():  # all of them before waiting for one: another Ctrl-C may end the wait
                worker.terminate()
            for worker in pool.values():
                worker.stop()

    def _occupy(self, pool: dict[int, Worker[AnyJob, Message | Outcome]], waiting: deque[AnyJob], keep: bool) -> bool:
        """Gives waiting jobs to new and to idle workers, ends those for whom there is none unless they are to be kept;
        whether any is at work."""
        for number in range(self._workers):
            if number in pool and pool[number].job is not None:
                continue
            if waiting:
                if number not in pool:
                    pool[number] = Worker(self._work, thread_variables(self._threads))
                pool[number].begin(waiting.popleft())
            elif number in pool and not keep:
                pool.pop(number).stop()
        return any(worker.job is not None for worker in pool.values())


def begin_again(job: AnyJob, lost: WorkerDeath, deaths: Counter[str], waiting: deque[AnyJob]) -> WorkerDeath | Outcome:
    """Puts a job that lost its worker before all others that wait; one that has lost `LIVES` has failed instead."""
    deaths[job.key] += 1
    if deaths[job.key] == LIVES:
        return job.failed(f"{lost.reason}, {LIVES} times")
    waiting.appendleft(job)
    return lost


def thread_variables(threads: int) -> dict[str, str]:
    """The environment in which libraries that start threads of their own, as they are loaded, start so many. A job
    tells torch itself."""
    return dict.fromkeys(_THREAD_VARIABLES, str(threads))


class Worker(Generic[Request, Reply]):
    """A process that does jobs by `work` in this environment, our end of its pipe, and the job it is at.

    Where that is safe it is a copy of a process that has imported torch and done nothing with it, which stays for the
    next ones: copying takes milliseconds, the import seconds. One that is `alone` in this process is started anew.
    """

    def __init__(
        self,
        work: Callable[[Request, Callable[[Reply], None]], Reply],
        variables: Mapping[str, str],
        *,
        alone: bool = False,
    ) -> None:
        context = mp.get_context("spawn") if alone else _copying()
        self.pipe, theirs = context.Pipe()
        self.job: Request | None = None
        environment = {**os.environ, **variables}
        self._process = context.Process(target=_work, args=(theirs, environment), daemon=True)
        with _unheard_by_children():  # Ctrl-C in the middle would leave a server of copies with half a request
            self._process.start()
        theirs.close()  # so that its death ends the pipe
        self._send(work)

    def begin(self, job: Request) -> None:
        """Hands a job to the worker, which must be idle."""
        self.job = job
        self._send(job)

    def _send(self, message: object) -> None:
        with contextlib.suppress(OSError):  # dead already: `receive` will tell
            self.pipe.send(message)

    def receive(self) -> tuple[Request, Reply | WorkerDeath]:
        """What the worker tells about its job; waits for it. Raises SystemExit with a sentence where it has begun the
        study again, as a script without a main guard makes it do: no job can be done then."""
        job = self.job
        if job is None:
            raise RuntimeError("an idle worker has nothing to tell")
        try:
            what: Reply | WorkerDeath = self.pipe.recv()
        except (EOFError, OSError):
            self._process.join()
            if self._process.exitcode == UNGUARDED:
                raise SystemExit(_UNGUARDED_SAYS) from None
            what = WorkerDeath(_cause_of_death(self._process.exitcode or 0))
        if isinstance(what, Outcome):
            self.job = None
        return job, what

    def terminate(self) -> None:
        """Ends the process without waiting; `receive`, in whatever thread, tells of its death."""
        self._process.terminate()

    def leave(self) -> None:
        """Ends an idle process by itself, so that libraries clear up. Nothing else may be asked of the worker then."""
        self.pipe.close()
        self._process.join(_SECONDS_TO_LEAVE)
        self._process.terminate()
        self._process.join()
        self._process.close()

    def stop(self) -> None:
        """Ends the process, and returns when it has ended. Nothing else may be asked of the worker then."""
        self._process.terminate()
        self._process.join()
        self._process.close()
        self.pipe.close()


def _copying() -> ForkServerContext | SpawnContext:
    if sys.platform != "linux":
        return mp.get_context("spawn")
    context = mp.get_context("forkserver")
    context.set_forkserver_preload(["dorsal.jobs.train", "dorsal.jobs.time_run"])
    with _unheard_by_children():
        forkserver.ensure_running()
    return context


def _cause_of_death(code: int) -> str:
    likely = ", most likely for want of memory" if code == -signal.SIGKILL else ""
    return f"worker died ({f'signal {-code}' if code < 0 else f'exit code {code}'}{likely})"


def _work(pipe: Connection, environment: Mapping[str, str]) -> None:
    """The life of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # A daemon may have no children, and a run may have processes that load its images; those end with their parent.
    mp.current_process()._config["daemon"] = False  # type: ignore[attr-defined]
    os.environ.clear()  # it may be that of an earlier moment
    os.environ.update(environment)
    last_step = 0.0

    def tell(what: Any) -> None:
        nonlocal last_step
        if isinstance(what, Step):
            now = time.monotonic()
            if now - last_step < _SECONDS_BETWEEN_STEPS:
                return
            last_step = now
        pipe.send(what)

    with contextlib.suppress(EOFError):  # the main process has let go of this one
        work: Callable[[Any, Callable[[Any], None]], Any] = pipe.recv()
        while True:
            job, last_step = pipe.recv(), 0.0  # the first step of each job is told
            pipe.send(work(job, tell))


def _end_with_parent() -> None:
    parent = mp.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # in the middle of whatever it is: files are written atomically


@contextlib.contextmanager
def _unheard_by_children() -> Iterator[None]:
    """Processes that start in here never hear Ctrl-C, not even as they start. This one hears it afterwards."""
    resource_tracker.ensure_running()  # in here it would let Ctrl-C through
    handler, heard = signal.getsignal(signal.SIGINT), list[FrameType | None]()
    # Another thread may take the signal that this one has blocked, and Python would still interrupt the main thread.
    waits = callable(handler) and threading.current_thread() is threading.main_thread()
    if waits:
        signal.signal(signal.SIGINT, lambda _, frame: heard.append(frame))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if waits:
            signal.signal(signal.SIGINT, handler)
        if heard and callable(handler):
            handler(signal.SIGINT, heard[0])
