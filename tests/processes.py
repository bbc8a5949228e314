"""Processes that should have ended, those that tests may kill, and two that torch.distributed joins."""

from __future__ import annotations

import multiprocessing as mp
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil
import pytest

from dorsal.jobs import engine
from dorsal.jobs.engine import Worker, thread_variables

ROOT = Path(__file__).resolve().parents[1]


def still_running(processes: Iterable[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Those that have not ended within so many seconds. One that only waits for its parent to take note has ended."""
    running, end = list(processes), time.monotonic() + seconds
    while running and time.monotonic() < end:
        time.sleep(0.05)
        running = [process for process in running if _runs(process)]
    return running


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def in_two_processes(work: Callable[[Any, Callable[[Any], None]], Any], *arguments: object) -> list[Any]:
    """What `work`, a function of a test file, returns for each of two arguments, in processes that can join as two.

    They have the variables of torchrun, and are copies of what all workers are copies of: none imports torch again.
    """
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    workers = []
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT)  # they find the function
        for rank, argument in enumerate(arguments):
            variables = {
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": "2",
                "LOCAL_WORLD_SIZE": "2",
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
            }
            worker: Worker[Any, Any] = Worker(work, variables | thread_variables(1))
            worker.begin(argument)
            workers.append(worker)
    try:
        assert all(worker.pipe.poll(300) for worker in workers)
        return [worker.receive()[1] for worker in workers]
    finally:
        for worker in workers:
            worker.stop()


class Copied:
    """A function of a test file at work in a process that tests may kill, and the lines that it prints.

    It has a session, and so a process group, of its own. It is a copy of what all workers are copies of, and its own
    workers are copies of it: none imports torch again, which takes longer than what such tests are about. That workers
    of a process with its own server of copies end with it, and how both hear Ctrl-C, is for test_engine.py and
    test_interrupts.py.
    """

    def __init__(self, work: Callable[..., object], *arguments: object, errors: Path) -> None:
        """`errors` is the file for what the process writes to standard error."""
        if sys.platform != "linux":
            pytest.skip("workers are copies of another process on Linux alone")
        context = engine._copying()
        ours, theirs = context.Pipe(duplex=False)
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(ROOT)  # it finds the function
            self.process = context.Process(
                target=_lead, args=(theirs, errors, dict(os.environ), work, arguments), daemon=True
            )
            self.process.start()
        theirs.close()
        self.lines = os.fdopen(os.dup(ours.fileno()), encoding="utf-8")
        ours.close()

    def rest(self) -> str:
        """What it prints until it has ended, and all its workers."""
        with self.lines:
            text = self.lines.read()
        self.process.join(60)
        return text


def _lead(
    lines: Connection, errors: Path, environment: dict[str, str], work: Callable[..., object], arguments: Iterable[Any]
) -> None:
    """The life of such a process."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    os.dup2(lines.fileno(), 1)
    lines.close()
    with errors.open("w") as file:
        os.dup2(file.fileno(), 2)
    os.environ.clear()
    os.environ.update(environment)
    mp.current_process()._config["daemon"] = False  # type: ignore[attr-defined]  # it may have workers
    engine._copying = lambda: mp.get_context("fork")  # type: ignore[assignment,return-value]
    work(*arguments)
