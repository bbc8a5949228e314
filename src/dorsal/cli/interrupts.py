"""Ctrl-C of the command line, all of it here: the first stops in order, the second at once.

The first raises KeyboardInterrupt, so that a verb can save its state. Where nothing is to be kept, in the middle of an
import, it stops at once. Code of others can swallow an exception, and a long call of C keeps Python from raising one,
so a thread listens too: it ends the process at the second Ctrl-C, or where the first has not ended it in time. What has
ended by then is safe: files are written whole or not at all.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

STOPPED = 130
"""The exit code, as of a shell."""
_ONE_PRESS = 0.2
"""Seconds in which two signals are one Ctrl-C: `timeout` sends one to the process and one to its group."""
_AT_ONCE = 0
"""No signal has this number."""
_LONGEST = 20.0
"""Seconds that stopping in order may take. A Ray cluster is given ten."""


class _State:
    """Whether Ctrl-C has been pressed, and what a stop says."""

    pressed = False
    sentence = "stopped"


_state = _State()
_stopping = threading.Lock()


def say_when_stopped(sentence: str) -> None:
    """What a stop from now on says: what is kept, and how to go on."""
    _state.sentence = sentence


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Inside the block Ctrl-C stops the command and its processes; afterwards it ends this process."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a job in the background of a shell
        yield
        return
    heard, told = os.pipe()
    os.set_blocking(told, False)
    signal.set_wakeup_fd(told)
    os.register_at_fork(after_in_child=_not_here)
    threading.Thread(target=_listen, args=(heard,), daemon=True).start()
    signal.signal(signal.SIGINT, _raise_once)
    try:
        yield
    finally:
        if _state.pressed:  # whatever it was turned into on the way here
            _stop()
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # all is done, but Python takes a moment to end


def _raise_once(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  # the system's
    if _state.pressed:
        return
    _state.pressed = True
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            os.write(signal.set_wakeup_fd(-1), bytes([_AT_ONCE]))
            return
        frame = frame.f_back
    raise KeyboardInterrupt


def _listen(heard: int) -> None:
    while signal.SIGINT not in os.read(heard, 1):
        pass
    first = time.monotonic()
    while select.select([heard], [], [], _LONGEST)[0]:
        (what,) = os.read(heard, 1)
        if what == _AT_ONCE or (what == signal.SIGINT and time.monotonic() - first > _ONE_PRESS):
            break
    _stop()


def _not_here() -> None:
    """A process that is a copy of this one, such as one that loads images, leaves Ctrl-C to this one."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _stop() -> NoReturn:
    """Ends this process and all that it started, without asking anyone, and says what is kept."""
    _stopping.acquire()  # for good: the main thread and the one that listens may both come here
    try:
        import psutil

        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                child.kill()
        live = "\n\x1b[?25h" if sys.stderr.isatty() else ""  # a bar hides the cursor
        os.write(2, f"{live}{_state.sentence}\n".encode())
    finally:
        os._exit(STOPPED)
