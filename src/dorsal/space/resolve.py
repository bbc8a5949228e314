"""One axis of a space resolved against the grammar: its values, the leaves each sets, and where the axis is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from dorsal.language.reader import Reader, fields_named, suggest
from dorsal.space.axis import Axis
from dorsal.space.distributions import EqualTo, support
from dorsal.space.encoding import fill, flatten, is_by_stage, may_be_none, type_at, words_at
from dorsal.space.table import Column, Mask
from dorsal.spec.block import name_of
from dorsal.spec.text import BOTTLENECK_ONLY, CHOICES, Choices, read_choice

LINEAR = ("linear.depth", "linear.w0", "linear.wa", "linear.wm")
NAMES = (*CHOICES, "image_size", "stages", *LINEAR)
"""The names an axis can have, besides fields of elements such as `mixer.radix`."""


class ResolvedAxis(NamedTuple):
    """An axis whose words have been read.

    - `written`, `values`: its values as the space has them, and as the grammar has them.
    - `lookup`: for each leaf, the number that each value sets.
    - `allowed`: for each axis of the condition, which of that axis's values meet it.
    """

    by_stage: bool
    same: str | None
    written: tuple[Any, ...]
    values: tuple[Any, ...]
    probabilities: NDArray[np.float64]
    lookup: dict[str, Column]
    allowed: dict[str, Mask]


def resolve_axes(axes: Mapping[str, Axis], base: Choices) -> dict[str, ResolvedAxis]:
    """The resolved axes, each after the axes it depends on. `base` holds the choices of the base network.

    Raises ValueError naming the axis, what is wrong with it, and the nearest valid choice.
    """
    for name in axes:
        _check_name(name)
    resolved: dict[str, ResolvedAxis] = {}
    for name in _in_order(axes):
        try:
            resolved[name] = _resolve(name, axes[name], resolved, base)
            _check_drawn(name, resolved)
        except ValueError as error:
            raise ValueError(f"axis {name!r}: {error}") from None
    return resolved


def _check_name(name: str) -> None:
    if name not in NAMES and ("." not in name or name.startswith("linear.")):
        raise ValueError(f"unknown axis {name!r}{suggest(name, NAMES)}")
    if "." in name and name not in LINEAR:
        type_at(name)


def _in_order(axes: Mapping[str, Axis]) -> list[str]:
    """The axes, each after those it depends on: the axes of its condition, the one it equals, the element it is a field
    of.
    """
    needs: dict[str, set[str]] = {}
    for name, axis in axes.items():
        others = [*axis.when, *([axis.draw.axis] if isinstance(axis.draw, EqualTo) else [])]
        for other in others:
            if other not in axes:
                raise ValueError(
                    f"axis {name!r} depends on {other!r}, which is not an axis of this space{suggest(other, axes)}"
                )
        if name == "stages" and others:
            raise ValueError(
                "axis 'stages' decides which stages there are and cannot depend on another axis; leave out when"
            )
        fields_of = [other for other in axes if name.startswith(f"{other}.")]
        first = {"stages", *(["block"] if name in BOTTLENECK_ONLY else [])} & set(axes) - {name}
        needs[name] = {*others, *fields_of, *first}
    order: list[str] = []
    while len(order) < len(axes):
        ready = [name for name in axes if name not in order and needs[name] <= set(order)]
        if not ready:
            left = ", ".join(name for name in axes if name not in order)
            raise ValueError(f"axes depend on each other in a circle: {left}; leave out when of one of them")
        order.append(ready[0])
    return order


def _resolve(name: str, axis: Axis, earlier: Mapping[str, ResolvedAxis], base: Choices) -> ResolvedAxis:
    if axis.by_stage and not is_by_stage(name):
        raise ValueError("is one choice for the whole network; leave out by_stage")
    if isinstance(axis.draw, EqualTo):
        source = earlier[axis.draw.axis]
        if (source.by_stage and not axis.by_stage) or source.allowed:
            raise ValueError(
                f"cannot equal {axis.draw.axis!r}, which is drawn by stage or under a condition; draw it on its own"
            )
        written, probabilities = source.written, source.probabilities
    else:
        written, probabilities = support(axis.draw)
    allowed: dict[str, Mask] = {}
    for parent, wanted in axis.when.items():
        if earlier[parent].by_stage and not axis.by_stage:
            raise ValueError(
                f"is shared by all stages and cannot depend on {parent!r}, which is drawn by stage; add by_stage = true"
            )
        allowed[parent] = _fulfilling(parent, earlier[parent], wanted)
    values = tuple(_read(name, value) for value in written)
    _check_has_field(name, allowed, earlier, base)
    same = axis.draw.axis if isinstance(axis.draw, EqualTo) else None
    return ResolvedAxis(axis.by_stage, same, written, values, probabilities, _leaves(name, values), allowed)


def _read(name: str, value: Any) -> Any:
    """A value as the grammar has it. ValueError with near matches for an unknown word."""
    if name in LINEAR or name == "stages":
        whole = name not in ("linear.wa", "linear.wm")
        if isinstance(value, str | bool) or (whole and not isinstance(value, int)):
            raise ValueError(f"{value!r} is no {'whole ' if whole else ''}number")
        return value
    kind, words = type_at(name), words_at(name)
    if not isinstance(value, str):
        try:
            return msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            raise ValueError(f"{value!r} cannot be: {error}") from None
    if value == "none" and may_be_none(name):
        return None
    if "." in name and name.rpartition(".")[2] != "inner":
        if value not in words:
            raise ValueError(f"{value} is not known{suggest(value, words)}")
        return value
    found = read_choice(name.partition(".")[0], value)
    if found is None:
        raise ValueError(f"{value} cannot be drawn; leave it out")
    if isinstance(found, list):
        raise ValueError(f"{value} is a list; an axis by stage (by_stage = true) draws one value for each stage")
    return found


def _leaves(name: str, values: tuple[Any, ...]) -> dict[str, Column]:
    """What each value sets each leaf to. What is not a choice of the grammar has the axis's own name as its leaf."""
    if name in LINEAR or name == "stages":
        return {name: np.array(values)}
    flat = [flatten(name, value) for value in values]
    leaves = sorted({leaf for each in flat for leaf in each})
    return {leaf: np.array([each.get(leaf, fill(leaf)) for each in flat]) for leaf in leaves}


