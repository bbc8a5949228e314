"""Ctrl-C ends the command at any moment, in a terminal and in a pipe, and the same command goes on."""

from __future__ import annotations

import contextlib
import os
import pty
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.processes import still_running
from tests.study.conftest import DATA, TINY, WIDER

BEGIN = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # where the tests run as a background job it is ignored
from dorsal.cli import interrupts, main
"""
AT_IMPORT = """
class Presses:
    left = {number}

    def find_spec(self, name, path=None, target=None):
        self.left -= 1
        if not self.left:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Presses())
main()
"""
SWALLOWS = """
import subprocess, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], stderr=subprocess.DEVNULL)
interrupts._ONE_PRESS, interrupts._LONGEST = 0.0, {longest}
with interrupts.stoppable():
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(600)
    except KeyboardInterrupt:
        print(child.pid, flush=True)
    time.sleep(600)
"""
LINES = ("comparing 2 networks", "320 training", "40 steps in all", "M MACs", "2 runs, ")
"""What the command says one after the other, long before its runs have ended."""


class Command:
    """`dorsal` in a session of its own, its output in a terminal or in a pipe."""

    def __init__(self, script: str, *words: str, terminal: bool = False) -> None:
        self._reads, writes = pty.openpty() if terminal else os.pipe()
        self.process = subprocess.Popen(
            [sys.executable, "-c", BEGIN + script, *words],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.DEVNULL,
            stdout=writes,
            stderr=writes,
            start_new_session=True,
        )
        os.close(writes)
        self.said = ""

    def until(self, words: str) -> None:
        """Reads up to these words."""
        while words not in self.said:
            assert self._read(), f"it ended without {words!r}: {self.said}"

    def press(self) -> None:
        """Ctrl-C, as a terminal sends it: to the command and to all that it started."""
        os.killpg(self.process.pid, signal.SIGINT)

    def end(self) -> int:
        """Reads to the end. Nothing that the command started may be left."""
        group = [each for each in psutil.process_iter() if _session(each) == self.process.pid]
        while self._read():
            pass
        os.close(self._reads)
        code = self.process.wait(60)
        assert still_running([each for each in group if each.pid != self.process.pid], 60) == []
        return code

    def _read(self) -> bool:
        try:
            content = os.read(self._reads, 1 << 16)
        except OSError:  # how a terminal ends
            return False
        self.said += content.decode(errors="replace")
        return bool(content)


def _session(process: psutil.Process) -> int:
    try:
        return os.getsid(process.pid)
    except ProcessLookupError:
        return -1


def asked(out: Path) -> tuple[str, ...]:
    """A comparison of two short runs."""
    networks = (f"a={TINY}", f"b={WIDER}")
    return (
        "compare",
        *networks,
        "--data",
        DATA,
        "--recipe",
        "plain",
        "--seeds",
        "1",
        "--epochs",
        "4",
        "--out",
        str(out),
    )


@pytest.mark.parametrize("number", random.Random(1).sample(range(1, 900), 3))
def test_in_the_middle_of_an_import(tmp_path: Path, number: int) -> None:
    """At the start nearly all of the time goes to imports, and code that is imported swallows exceptions."""
    command = Command(AT_IMPORT.format(number=number), *asked(tmp_path / "out"))
    assert command.end() == 130
    assert "Traceback" not in command.said
    assert command.said.splitlines()[-1].startswith("stopped")


@pytest.mark.parametrize(
    ("piped", "in_terminal"),
    [(LINES[:1], LINES[-1:]), pytest.param(LINES, LINES, marks=pytest.mark.slow)],
    ids=["first and last", "all"],
)
def test_at_any_moment_and_the_same_command_goes_on(
    dorsal, tmp_path: Path, piped: tuple[str, ...], in_terminal: tuple[str, ...]
) -> None:
    """Once or twice in quick succession, while Python imports, networks are timed, workers start, and runs are made."""
    for terminal, presses, lines in ((False, 1, piped), (True, 2, in_terminal)):
        for line in lines:
            command = Command("main()", *asked(tmp_path / "out"), terminal=terminal)
            command.until(line)
            for _ in range(presses):
                command.press()
            assert command.end() == 130, command.said
            assert "Traceback" not in command.said
            assert command.said.count("stopped; ") == 1
            assert command.said.rstrip().endswith("the same command goes on")
    code, _, told = dorsal(*asked(tmp_path / "out"))
    assert code == 0, told
    assert "2 runs, " in told


@pytest.mark.parametrize(
    ("longest", "then"), [(600.0, Command.press), (0.0, lambda _: None)], ids=["a second one", "no second one"]
)
def test_one_that_was_swallowed_ends_the_command_too(longest: float, then: Callable[[Command], None]) -> None:
    command = Command(SWALLOWS.format(longest=longest))
    command.until("\n")
    children = []
    with contextlib.suppress(psutil.NoSuchProcess):  # without a second one it may have ended by now
        children.append(psutil.Process(int(command.said.split()[0])))
    then(command)
    assert command.end() == 130
    assert command.said.splitlines()[1:] == ["stopped"]
    assert still_running(children, 60) == []
