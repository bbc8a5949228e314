"""Processes that should have ended, and two that torch.distributed joins."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import psutil
import pytest

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