def _word(value: Any) -> Any:
    return name_of(value) if isinstance(value, msgspec.Struct) else "none" if value is None else value


def _fulfilling(parent: str, axis: ResolvedAxis, wanted: tuple[Any, ...]) -> Mask:
    """Which values of an axis are among `wanted`, as written or by the name of the element."""
    if not wanted:
        raise ValueError(f"depends on {parent}=[], which lists no value; give at least one")
    found = np.zeros(len(axis.values), bool)
    for want in wanted:
        hits = [want in (raw, _word(value)) for raw, value in zip(axis.written, axis.values, strict=True)]
        if not any(hits):
            known = dict.fromkeys(str(_word(value)) for value in axis.values)
            raise ValueError(
                f"depends on {parent}={want}, but {parent} never has that value{suggest(str(want), known)}"
            )
        found |= np.array(hits)
    return found


def _check_drawn(name: str, resolved: Mapping[str, ResolvedAxis]) -> None:
    """Raises ValueError if the conditions of the axis and of the axes it depends on cannot hold together."""
    possible: dict[str, Mask] = {}
    waiting = [name]
    while waiting:
        for parent, allowed in resolved[waiting.pop()].allowed.items():
            source = resolved[parent].same or parent
            possible[source] = possible.get(source, allowed) & allowed
            waiting.append(parent)
            if not possible[source].any():
                raise ValueError(
                    f"is never drawn: its conditions require different values of {source!r}; leave one out"
                )


def _check_has_field(
    name: str, allowed: Mapping[str, Mask], earlier: Mapping[str, ResolvedAxis], base: Choices
) -> None:
    """Raises ValueError if the element that the axis edits lacks the field somewhere the axis is drawn."""
    owner = max((other for other in earlier if name.startswith(f"{other}.")), key=len, default=name.partition(".")[0])
    if name in BOTTLENECK_ONLY:
        owner = "block"
    elif owner == name or name in LINEAR:
        return
    fields = () if owner == "block" else name[len(owner) + 1 :].split(".")
    if owner in earlier:
        _check_unsaid(owner, name[len(owner) + 1 :], earlier[owner], allowed.get(owner))
    for element in _possible(owner, allowed, earlier, base):
        here: Any = element
        lacking = element == "basic" and owner == "block"
        for field in fields:
            if field.isdigit() and isinstance(here, tuple):
                here = here[int(field)]
            elif isinstance(here, msgspec.Struct) and field in here.__struct_fields__:
                here = getattr(here, field)
            else:
                lacking = True
                break
        if lacking:
            have = "values of it that have one" if owner in earlier else f"an axis {owner!r}, which is to be added"
            raise ValueError(
                f"{owner}={_word(element)} has no {name.rpartition('.')[2]}; make it conditional (when) on {have}"
            )


def _check_unsaid(owner: str, field: str, axis: ResolvedAxis, allowed: Mask | None) -> None:
    """Raises ValueError if a value of `owner` sets the field itself, where the axis of the field would change it."""
    for index, text in enumerate(axis.written):
        drawn = allowed is None or allowed[index]
        if drawn and isinstance(text, str) and field in fields_named(Reader(text).whole()):
            raise ValueError(f"{owner}={text} says {field} itself; leave it out there, or make this axis conditional")


def _possible(
    choice: str, allowed: Mapping[str, Mask], earlier: Mapping[str, ResolvedAxis], base: Choices
) -> list[Any]:
    """The values that a choice can have where `allowed` holds."""
    own = base.get(choice)
    unchanged = own if isinstance(own, list) else [own]
    if choice not in earlier:
        return unchanged
    axis = earlier[choice]
    if choice in allowed:
        return [value for value, fits in zip(axis.values, allowed[choice], strict=True) if fits]
    return [*axis.values, *(unchanged if axis.allowed else ())]
