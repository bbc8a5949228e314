"""A design space compiled for sampling."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from dorsal.space.axis import Axis, Linear
from dorsal.space.encoding import fill, flatten, may_be_none
from dorsal.space.resolve import LINEAR, resolve_axes
from dorsal.space.table import Table
from dorsal.spec.network import Network
from dorsal.spec.text import PER_STAGE, choices_of

_NO_LEAVES = {*LINEAR, "stages"}


class CompiledSpace:
    """A design space compiled for sampling. The constructor validates.

    - `axes`: resolved, each after the axes it depends on.
    - `stages`: the largest number of stages of any point.
    - `base`: the leaves of the base network, as a table of one row.
    - `varied`: the leaves in which points can differ.

    Raises ValueError for an unknown axis, with near matches, and for axes that contradict each other.
    """

    def __init__(
        self,
        base: Network,
        axes: Mapping[str, Axis],
        linear: Linear | None,
        non_decreasing: tuple[str, ...],
        fits_groups: bool,
        image_size: int,
    ) -> None:
        self.linear, self.non_decreasing, self.fits_groups = linear, non_decreasing, fits_groups
        self._image_size = image_size
        self.choices = choices_of(base)
        self.axes = resolve_axes(axes, self.choices)
        self._check_linear()
        self.stages = self._most_stages()
        _check_non_decreasing(self)
        self.base = self._base_leaves()
        moved = {"depths", "widths", "mixer.group_width"}
        self.varied = sorted((moved & set(self.base)).union(*(axis.lookup for axis in self.axes.values())) - _NO_LEAVES)

    def _check_linear(self) -> None:
        given = [name for name in LINEAR if name in self.axes]
        if (rule := self.linear) is None:
            if given:
                raise ValueError(f"axis {given[0]!r} belongs to the linear rule, which is off; add linear = {{}}")
            return
        for name in LINEAR:
            if name not in self.axes:
                raise ValueError(f"the linear rule needs an axis {name!r}; add it, or leave out linear")
        for name in ("depths", "widths", "stages"):
            if name in self.axes:
                raise ValueError(f"axis {name!r} contradicts the linear rule, which decides {name}; leave out one")
        depth, w0, wa, wm = (self.axes[name].values for name in LINEAR)
        off = [value for value in w0 if value < 1 or value % rule.quantum]
        if off or min(depth) < 1 or min(wa) < 0 or min(wm) <= 1:
            raise ValueError(
                f"the linear rule needs depth >= 1, w0 a positive multiple of {rule.quantum}, wa >= 0 and wm > 1; "
                f"lowest here: depth={min(depth)}, w0={min(off or w0)}, wa={min(wa)}, wm={min(wm)}"
            )

    def _most_stages(self) -> int:
        if self.linear is not None:
            return self.linear.stages[1]
        if "stages" in self.axes:
            most = max(self.axes["stages"].values)
            if min(self.axes["stages"].values) < 1:
                raise ValueError(f"axis 'stages': {min(self.axes['stages'].values)} is below 1; nearest valid: 1")
            return int(most)
        return len(self.choices["depths"])

    def _base_leaves(self) -> Table:
        """The base network's leaves, (1, 1) or (1, stages).

        Raises ValueError if a choice differs by stage in the base network and the space has another number of stages.
        """
        table: Table = {"image_size": np.array([[self._image_size]])}
        for choice, value in self.choices.items():
            values = value if choice in PER_STAGE and isinstance(value, list) else [value]
            if len(values) not in (1, self.stages):
                drawn = choice in self.axes and not self.axes[choice].allowed
                ruled = self.linear is not None and choice in ("depths", "widths")
                if not (drawn or ruled) and any(other != values[0] for other in values):
                    raise ValueError(
                        f"{choice} of the base network differ over its {len(values)} stages, and "
                        f"this space has up to {self.stages}; add an axis {choice!r}, or choose another base"
                    )
                values = values[:1]
            # A basic block has no expansion, order, …. Their leaves get a fill value.
            flat = [{} if each is None and not may_be_none(choice) else flatten(choice, each) for each in values]
            for leaf in {leaf for each in flat for leaf in each}:
                table[leaf] = np.array([[each.get(leaf, fill(leaf)) for each in flat]])
        return table


def _check_non_decreasing(compiled: CompiledSpace) -> None:
    for name in compiled.non_decreasing:
        if name not in compiled.axes:
            raise ValueError(
                f"non_decreasing: {name!r} is not an axis of this space; valid: {', '.join(compiled.axes)}"
            )
        axis = compiled.axes[name]
        if not axis.by_stage or axis.allowed or axis.same:
            raise ValueError(
                f"non_decreasing: {name!r} must be drawn by stage (by_stage = true), and neither equal another axis "
                "nor be conditional; leave it out of non_decreasing"
            )
        if list(axis.values) != sorted(axis.values):
            raise ValueError(f"non_decreasing: the values of {name!r} must be numbers in rising order; sort them")
