"""The size of a design space: exact numbers of points and of dimensions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from math import comb, prod

import numpy as np

from dorsal.space.compiled import CompiledSpace
from dorsal.space.resolve import ResolvedAxis
from dorsal.space.space import Space

Chosen = dict[str, int]
"""The index of the value of each axis, -1 where it is not drawn."""


def size(space: Space) -> int:
    """The exact number of points: combinations of the values of all drawn axes, before any is rejected.

    A non-decreasing axis with k values over n stages counts its C(k + n - 1, n) sequences. The paper divides k^n by n!
    instead (AnyNetX_D, _E), which counts a sequence with equal values less than once: 1.3e13 and 5.5e11 there are
    1.4e13 and 8.2e11 here. Several points can stand for one network, and some for none.
    """
    compiled = space.compiled
    kinds = _kinds(compiled)
    shared = [name for name, axis in compiled.axes.items() if not axis.by_stage]
    single = [name for name, axis in compiled.axes.items() if axis.by_stage and name not in space.non_decreasing]
    rising = [name for name in space.non_decreasing if len(kinds[name]) > 1]  # other axes depend on them
    free = [name for name in space.non_decreasing if name not in rising]

    def of_stages(chosen: Chosen) -> int:
        stages = compiled.stages if "stages" not in chosen else int(compiled.axes["stages"].values[chosen["stages"]])
        sequences = prod(comb(len(compiled.axes[name].values) + stages - 1, stages) for name in free)

        @cache
        def of_one(*risen: int) -> int:
            return _ways(compiled.axes, single, kinds, {**chosen, **dict(zip(rising, risen, strict=True))}, lambda _: 1)

        if not rising:
            return sequences * prod([of_one()] * stages)
        kind_of = [{index: kind[0] for kind in kinds[name] for index in kind} for name in rising]
        weights = np.empty([len(of) for of in kind_of], dtype=object)
        for indices in np.ndindex(weights.shape):
            weights[indices] = of_one(*(of[index] for of, index in zip(kind_of, indices, strict=True)))
        tails = weights  # by value: the number of sequences that begin with it
        for _ in range(stages - 1):
            for dimension in range(len(rising)):
                tails = np.flip(np.cumsum(np.flip(tails, dimension), dimension), dimension)
            tails = weights * tails
        total: int = sequences * tails.sum()
        return total

    return _ways(compiled.axes, shared, kinds, {}, of_stages)


def _kinds(compiled: CompiledSpace) -> dict[str, list[list[int]]]:
    """The values of each axis, grouped: no axis that depends on it distinguishes the values of one group."""
    found = {}
    for name, axis in compiled.axes.items():
        equal = {name, *(other for other, of in compiled.axes.items() if of.same == name)}
        masks = [of.allowed[parent] for of in compiled.axes.values() for parent in of.allowed if parent in equal]
        groups: dict[object, list[int]] = {}
        for index in range(len(axis.values)):
            told = index if name == "stages" else tuple(bool(mask[index]) for mask in masks)
            groups.setdefault(told, []).append(index)
        found[name] = list(groups.values())
    return found


def _ways(
    axes: Mapping[str, ResolvedAxis],
    names: Sequence[str],
    kinds: Mapping[str, list[list[int]]],
    given: Chosen,
    rest: Callable[[Chosen], int],
) -> int:
    """The sum of `rest` over all ways to choose the axes `names` (in order of dependence), given those already chosen.

    A choice is forgotten as soon as no later axis depends on it, so that independent axes multiply.
    """
    needed = [
        {"stages"}.union(
            *({*axis.allowed, axis.same or name} for name, axis in axes.items() if name not in names[:done])
        )
        for done in range(len(names) + 1)
    ]

    @cache
    def ways(position: int, known: frozenset[tuple[str, int]]) -> int:
        chosen = dict(known)
        if position == len(names):
            return rest(chosen)
        axis = axes[names[position]]

        def then(index: int) -> int:
            kept = {**chosen, names[position]: index}.items()
            return ways(position + 1, frozenset((name, i) for name, i in kept if name in needed[position + 1]))

        if not all(chosen[parent] >= 0 and allowed[chosen[parent]] for parent, allowed in axis.allowed.items()):
            return then(-1)
        if axis.same is not None:
            return then(chosen[axis.same])
        return sum(len(kind) * then(kind[0]) for kind in kinds[names[position]])

    return ways(0, frozenset(given.items()))


def dimensions(space: Space) -> int:
    """The number of independent draws with more than one value. A draw by stage counts once for each stage, at most."""
    compiled = space.compiled
    return sum(
        compiled.stages if axis.by_stage else 1
        for axis in compiled.axes.values()
        if len(axis.values) > 1 and axis.same is None
    )
