"""Deployed forms timed against each other: each in a process of its own, in rounds in which every one has its turn."""

from __future__ import annotations

import contextlib
import functools
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
import psutil
from numpy.typing import NDArray

from dorsal.deploy.bundle import open_bundle, read_bundle
from dorsal.deploy.choose import SITTING
from dorsal.deploy.pixels import Normalized
from dorsal.deploy.possible import why_not_run
from dorsal.deploy.runtime import Session
from dorsal.jobs.child_process import ChildProcess
from dorsal.jobs.engine import WorkerDeath
from dorsal.jobs.forms import BUSY
from dorsal.jobs.machine import available_cores
from dorsal.jobs.plan import describe_error

_TURN_SECONDS = 0.15
"""A form is called for about so long in a turn, three times at least."""
_MOST_CALLS = 20
_REST_SECONDS, _AT_REST, _MOST_RESTS = 0.01, 0.1, 30
"""A process is at rest once it has taken less than a tenth of a core for 10 ms. It has 0.3 s to come to that."""


class Turn(msgspec.Struct, frozen=True):
    """What the process of a form tells of its turn: the milliseconds of each call, the processor seconds that it took
    until its threads were asleep again, and by how many MiB the process has grown at its peak since before it opened
    the form, None where nobody knows."""

    calls: tuple[float, ...]
    cpu: float
    memory: float | None


class Timings(msgspec.Struct, frozen=True):
    """What came of the rounds of one form: the calls of each round, `error` where it could not be called, and the
    largest `memory`."""

    rounds: tuple[tuple[float, ...], ...]
    memory: float | None = None
    error: str = ""


class Contest(msgspec.Struct, frozen=True):
    """What came of all forms, in their order. `others` is the largest share of the processor that other work took in a
    round that counts; with more than `BUSY` the times are not to be trusted."""

    timings: tuple[Timings, ...]
    others: float


Rival = Callable[[], Turn | str | WorkerDeath]
"""Gives a form its turn."""


class OpenBundle(msgspec.Struct, frozen=True):
    """Opens the form in a folder with so many threads, for images of one shape. Where they are pixels and the graph
    does not take these, they are normalized before each call."""

    folder: Path
    threads: int

    def load(self) -> None:
        """Imports the runtime."""
        why_not_run(read_bundle(self.folder).form)

    def __call__(self, images: NDArray[Any]) -> Session:
        """The opened form. Raises as `open_bundle`."""
        bundle, shape = read_bundle(self.folder), images.shape
        if images.dtype != np.uint8 or bundle.pixels:
            return open_bundle(self.folder, self.threads, shape)
        session = open_bundle(self.folder, self.threads, (shape[0], shape[3], *shape[1:3]))
        return Normalized(session, bundle.preprocessing.normalization)


class Opener(Protocol):
    """Opens what is to be timed, in a process of its own."""

    def load(self) -> None:
        """Imports what is not to count as memory of the form."""

    def __call__(self, images: NDArray[Any]) -> Session:
        """What is to be called with images of this shape and type."""


class _Caller:
    """A form in its process: it is opened in the first turn, and called in each."""

    def __init__(self, opener: Opener, inputs: Path) -> None:
        self._opener, self._inputs = opener, inputs
        self._session: Session | None = None
        self._given: tuple[Any, ...] = ()
        self._before = 0.0

    def __call__(self, _: str) -> Turn | str:
        """One turn. What is raised is told."""
        try:
            used = time.process_time()
            session = self._session or self._opened()
            (warm,) = session.timed(self._given, 1)  # what the others drove out of the caches comes back
            count = max(3, min(_MOST_CALLS, round(1e3 * _TURN_SECONDS / max(warm, 1e-3))))
            calls = session.timed(self._given, count)
            come_to_rest()
            peak = _peak()
            grown = None if peak is None else max(peak - self._before, 0.0)
            return Turn(tuple(calls), time.process_time() - used, grown)
        except Exception as error:
            return describe_error(error)

    def _opened(self) -> Session:
        with np.load(self._inputs) as arrays:
            self._given = tuple(arrays[name] for name in sorted(arrays.files))
        self._opener.load()
        self._before = float(psutil.Process().memory_info().rss) / 2**20
        with contextlib.suppress(OSError):  # on Linux the peak is measured anew from here
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        self._session = self._opener(self._given[0])
        self._session.timed(self._given, 2)  # compilers and allocators
        return self._session


def come_to_rest(worked: Callable[[], float] = time.process_time, sleep: Callable[[float], None] = time.sleep) -> None:
    """Waits until the threads of this process have gone to sleep.

    After a call the threads of ONNX Runtime wait for the next one on all cores, for about 50 ms: whoever has the next
    turn would have to share the processor with them.
    """
    for _ in range(_MOST_RESTS):
        before = worked()
        sleep(_REST_SECONDS)
        if worked() - before < _AT_REST * _REST_SECONDS:
            return


