"""An engine that trains nothing, so that what a study does with its runs can be told in seconds."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Generator, Sequence

import numpy as np
import pytest

from dorsal.jobs.engine import Report, WorkerDeath
from dorsal.jobs.forecast import RunTiming
from dorsal.jobs.plan import Run
from dorsal.jobs.records import Latency, Trial

QUICK = Latency(1.0, 1.0, 1.0, 1, 1, 1, "cpu")
EPOCH = RunTiming(forward=QUICK, train_step=QUICK, epoch_seconds=10.0)
"""What timing a run gives where an engine of this file is put in place of training."""


def put_in_place(engine: Arithmetic, patch: pytest.MonkeyPatch) -> Arithmetic:
    """Comparisons, populations and searches are made by this engine from now on, and all runs take `EPOCH`."""
    for module in ("jobs.execution", "study.search.run"):
        patch.setattr(f"dorsal.{module}.engine_of", lambda *_: engine)
    time_by(lambda _: EPOCH, patch)
    return engine


def time_by(answer: Callable[[Run], RunTiming | WorkerDeath | str], patch: pytest.MonkeyPatch) -> None:
    """Runs are timed by this from now on, in this process."""
    patch.setattr("dorsal.jobs.timings.ChildProcess", lambda *_: contextlib.nullcontext(answer))


class Arithmetic:
    """An engine of which `at_once` runs are in flight: shallow networks are good. They end in random order by `seed`,
    or without one, that first which began last. `ends` says how some networks end; after `reports` runs comes Ctrl-C.
    """

    def __init__(self, at_once: int, seed: int | None = 0, reports: int = 10_000) -> None:
        self.at_once, self.seed, self.reports = at_once, seed, reports
        self.random = np.random.default_rng(seed)
        self.ends: dict[str, str] = {}
        self.made: list[Run] = []
        self.in_flight: list[int] = []

    def capacity(self) -> int:
        return self.at_once

    def run_all(self, runs: Sequence[Run], more: Callable[[], Sequence[Run]] | None = None) -> Generator[Report]:
        waiting, working = deque(runs), []
        while waiting or working:
            while waiting and len(working) < self.at_once:
                working.append(waiting.popleft())
            self.in_flight.append(len(working))
            if len(self.made) == self.reports:
                raise KeyboardInterrupt
            run = working.pop(-1 if self.seed is None else int(self.random.integers(len(working))))
            self.made.append(run)
            yield Report(0, run, self.trial(run))
            waiting.extend(more() if more else ())

    def trial(self, run: Run) -> Trial:
        status = self.ends.get(run.arm, "finished")
        accuracy = 90.0 - sum(stage.depth for stage in run.network.stages) + 0.1 * run.seed
        return Trial(run.key, status, accuracy if status == "finished" else None, (), 1.0, "")
