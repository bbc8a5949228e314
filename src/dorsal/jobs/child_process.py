"""Calls made in another process: where memory is too small for one, the system ends that process and not this one."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import TracebackType
from typing import Generic, Self

from dorsal.jobs.engine import Reply, Request, Worker, WorkerDeath, thread_variables


class ChildProcess(Generic[Request, Reply]):
    """Calls `function`, which raises nothing, in one process of `threads` threads, and in a new one after its death.

    A context manager: the process starts with the first call and ends with the block. It imports the main module, so
    scripts do this under `if __name__ == "__main__"`.
    """

    def __init__(self, function: Callable[[Request], Reply], threads: int) -> None:
        self._function, self._threads = function, threads
        self._worker: Worker[Request, Reply] | None = None

    def __call__(self, asked: Request) -> Reply | WorkerDeath:
        """What the function returns, or how the process died of it."""
        if self._worker is None:
            job = functools.partial(_answer, function=self._function)
            self._worker = Worker(job, thread_variables(self._threads))
        self._worker.begin(asked)
        _, said = self._worker.receive()
        if isinstance(said, WorkerDeath):
            self._end()
        return said

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._worker is not None and kind is None:
            self._worker.leave()
            self._worker = None
        self._end()

    def _end(self) -> None:
        if self._worker is not None:
            self._worker.stop()
            self._worker = None


def _answer(asked: Request, _: object, *, function: Callable[[Request], Reply]) -> Reply:
    return function(asked)
