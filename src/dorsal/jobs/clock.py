"""How much time is left for jobs that are being done. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from dorsal.jobs.forecast import makespan
from dorsal.recipes.epoch import Step


class Amount(NamedTuple):
    """How much a job is: so many `units` (the epochs of a run, one for a model) of a `kind` that take alike."""

    kind: Hashable
    units: int = 1


class Clock:
    """The time left for `jobs`, by key, on `workers` workers.

    A unit of a kind that has been measured takes the mean of what was measured. A unit of another kind takes what
    `seconds` forecasts, scaled by measured / forecast so far. Without any forecast it takes the mean of all that was
    measured. `unknown` are the amounts of jobs that are not known yet.

    `done` of `total` jobs have ended. Both count the `done` jobs that had ended before.
    """

    def __init__(
        self,
        jobs: Mapping[str, Amount],
        seconds: Mapping[Any, float],
        workers: int,
        unknown: Sequence[Amount] = (),
        done: int = 0,
    ) -> None:
        self.done, self.total = done, done + len(jobs) + len(unknown)
        self._jobs, self._seconds, self._workers, self._unknown = dict(jobs), seconds, workers, list(unknown)
        self._left: dict[str, float] = {key: amount.units for key, amount in jobs.items()}
        self._taken: dict[Hashable, float] = {}
        self._count: dict[Hashable, int] = {}

    def add(self, keys: Iterable[str]) -> None:
        """These are the next of the jobs that were not known."""
        for key in keys:
            self._jobs[key] = amount = self._unknown.pop()
            self._left[key] = amount.units

    def moved(self, key: str, step: Step) -> None:
        """A job has come to this step; an epoch is a unit."""
        self._left[key] = self._jobs[key].units - (step.epoch - 1 + step.step / step.steps)

    def restarted(self, key: str) -> None:
        """A job begins anew."""
        self._left[key] = self._jobs[key].units

    def measured(self, key: str, seconds: float) -> None:
        """A unit of this job took so long."""
        kind = self._jobs[key].kind
        self._taken[kind] = self._taken.get(kind, 0.0) + seconds
        self._count[kind] = self._count.get(kind, 0) + 1

    def ended(self, key: str) -> None:
        """A job needs no more time, however it ended."""
        del self._left[key]
        self.done += 1

    def seconds_left(self) -> float:
        """Seconds until the last job ends."""
        known = [(left, self._jobs[key].kind) for key, left in self._left.items()]
        waiting = [*known, *((amount.units, amount.kind) for amount in self._unknown)]
        takes = self._unit_seconds({kind for _, kind in waiting})
        return makespan((units * takes[kind] for units, kind in waiting), self._workers)

    def _unit_seconds(self, kinds: Iterable[Hashable]) -> dict[Hashable, float]:
        """What a unit of each of these kinds takes."""
        taken, count = sum(self._taken.values()), sum(self._count.values())
        forecast = sum(self._seconds[kind] * number for kind, number in self._count.items())
        scale = taken / forecast if forecast else 1.0
        unforecast = taken / count if count and not any(self._seconds.values()) else None
        found = {kind: self._taken[kind] / number for kind, number in self._count.items()}
        others = {kind: self._seconds[kind] * scale if unforecast is None else unforecast for kind in kinds}
        return {**others, **found}
