"""Changes of a design space. Each returns a new space and records the old one in its history."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from msgspec.structs import replace

from dorsal.language.fields import show
from dorsal.language.reader import suggest
from dorsal.space.axis import Axis
from dorsal.space.distributions import Choice, EqualTo, Value, support
from dorsal.space.size import size
from dorsal.space.space import Refinement, Space


def share(space: Space, axis: str) -> Space:
    """All stages share one value of the axis (AnyNetX_A to _B: the bottleneck ratio)."""
    if not _axis(space, axis).by_stage:
        raise ValueError(f"axis {axis!r} is already shared by all stages")
    rising = tuple(name for name in space.non_decreasing if name != axis)
    return _changed(space, f"share {axis}", axis, replace(space.axes[axis], by_stage=False), non_decreasing=rising)


def free(space: Space, axis: str) -> Space:
    """Each stage has its own value of the axis: the opposite of `share`."""
    if _axis(space, axis).by_stage:
        raise ValueError(f"axis {axis!r} is already free in each stage")
    return _changed(space, f"free {axis}", axis, replace(space.axes[axis], by_stage=True))


def fix(space: Space, axis: str, value: Value) -> Space:
    """The axis has this one value. Axes that are drawn only under other values of it are removed.

    Raises ValueError for a value that the axis does not have.
    """
    draw = _axis(space, axis).draw
    if isinstance(draw, EqualTo):
        raise ValueError(f"axis {axis!r} equals {draw.axis!r}; fix that one")
    _check_has(axis, support(draw).values, value)
    fixed = replace(space.axes[axis], draw=Choice((value,)))
    return _changed(space, f"fix {axis}={show(value)}", axis, fixed)


def restrict(
    space: Space,
    axis: str,
    low: float | None = None,
    high: float | None = None,
    values: tuple[Value, ...] | None = None,
) -> Space:
    """The axis has a narrower range, drawn by the same rule, or only some of its values with their relative weights.

    Axes that are drawn only under other values of it are removed. Raises ValueError for a range that is not inside the
    old one, and for a value that the axis does not have.
    """
    draw = _axis(space, axis).draw
    if isinstance(draw, EqualTo):
        raise ValueError(f"axis {axis!r} equals {draw.axis!r}; restrict that one")
    if values is not None:
        if low is not None or high is not None:
            raise ValueError("restrict takes low and high, or values, not both")
        known = dict(zip(*support(draw), strict=True))
        for value in values:
            _check_has(axis, known, value)
        only = Choice(values, tuple(float(known[value]) for value in values))
        return _changed(space, f"restrict {axis} to {show(list(values))}", axis, replace(space.axes[axis], draw=only))
    if isinstance(draw, Choice):
        raise ValueError(f"axis {axis!r} is a choice; give values of {show(list(draw.values))}")
    if low is None and high is None:
        raise ValueError(f"restrict {axis!r} needs low, high or values")
    low, high = draw.low if low is None else low, draw.high if high is None else high
    if low < draw.low or high > draw.high:
        raise ValueError(
            f"{axis}: {low} to {high} is not inside {draw.low} to {draw.high}; nearest valid: "
            f"{max(low, draw.low)} to {min(high, draw.high)}"
        )
    narrower = replace(space.axes[axis], draw=replace(draw, low=low, high=high))
    return _changed(space, f"restrict {axis} to {low}..{high}", axis, narrower)


def monotone(space: Space, axis: str) -> Space:
    """The axis never falls from one stage to the next (AnyNetX_D: widths, _E: depths)."""
    if axis in space.non_decreasing:
        raise ValueError(f"axis {axis!r} is already non-decreasing")
    rising = (*space.non_decreasing, axis)
    return _changed(space, f"monotone {axis}", axis, _axis(space, axis), non_decreasing=rising)


def rename(space: Space, name: str) -> Space:
    """The same space under another name."""
    return replace(space, name=name)


def _check_has(axis: str, known: Collection[Value], value: Value) -> None:
    if value in known:
        return
    numbers = [number for number in known if not isinstance(number, str)]
    if isinstance(value, str) or not numbers:
        raise ValueError(f"axis {axis!r} has no value {show(value)}{suggest(show(value), map(show, known))}")
    nearest = min(numbers, key=lambda number: abs(number - value))
    raise ValueError(f"axis {axis!r} has no value {show(value)}; nearest valid: {show(nearest)}")


def _axis(space: Space, name: str) -> Axis:
    if name not in space.axes:
        raise ValueError(f"space {space.name!r} has no axis {name!r}{suggest(name, space.axes)}")
    return space.axes[name]


def _changed(space: Space, change: str, name: str, axis: Axis, **fields: Any) -> Space:
    step = Refinement(change, space.name, float(size(space)))
    axes = _reachable({**space.axes, name: axis}, name)
    return replace(space, axes=axes, history=(*space.history, step), **fields)


def _reachable(axes: dict[str, Axis], name: str) -> dict[str, Axis]:
    """The axes after the axis `name` was narrowed: without conditions it no longer meets, and without axes never drawn
    then.
    """
    draw = axes[name].draw
    if isinstance(draw, EqualTo):
        return axes
    values = support(draw).values
    met = {*values, *(value.partition("(")[0] for value in values if isinstance(value, str))}
    narrowed = [name, *(other for other, axis in axes.items() if axis.draw == EqualTo(name))]
    for other, axis in list(axes.items()):
        when = {
            parent: tuple(value for value in wanted if value in met) if parent in narrowed else wanted
            for parent, wanted in axis.when.items()
        }
        if other not in axes or when == axis.when:
            continue
        axes = {**axes, other: replace(axis, when=when)} if all(when.values()) else _without(axes, other)
    return axes


def _without(axes: dict[str, Axis], name: str) -> dict[str, Axis]:
    """The axes without one that is never drawn, and without the axes that depend on its values."""
    left = {other: axis for other, axis in axes.items() if other != name}
    for other, axis in axes.items():
        if name in axis.when:
            left = _without(left, other)
    return left
