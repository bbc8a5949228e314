"""Networks as flat numbers: each choice of the grammar is split into *leaves*, and each leaf of many networks is a
column.

A leaf is a path such as `depths`, `mixer` (a code for its kind), `mixer.radix`, `mixer.inner.groups` or
`stem.widths.0`. Words become their index in `words_at`, booleans 0 and 1. None becomes 0, which no optional number of
the grammar may be. A leaf that an element does not have is filled with a default, so arithmetic on it is safe.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin

import msgspec

from dorsal.language.fields import check_fields
from dorsal.language.reader import suggest
from dorsal.spec.block import Basic, Block, Bottleneck, name_of
from dorsal.spec.check import check_number
from dorsal.spec.network import Network
from dorsal.spec.stage import Head, Stage
from dorsal.spec.text import PER_STAGE, TYPES, words_of

Number = int | float

_TYPES: dict[str, Any] = {**TYPES, "block": Block, "image_size": int}
_LEAST = {"classes": 0}
"""The smallest value of whole numbers, by path; 1 for all others."""

MAX_NUMBER = 2**20


def is_by_stage(path: str) -> bool:
    """Whether a leaf has a value for each stage."""
    return path.partition(".")[0] in PER_STAGE


def may_be_none(path: str) -> bool:
    """Whether None is a valid value at a path."""
    return type(None) in _members(type_at(path))


@cache
def type_at(path: str) -> Any:
    """The annotated type of the grammar at a path. ValueError with near matches for a path that does not exist."""
    choice, *fields = path.split(".")
    if choice not in _TYPES:
        raise ValueError(f"{path}: unknown choice {choice!r} of a network{suggest(choice, _TYPES)}")
    kind = _TYPES[choice]
    for field in fields:
        found = _fields(kind)
        check_fields([field], found, f"{choice} in {path}")
        kind = found[field]
    return kind


def _fields(kind: Any) -> dict[str, Any]:
    """Names and types one step below a type: the fields of all its members, or the positions of a tuple."""
    if get_origin(kind) is tuple:
        return {str(index): member for index, member in enumerate(get_args(kind))}
    members = reversed(_elements(kind))
    return {field.name: field.type for member in members for field in msgspec.structs.fields(member)}


def _members(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)


def _elements(kind: Any) -> list[type[msgspec.Struct]]:
    """The structs of a union."""
    return [member for member in _members(kind) if isinstance(member, type) and issubclass(member, msgspec.Struct)]


@cache
def words_at(path: str) -> tuple[str, ...]:
    """The words behind the codes at a path. Empty for a leaf that is a number."""
    return words_of(type_at(path))


def flatten(path: str, value: Any) -> dict[str, Number]:
    """The leaves of a value at a path. ValueError for a number that no network can have there."""
    if isinstance(value, msgspec.Struct):
        leaves: dict[str, Number] = {path: words_at(path).index(name_of(value))}
        if path == "block":
            return leaves
        for field in value.__struct_fields__:
            leaves |= flatten(f"{path}.{field}", getattr(value, field))
        return leaves
    if isinstance(value, tuple):
        return {key: n for i, item in enumerate(value) for key, n in flatten(f"{path}.{i}", item).items()}
    return {path: _encode(path, value)}


def _encode(path: str, value: Any) -> Number:
    words = words_at(path)
    if words:
        return words.index("none" if value is None else value)
    if value is None:
        return 0
    _check_range(path, value)
    return value if isinstance(value, float) else int(value)


def _check_range(path: str, value: Number) -> None:
    check_number(path, value)
    least = _LEAST.get(path, 1)
    if type_at(path) in (int, int | None) and value < least:
        raise ValueError(f"{path}={value} is below {least}; nearest valid: {least}")
    if value > MAX_NUMBER:
        raise ValueError(f"{path}={value} is above {MAX_NUMBER}, the most that costs are counted for")


@cache
def fill(path: str) -> Number:
    """The value of a leaf whose element does not have it: the default of an element that has."""
    parent, _, field = path.rpartition(".")
    if not parent:
        return 0 if words_at(path) else 1
    if field.isdigit():
        return 1
    for member in _elements(type_at(parent)):
        if field in member.__struct_fields__:
            default = getattr(member(), field)
            return flatten(path, default).get(path, 1)
    raise ValueError(f"{path} is no leaf of the grammar")


def unflatten(path: str, leaf: Callable[[str], Number]) -> Any:
    """The value at a path, from its leaves as `leaf` returns them."""
    kind = type_at(path)
    if get_origin(kind) is tuple:
        return tuple(int(leaf(f"{path}.{index}")) for index in range(len(get_args(kind))))
    words = words_at(path)
    if words:
        word = words[int(leaf(path))]
        if get_origin(kind) is Literal:
            return word
        member = next((member for member in _elements(kind) if name_of(member) == word), None)
        fields = member.__struct_fields__ if member else ()
        return member(**{field: unflatten(f"{path}.{field}", leaf) for field in fields}) if member else None
    value = leaf(path)
    if kind is bool:
        return bool(value)
    if kind == int | None and value == 0:
        return None
    return float(value) if kind is float or value != int(value) else int(value)


def network_of(leaf: Callable[[str, int], Number], stages: int) -> Network:
    """The network with the leaves `leaf(path, stage)`. Leaves of the whole network are asked for stage 0.

    Raises ValueError if the combination cannot exist.
    """

    def build(choice: str, stage: int = 0) -> Any:
        return unflatten(choice, lambda path: leaf(path, stage))

    def block(stage: int) -> Block:
        kind = Basic if words_at("block")[int(leaf("block", stage))] == "basic" else Bottleneck
        return kind(**{field: build(field, stage) for field in kind.__struct_fields__})

    return Network(
        stages=tuple(
            Stage(
                depth=build("depths", stage),
                width=build("widths", stage),
                stride=build("strides", stage),
                dilation=build("dilations", stage),
                block=block(stage),
                arrangement=build("arrangement", stage),
            )
            for stage in range(stages)
        ),
        stem=build("stem"),
        head=Head(build("classes"), build("head_width")),
        activation=build("activation"),
        norm=build("norm"),
        in_channels=build("in_channels"),
    )
