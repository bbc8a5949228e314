"""How much time is left for jobs that are being done. Pure arithmetic."""

from __future__ import annotations

import statistics
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from dorsal.jobs.forecast import makespan
from dorsal.recipes.epoch import Step


class Task(NamedTuple):
    """How much a job is: so many `units` (the epochs of a run, one for a model) of a `kind` that take alike."""

    kind: Hashable
    units: int = 1


class Clock:
    """The time left for `jobs`, by key, on `workers` workers.

    A unit of a kind that has been measured takes the mean of what was measured. Another takes what `seconds` forecasts,
    longer by as much as those measured took longer than was forecast of them. Where nothing was forecast, it takes the
    mean of all that was measured. `unknown` are tasks whose jobs are not known yet. `done` jobs of `total` have ended,
    those at the beginning among them.
    """

    def __init__(
        self,
        jobs: Mapping[str, Task],
        seconds: Mapping[Any, float],
        workers: int,
        unknown: Sequence[Task] = (),
        done: int = 0,
    ) -> None:
        self.done, self.total = done, done + len(jobs) + len(unknown)
        self._jobs, self._seconds, self._workers, self._unknown = dict(jobs), seconds, workers, list(unknown)
        self._left: dict[str, float] = {key: task.units for key, task in jobs.items()}
        self._measured: dict[Hashable, list[float]] = {}

    def add(self, keys: Iterable[str]) -> None:
        """These are the next of the jobs that were not known."""
        for key in keys:
            self._jobs[key] = task = self._unknown.pop(0)
            self._left[key] = task.units

    def moved(self, key: str, step: Step) -> None:
        """A job has come to this step; an epoch is a unit."""
        self._left[key] = self._jobs[key].units - (step.epoch - 1 + step.step / step.steps)

    def measured(self, key: str, seconds: float) -> None:
        """A unit of this job took so long."""
        self._measured.setdefault(self._jobs[key].kind, []).append(seconds)

    def ended(self, key: str) -> None:
        """A job needs no more time, however it ended."""
        self._left[key] = 0.0
        self.done += 1

    def seconds_left(self) -> float:
        """Seconds until the last job ends."""
        expected = sum(self._seconds[kind] * len(found) for kind, found in self._measured.items())
        every = [seconds for found in self._measured.values() for seconds in found]
        slower = sum(every) / expected if expected else 1.0
        usual = statistics.fmean(every) if every and not any(self._seconds.values()) else None

        def unit(kind: Hashable) -> float:
            if found := self._measured.get(kind):
                return statistics.fmean(found)
            return self._seconds[kind] * slower if usual is None else usual

        known = [left * unit(self._jobs[key].kind) for key, left in self._left.items() if left]
        return makespan([*known, *(task.units * unit(task.kind) for task in self._unknown)], self._workers)
