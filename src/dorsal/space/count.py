"""How large a design space is: exact numbers of points and of dimensions."""

from __future__ import annotations

from itertools import product
from math import comb, prod

from dorsal.space.layout import Layout
from dorsal.space.resolve import ResolvedAxis
from dorsal.space.space import Space


def size(space: Space) -> int:
    """The exact number of points: combinations of values of the axes that are drawn, before any is rejected.

    A non-decreasing axis of k values over n stages counts its C(k + n - 1, n) sequences. The paper divides k^n by n!
    instead (AnyNetX_D, _E), which counts a sequence with equal values less than once: 1.3e13 and 5.5e11 there are
    1.4e13 and 8.2e11 here. Several points can stand for one network, and some for none.
    """
    layout = Layout(space)
    deciding = {parent for axis in layout.axes.values() for parent in axis.allowed} | ({"stages"} & set(layout.axes))
    for name in reversed(layout.axes):  # an axis comes after the one that it equals
        if name in deciding and (source := layout.axes[name].same) is not None:
            deciding.add(source)
    shared = {name: axis for name, axis in layout.axes.items() if not axis.by_stage}
    by_stage = {name: axis for name, axis in layout.axes.items() if axis.by_stage}
    rising = set(space.non_decreasing)
    single = {name: axis for name, axis in by_stage.items() if name not in rising}
    total = 0
    for points, chosen in _assignments(shared, deciding, {}):
        stages = layout.stages if "stages" not in chosen else int(layout.axes["stages"].values[chosen["stages"]])
        each = sum(points for points, _ in _assignments(single, deciding, chosen))
        sequences = prod(comb(len(by_stage[name].values) + stages - 1, stages) for name in rising)
        total += points * each**stages * sequences
    return total


def _assignments(
    axes: dict[str, ResolvedAxis], deciding: set[str], given: dict[str, int]
) -> list[tuple[int, dict[str, int]]]:
    """Each way to choose the deciding axes among `axes`, -1 for not drawn, and how many ways the rest then has."""
    inner = [name for name in axes if name in deciding]
    found = []
    for indices in product(*(range(-1, len(axes[name].values)) for name in inner)):
        chosen = {**given, **dict(zip(inner, indices, strict=True))}
        drawn = {name: _is_drawn(axis, chosen) for name, axis in axes.items()}
        if all((chosen[name] >= 0) == drawn[name] for name in inner) and _agree(axes, chosen, inner):
            rest = prod(
                len(axis.values)
                for name, axis in axes.items()
                if drawn[name] and name not in deciding and axis.same is None
            )
            found.append((rest, chosen))
    return found


def _is_drawn(axis: ResolvedAxis, chosen: dict[str, int]) -> bool:
    return all(chosen[parent] >= 0 and allowed[chosen[parent]] for parent, allowed in axis.allowed.items())


def _agree(axes: dict[str, ResolvedAxis], chosen: dict[str, int], names: list[str]) -> bool:
    """Whether deciding axes that equal others have the values of those, where those decide too."""
    return all(chosen[name] == chosen.get(axes[name].same or name, chosen[name]) or chosen[name] < 0 for name in names)


def dimensions(space: Space) -> int:
    """The number of independent draws that have more than one value, counted for each stage (at most) where free."""
    layout = Layout(space)
    return sum(
        layout.stages if axis.by_stage else 1
        for axis in layout.axes.values()
        if len(axis.values) > 1 and axis.same is None
    )
