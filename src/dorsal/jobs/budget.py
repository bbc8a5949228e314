"""How many runs of a plan fit a budget, and whether any do. Pure arithmetic on measured epoch times."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Collection

import msgspec

from dorsal.jobs.epoch_time import predict_epochs
from dorsal.jobs.forecast import START_UP_SECONDS, EpochSeconds, forecast
from dorsal.jobs.plan import Plan
from dorsal.jobs.remarks import BudgetCut
from dorsal.language.amounts import read_duration, show_duration

_HEADROOM = 2
"""The suggested budget is this many times the forecast, because a second measurement may be slower."""


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """A plan that is cut so that it fits in a time, if need be.

    - `text`: the time, e.g. "10m".
    - `cut`: the plan cut to its first n `part_name` ("seeds for every arm and recipe"), n from 1 to `parts`, which is
      the whole plan.
    - `done`: keys of runs that take no time. `workers`: who make the others.
    """

    text: str
    cut: Callable[[int], Plan]
    parts: int
    part_name: str
    done: Collection[str]
    workers: int

    @property
    def smallest(self) -> Plan:
        """What the budget has to fit."""
        return self.cut(1)

    def check(self, measured: EpochSeconds) -> None:
        """Raises ValueError if even the smallest part cannot fit.

        Runs not timed yet count as 0 seconds, so `fitting` would refuse everything refused here. A worker's start-up is
        always counted.
        """
        part = self.smallest
        nothing = {(arm.label, recipe): 0.0 for arm in part.arms for recipe in part.recipes}
        seconds = forecast(part, {**nothing, **measured}, self.done, self.workers).seconds
        least = START_UP_SECONDS if seconds is None else seconds
        if least > read_duration(self.text):
            predicted = forecast(part, predict_epochs(part, measured), self.done, self.workers).seconds
            raise _too_small(self.text, self.parts, self.part_name, max(predicted or 0.0, least))

    def fitting(self, epoch_seconds: EpochSeconds) -> tuple[Plan, BudgetCut | None]:
        """The largest part that fits, and what was left out.

        Raises ValueError when not even the smallest fits, and when no network could be timed.
        """

        cut = fit_parts(
            self.text,
            self.parts,
            self.part_name,
            lambda count: forecast(self.cut(count), epoch_seconds, self.done, self.workers).seconds,
        )
        return self.cut(cut.fitting if cut else self.parts), cut


def fit_parts(
    text: str, parts: int, part_name: str, forecast_seconds: Callable[[int], float | None]
) -> BudgetCut | None:
    """What a budget leaves out of so many parts, None where all fit. `forecast_seconds` is what the first n parts take.

    Raises ValueError when not even the first fits, and when no network could be timed.
    """

    def seconds(count: int) -> float:
        found = forecast_seconds(count)
        if found is None:
            raise ValueError(
                f"budget={text!r}: no network could be timed here, so what fits is not known; leave it out"
            )
        return found

    fitting = bisect.bisect_right(range(1, parts + 1), read_duration(text), key=seconds)
    if not fitting:
        raise _too_small(text, parts, part_name, seconds(1))
    return None if fitting == parts else BudgetCut(text, fitting, parts, part_name, seconds(fitting))


def _too_small(text: str, parts: int, part_name: str, seconds: float) -> ValueError:
    minutes = math.ceil(_HEADROOM * seconds / 60)
    enough = f"{minutes}m" if minutes <= 90 else f"{math.ceil(minutes / 60)}h"
    return ValueError(
        f"budget={text!r} is too small: 1 of {parts} {part_name} takes about {show_duration(seconds)}; try a budget of "
        f"{enough}, or none"
    )
