"""Scans of many image files on all cores. No torch.

Pillow decodes without the interpreter's lock, but much of the work on a small file is Python's. So large numbers of
files are scanned by processes. They are plain subprocesses: unlike those of `multiprocessing` they import nothing of
the main module, so a script needs no guard, and they start in a quarter of a second.
"""

from __future__ import annotations

import contextlib
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from itertools import islice
from typing import IO

import msgspec

from dorsal.data.decode import Reading, Scan, scan

_CHUNK, _AHEAD = 32, 4
"""Files to a task of a worker, and tasks that lie ready for each."""
_WORTH = 500
"""Files for each process, below which starting it costs more than it saves."""
_COMMAND = (sys.executable, "-P", "-W", "ignore", "-m", "dorsal.data.scanning")
_LENGTH = struct.Struct("<I")


class Task(msgspec.Struct, frozen=True, array_like=True):
    """A file to be scanned: its path and, if it was scanned before, its sha256."""

    path: bytes
    known: bytes = b""


def scan_files(count: int, task: Callable[[int], Task], reading: Reading) -> Iterator[tuple[int, Scan]]:
    """Scans `count` files, file i being `task(i)`. Yields i and its scan, in no order. Breaking off ends it."""
    cores = _cores()
    processes = min(cores, count // _WORTH) if cores > 1 else 0
    workers = processes if processes > 1 else cores
    local = threading.local()
    children: list[_Child] = []

    def begin() -> None:
        local.child = None
        if processes > 1:
            with contextlib.suppress(OSError, EOFError):  # without a process of its own a thread scans by itself
                local.child = _Child(reading)
                children.append(local.child)

    def work(numbers: range) -> list[Scan]:
        tasks = [task(number) for number in numbers]
        scans: list[Scan] = local.child.scan(tasks) if local.child else [_scan(each, reading) for each in tasks]
        return scans

    pool = ThreadPoolExecutor(workers, initializer=begin)
    parts = _parts(count)
    try:
        running = {pool.submit(work, part): part for part in islice(parts, _AHEAD * workers)}
        while running:
            for done in wait(running, return_when=FIRST_COMPLETED).done:
                part = running.pop(done)
                running |= {pool.submit(work, more): more for more in islice(parts, 1)}
                yield from zip(part, done.result(), strict=True)
    finally:
        pool.shutdown(cancel_futures=True)
        for child in children:
            child.close()


def serve(source: IO[bytes], sink: IO[bytes]) -> None:
    """Answers each list of tasks with a list of scans until `source` ends. The first message is a `Reading`."""
    reading = msgspec.msgpack.decode(_receive(source) or b"", type=Reading)
    _send(sink, b"")  # ready
    tasks, encode = msgspec.msgpack.Decoder(list[Task]), msgspec.msgpack.Encoder().encode
    while (message := _receive(source)) is not None:
        _send(sink, encode([_scan(task, reading) for task in tasks.decode(message)]))


class _Child:
    """A process that scans. It is started again if it dies, as a broken file can make a decoder do."""

    def __init__(self, reading: Reading, command: Sequence[str] = _COMMAND) -> None:
        self._reading, self._command = reading, command
        self._decoder = msgspec.msgpack.Decoder(list[Scan])
        try:
            self._start()
        except (OSError, EOFError):
            self.close()
            raise

    def scan(self, tasks: list[Task]) -> list[Scan]:
        """The scan of each file. A file that kills the process gets a problem that says so."""
        try:
            return self._decoder.decode(self._ask(msgspec.msgpack.encode(tasks)))
        except (OSError, EOFError):
            ended = self.close()
            self._start()
        if len(tasks) == 1:
            return [Scan(problem=f"ends the process that decodes it ({_ending(ended)})")]
        return [scan for task in tasks for scan in self.scan([task])]

    def close(self) -> int:
        """Ends the process, if it has not ended, and returns how it did."""
        with contextlib.suppress(OSError):
            self._stdin.close()
        try:
            code = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._stdout.close()
        return code

    def _start(self) -> None:
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # the parent decides what an interruption from the terminal ends
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OPENBLAS_NUM_THREADS": "1"},
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self._ask(msgspec.msgpack.encode(self._reading))

    def _ask(self, message: bytes) -> bytes:
        _send(self._stdin, message)
        answer = _receive(self._stdout)
        if answer is None:
            raise EOFError
        return answer


def _scan(task: Task, reading: Reading) -> Scan:
    return scan(os.fsdecode(task.path), reading, task.known)


def _parts(count: int) -> Iterator[range]:
    return (range(start, min(start + _CHUNK, count)) for start in range(0, count, _CHUNK))


def _ending(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _send(sink: IO[bytes], message: bytes) -> None:
    sink.write(_LENGTH.pack(len(message)) + message)
    sink.flush()


def _receive(source: IO[bytes]) -> bytes | None:
    """The next message, None if there is no more."""
    length = source.read(_LENGTH.size)
    if len(length) < _LENGTH.size:
        return None
    message = source.read(size := _LENGTH.unpack(length)[0])
    return message if len(message) == size else None


if __name__ == "__main__":
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)  # libraries that print must not write among the answers
        serve(sys.stdin.buffer, answers)
