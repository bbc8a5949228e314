"""Error against each axis of a space: profiles and good ranges of every column that an axis has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from dorsal.findings.population.records import AxisFinding, Value
from dorsal.jobs.records import Arm
from dorsal.language.fields import show
from dorsal.space.distributions import EqualTo, LogNormal, LogUniform, PowerOfTwo, PowerOfTwoOrLogUniform
from dorsal.spec.network import Network
from dorsal.stats import categorical_profile, good_range, good_values, numeric_profile
from dorsal.stats.populations import holm
from dorsal.study.population.records import SpaceSample

FEWEST_FOR_AXES = 20
"""With fewer networks, the best quarter is so small that a good range only lists their values."""

TOTAL_DEPTH = "total depth"

LOGARITHMIC = (LogUniform, LogNormal, PowerOfTwo, PowerOfTwoOrLogUniform)

Errors = Sequence[float | None]


def axis_findings(drawn: SpaceSample, arms: Sequence[Arm], errors: Errors) -> tuple[AxisFinding, ...]:
    """A finding for every column of every axis, in the space's order, then for derived quantities.

    `arms` and `errors` are the space's, in the order drawn. None is a network without a result.
    """
    columns = [column for name in drawn.axes for column in _columns(drawn, name)]
    if drawn.space.linear is None:  # with the rule on, the total depth is itself an axis
        columns += _total_depth(arms)
    found = [_with_numbers(drawn, column, errors) for column in columns]
    p = {finding.name: best.p for finding in found if (best := finding.good_range or finding.good_values)}
    adjusted = dict(zip(p, holm(list(p.values())), strict=True))
    return tuple(replace(finding, adjusted_p=adjusted.get(finding.name)) for finding in found)


def _columns(drawn: SpaceSample, name: str) -> list[AxisFinding]:
    axis, rows = drawn.space.axes[name], drawn.axes[name]
    stages = range(max((len(row) for row in rows), default=0)) if axis.by_stage else [None]
    columns = []
    for stage in stages:
        column = rows if stage is None else [row[stage] if stage < len(row) else None for row in rows]
        columns.append(
            AxisFinding(
                name=name if stage is None else f"{name}, stage {stage + 1}",
                axis=name,
                stage=None if stage is None else stage + 1,
                derived=False,
                logarithmic=isinstance(axis.draw, LOGARITHMIC),
                values=_plain(column),
            )
        )
    return columns


def _plain(column: Sequence[Any]) -> tuple[Value, ...]:
    """Numbers if all values are numbers, else text."""
    present = [value for value in column if value is not None]
    if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in present):
        return tuple(column)
    return tuple(None if value is None else show(value) for value in column)


def _total_depth(arms: Sequence[Arm]) -> list[AxisFinding]:
    depths = [sum(stage.depth for stage in arm.network.stages) for arm in arms if isinstance(arm.network, Network)]
    return [
        AxisFinding(
            name=TOTAL_DEPTH,
            axis=TOTAL_DEPTH,
            stage=None,
            derived=True,
            logarithmic=False,
            values=tuple(depths),
        )
    ]


def _with_numbers(drawn: SpaceSample, column: AxisFinding, errors: Errors) -> AxisFinding:
    """The column with its profile and good range, if there are enough networks and several values."""
    axis = drawn.space.axes.get(column.axis)
    if axis is not None and isinstance(axis.draw, EqualTo):
        return replace(column, equals=axis.draw.axis)
    found = [value for value, error in zip(column.values, errors, strict=True) if None not in (value, error)]
    column = replace(column, n=len(found), constant=found[0] if len(set(found)) == 1 else None)
    if len(found) < FEWEST_FOR_AXES or column.constant is not None:
        return column
    numbers = [value for value in column.values if not isinstance(value, str)]
    if len(numbers) == len(column.values):
        profile, best = numeric_profile(numbers, errors), good_range(numbers, errors)
        return replace(column, numeric=profile, good_range=best)
    texts = [None if value is None else str(value) for value in column.values]
    return replace(column, categorical=categorical_profile(texts, errors), good_values=good_values(texts, errors))