def write_inputs(path: Path, inputs: Sequence[NDArray[Any]]) -> None:
    """Writes what forms are called with: images, and sizes where they ask for them."""
    with path.open("wb") as file:
        np.savez(file, *inputs)


def time_forms(
    openers: Sequence[Opener], inputs: Path, threads: int, rounds: int, on_round: Callable[[int], None] = lambda _: None
) -> Contest:
    """Times what these open on the arrays of a file by `write_inputs`, in several sittings.

    The same file in two processes can differ by 3 % for as long as both live (docs/log.md). So each sitting has new
    processes, started in another order.
    """

    def sit(places: Sequence[int], count: int, done: int) -> Contest:
        with contextlib.ExitStack() as stack:
            callers = [stack.enter_context(ChildProcess(_Caller(openers[place], inputs), threads)) for place in places]
            rivals = [functools.partial(caller, "turn") for caller in callers]
            return in_rounds(rivals, count, on_round=lambda number: on_round(done + number))

    return in_sittings(len(openers), rounds, sit)


def in_sittings(forms: int, rounds: int, sit: Callable[[Sequence[int], int, int], Contest]) -> Contest:
    """Has the rounds in sittings of `SITTING`. `sit` has those forms, by their places, for a number of rounds, after so
    many that were made before."""
    timings = [Timings(())] * forms
    there, others = list(range(forms)), 0.0
    for done in range(0, rounds, SITTING):
        count = min(SITTING, rounds - done)
        order = np.random.default_rng(done).permutation(there).tolist()
        found = sit(order, count, done)
        for place, more in zip(order, found.timings, strict=True):
            before = timings[place]
            memory = max((each for each in (before.memory, more.memory) if each is not None), default=None)
            timings[place] = Timings(() if more.error else before.rounds + more.rounds, memory, more.error)
        others = max(others, found.others)
        there = [place for place in there if timings[place].rounds]
    return Contest(tuple(timings), others)


def busy_seconds() -> float:
    """Seconds for which the processors of this process have worked for anybody, other machines of the host included."""
    mine = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    found = psutil.cpu_times(percpu=True)
    names = ("user", "nice", "system", "irq", "softirq", "steal")
    return sum(getattr(found[place], name, 0.0) for place in mine if place < len(found) for name in names)


def in_rounds(
    rivals: Sequence[Rival],
    rounds: int,
    *,
    busy: Callable[[], float] = busy_seconds,
    now: Callable[[], float] = time.perf_counter,
    on_round: Callable[[int], None] = lambda _: None,
) -> Contest:
    """Gives every rival its turn in each round, in an order that changes, after a first turn that does not count.

    A round in which other work took more than `BUSY` of the processor is made again, as long as there are no more such
    rounds than `rounds`; after that all rounds count. `busy` are the processor seconds that all processes of the
    machine have taken. A rival that fails has no more turns.
    """
    errors = [""] * len(rivals)
    memory: list[float | None] = [None] * len(rivals)
    _round(rivals, range(len(rivals)), errors, memory)
    kept = list[tuple[float, dict[int, tuple[float, ...]]]]()
    spoilt = 0
    while len(kept) < rounds and not all(errors):
        order = np.random.default_rng(len(kept) + spoilt).permutation(len(rivals)).tolist()
        began, before = now(), busy() - time.process_time()
        turns = _round(rivals, order, errors, memory)
        ours = sum(turn.cpu for turn in turns.values())
        took = (now() - began) * available_cores()
        others = max(busy() - time.process_time() - before - ours, 0.0) / took if took else 0.0
        if others > BUSY and spoilt < rounds:
            spoilt += 1
            continue
        kept.append((others, {place: turn.calls for place, turn in turns.items()}))
        on_round(len(kept))
    return Contest(
        timings=tuple(
            Timings((), None, errors[place])
            if errors[place]
            else Timings(tuple(calls[place] for _, calls in kept), memory[place])
            for place in range(len(rivals))
        ),
        others=max((others for others, _ in kept), default=0.0),
    )


def _round(
    rivals: Sequence[Rival], order: Sequence[int], errors: list[str], memory: list[float | None]
) -> dict[int, Turn]:
    """One turn of each rival that has not failed; what fails is noted in `errors`, and the most memory in `memory`."""
    turns = {}
    for place in order:
        if errors[place]:
            continue
        match rivals[place]():
            case WorkerDeath(why) | str(why):
                errors[place] = why
            case turn:
                turns[place] = turn
                if turn.memory is not None:
                    memory[place] = max(memory[place] or 0.0, turn.memory)
    return turns


def other_work(seconds: float = 1.0) -> float:
    """The share of the processor that all other work takes just now."""
    before, own = busy_seconds(), time.process_time()
    time.sleep(seconds)
    return max(busy_seconds() - before - (time.process_time() - own), 0.0) / (seconds * available_cores())


def _peak() -> float | None:
    """MiB of this process at its peak, where the system tells it."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 2**10 for line in lines if line.startswith("VmHWM")), None)
