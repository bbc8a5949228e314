"""Steps that may narrow a design space, and what the drawn values say about each. No torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import floor, log, log2
from typing import Any, NamedTuple

import numpy as np

from dorsal.findings.narrowing.records import Among, Best, Kind, Within, Without
from dorsal.findings.population.axis_findings import LOGARITHMIC
from dorsal.language.fields import show
from dorsal.space.axis import Axis
from dorsal.space.distributions import Choice, EqualTo, PowerOfTwoOrLogUniform, Ranged, Value, support
from dorsal.space.refine import monotone, restrict, share
from dorsal.space.space import Space
from dorsal.stats.good_ranges import GoodRange, GoodValues, good_range, good_values
from dorsal.stats.non_inferiority import dependence_p
from dorsal.study.population.records import SpaceSample

Errors = Sequence[float | None]
SpaceChange = Callable[[Space], Space]

ORDERED = ("widths", "depths")
"""These axes are tested for order along the stages. All others are tested for equality."""


class NarrowingStep(NamedTuple):
    """A step to consider. `change` is `unchanged` if it changes nothing.

    A range also has the `best` values by the bootstrap, and `p`, the p value that the axis has nothing to do with the
    errors.
    """

    kind: Kind
    axis: str
    change: SpaceChange
    best: Best | None = None
    good_range: GoodRange | None = None
    good_values: GoodValues | None = None
    p: float = 1.0


def unchanged(space: Space) -> Space:
    """The space itself."""
    return space


def shares(space: Space) -> list[NarrowingStep]:
    """Sharing of every axis by stage that has several values. Not of widths, depths, and axes whose condition differs
    by stage.
    """
    return [
        NarrowingStep("share", name, partial(share, axis=name))
        for name, axis in space.axes.items()
        if axis.by_stage
        and name not in ORDERED
        and _values(axis.draw)
        and not any(space.axes[parent].by_stage for parent in axis.when)
    ]


def order_steps(space: Space) -> list[NarrowingStep]:
    """Widths and depths by stage that never fall, if they still can."""
    found = []
    for name in ORDERED:
        if name not in space.axes or name in space.non_decreasing:
            continue
        axis = space.axes[name]
        values = _values(axis.draw)
        if axis.by_stage and not axis.when and values and list(values) == sorted(values):
            found.append(NarrowingStep("monotone", name, partial(monotone, axis=name)))
    return found


def ranges(drawn: SpaceSample, errors: Errors, confidence: float, draws: int, seed: int) -> list[NarrowingStep]:
    """Restricting every axis of several values to where the best networks lie. Axes that no network draws are left out.

    p is twice the smaller one of two tests: whether the best networks lie on the axis as all do (`good_range`), and
    whether the mean error depends on it, as a parabola or by value (`dependence_p`).
    """
    steps: list[NarrowingStep] = []
    for name, axis in drawn.space.axes.items():
        rows = [drawn_values(value) for value in drawn.axes[name]]
        if not _values(axis.draw) or not any(
            row and error is not None for row, error in zip(rows, errors, strict=True)
        ):
            continue
        test = _Test(axis, errors, confidence, draws, seed)
        match axis.draw:
            case EqualTo():
                continue
            case Choice(values=values) if axis.by_stage:
                steps += [_without(name, each, *test.words([_has(each, row) for row in rows])) for each in values]
            case Choice(values=values):
                steps.append(_only(name, values, *test.words([show(row[0]) if row else None for row in rows])))
            case draw if axis.by_stage:
                lowest, highest = ([end(row, default=None) for row in rows] for end in (min, max))
                steps.append(_range(name, draw, *test.numbers(lowest), high=False))
                steps.append(_range(name, draw, *test.numbers(highest), low=False))
            case draw:
                steps.append(_range(name, draw, *test.numbers([row[0] if row else None for row in rows])))
    return steps


class _Test(NamedTuple):
    """Good ranges and values of the columns of an axis, each with the p of `ranges`."""

    axis: Axis
    errors: Errors
    confidence: float
    draws: int
    seed: int

    def numbers(self, column: Sequence[float | None]) -> tuple[GoodRange, float]:
        good = good_range(column, self.errors, confidence=self.confidence, draws=self.draws, seed=self.seed)
        logarithmic = isinstance(self.axis.draw, LOGARITHMIC)
        scaled = [log(value) if logarithmic and value is not None else value for value in column]
        return good, self._both(good.p, [scaled, [None if value is None else value**2 for value in scaled]])

    def words(self, column: Sequence[str | None]) -> tuple[GoodValues, float]:
        good = good_values(column, self.errors, confidence=self.confidence, draws=self.draws, seed=self.seed)
        known = [each.value for each in good.values]
        return good, self._both(
            good.p, [[None if value is None else float(value == each) for value in column] for each in known]
        )

    def _both(self, p: float, columns: Sequence[Sequence[float | None]]) -> float:
        return min(1.0, 2 * min(p, dependence_p(columns, self.errors, draws=self.draws, seed=self.seed)))


def members(axes: Mapping[str, Sequence[Any]], space: Space) -> list[bool]:
    """Which networks, by the values drawn on each axis, also lie in a narrower `space`."""
    inside = np.ones(len(next(iter(axes.values()))), dtype=bool)
    for name, axis in space.axes.items():
        allowed = None if isinstance(axis.draw, EqualTo) else set(support(axis.draw).values)
        rising = name in space.non_decreasing
        for row, value in enumerate(axes[name]):
            values = drawn_values(value)
            inside[row] &= (
                (allowed is None or allowed.issuperset(values))
                and (axis.by_stage or len(set(values)) <= 1)
                and (not rising or values == sorted(values))
            )
    return [bool(each) for each in inside]


def drawn_values(value: Any) -> list[Any]:
    """The values drawn for one network: one for each stage that has one, or one, or none."""
    return [each for each in (value if isinstance(value, list) else [value]) if each is not None]


def _values(draw: Ranged | Choice | EqualTo) -> tuple[Any, ...]:
    """The values of a draw that has several of its own."""
    values = () if isinstance(draw, EqualTo) else support(draw).values
    return values if len(values) > 1 else ()


def _has(value: Value, row: list[Any]) -> str | None:
    return ("with" if value in row else "without") if row else None


def _range(name: str, draw: Ranged, good: GoodRange, p: float, *, low: bool = True, high: bool = True) -> NarrowingStep:
    """Restricting an axis at one end or both, if the good range ends before the axis does."""
    bottom, top = _outward(draw, good)
    first, *_, last = support(draw).values
    ends = {"low": bottom} if low and bottom > first else {}
    ends |= {"high": top} if high and top < last else {}
    change = partial(restrict, axis=name, **ends) if ends else unchanged
    best = Within(float(bottom) if low else None, float(top) if high else None)
    return NarrowingStep("range", name, change, best, good, None, p)


def _outward(draw: Ranged, good: GoodRange) -> tuple[Any, Any]:
    """The ends of the good range. For a draw that needs powers of two, the next ones outside."""
    values = support(draw).values
    low = max(value for value in values if value <= good.low)  # whole numbers as they were
    high = min(value for value in values if value >= good.high)
    if not isinstance(draw, PowerOfTwoOrLogUniform):
        return low, high
    return max(draw.low, 2 ** floor(log2(low))), min(draw.high, 2 ** -floor(-log2(high)))


def _only(name: str, values: tuple[Value, ...], good: GoodValues, p: float) -> NarrowingStep:
    wins = {each.value for each in good.values if each.good}
    kept = tuple(value for value in values if show(value) in wins)
    change = partial(restrict, axis=name, values=kept) if len(kept) < len(values) else unchanged
    return NarrowingStep("range", name, change, Among(tuple(map(show, kept))), None, good, p)


def _without(name: str, value: Value, good: GoodValues, p: float) -> NarrowingStep:
    def change(space: Space) -> Space:
        draw = space.axes[name].draw
        left = () if isinstance(draw, EqualTo) else tuple(each for each in support(draw).values if each != value)
        return restrict(space, name, values=left)

    unused = [each.value for each in good.values if each.good] == ["without"]
    return NarrowingStep("range", name, change if unused else unchanged, Without(show(value), unused), None, good, p)
