"""Structs as text: fields read from the arguments of a call, and values shown as they are read."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import msgspec

from dorsal.language.reader import Call, suggest

_TYPES: dict[Any, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
_LISTS = {int: "a list of whole numbers", float: "a list of numbers", str: "a list of texts"}


def show(value: Any) -> str:
    """A value as text that `Reader` reads: `[32, 64]`, `none`, `split_attention(radix=1)`.

    A struct is shown as its tag and the fields that differ from their defaults.
    """
    match value:
        case None:
            return "none"
        case bool():
            return str(value).lower()
        case list() | tuple():
            return f"[{', '.join(map(show, value))}]"
        case Call():
            arguments = ", ".join(f"{key}={show(argument)}" for key, argument in value.arguments.items())
            return f"{value.name}({arguments})" if arguments else value.name
        case msgspec.Struct():
            defaults = type(value)()
            given = [
                f"{field}={show(getattr(value, field))}"
                for field in value.__struct_fields__
                if getattr(value, field) != getattr(defaults, field)
            ]
            name = str(value.__struct_config__.tag)
            return f"{name}({', '.join(given)})" if given else name
        case _:
            return str(value)


def check_fields(given: Iterable[str], fields: Collection[str], of: str) -> None:
    """Raises ValueError with near matches if one of `given` is not among `fields`. `of` is what has the fields."""
    for field in given:
        if field not in fields:
            raise ValueError(f"unknown field {field!r} of {of}{suggest(field, fields)}")


def check_word(field: str, value: Any, words: tuple[str, ...]) -> None:
    """Raises ValueError with near matches if `value` is not one of `words`."""
    if value not in words:
        raise ValueError(f"{field}={show(value)} is not known{suggest(str(value), words)}")


def read_fields(given: Mapping[str, Any], kind: type[msgspec.Struct], of: str, name_field: str = "") -> dict[str, Any]:
    """The arguments of a `Call`, or plain data from TOML or JSON, as values of fields of `kind`.

    Fields that are left out stay out. The struct is not made, so rules between its fields are not checked. `of` is what
    messages call it, e.g. "a recipe". `name_field` is a field that the name before the brackets gives; it cannot be an
    argument.

    Raises ValueError for an unknown field or word, with near matches, and for a value of another type.
    """
    types = {field.name: field.type for field in msgspec.structs.fields(kind) if field.name != name_field}
    check_fields(given, types, of)
    values = {}
    for field, node in given.items():
        value = _plain(field, node)
        words = _words_of(types[field])
        # Before msgspec, as its error does not name the nearest word.
        if words and (isinstance(value, str) or get_origin(types[field]) is Literal):
            check_word(field, value, words)
        elif value == "none" and type(None) in get_args(types[field]):
            value = None
        values[field] = convert(field, value, types[field])
    return values


def _words_of(kind: Any) -> tuple[str, ...]:
    """The words that a type takes, alone or beside numbers."""
    literals = [each for each in (kind, *get_args(kind)) if get_origin(each) is Literal]
    return tuple(word for each in literals for word in get_args(each))


def builtins_of(value: Any) -> Any:
    """Numbers and arrays of NumPy and torch as Python's, and tuples, sets and ranges as lists, at any depth."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return [builtins_of(each) for each in value] if isinstance(value, (list, tuple, set, frozenset, range)) else value


def convert(field: str, value: Any, kind: Any, *, text: bool = False, quoted: bool = False) -> Any:
    """Plain data as a value of the annotated type `kind`. With `text`, numbers may be written as texts.

    Raises ValueError naming the field, and the value as a text has it, or `quoted` as Python has it.
    """
    try:
        return msgspec.convert(value, kind, strict=not text)
    except msgspec.ValidationError as error:
        what = kind_name(kind)
        given = repr(value) if quoted and isinstance(value, str) else show(value)
        raise ValueError(f"{field}={given} is not {what}" if what else f"{field}: {error}") from None


def kind_name(kind: Any) -> str:
    """What values of a type are called in a sentence, "" where there is no short word for it."""
    if get_origin(kind) is tuple:
        return _LISTS.get(get_args(kind)[0], "")
    if get_origin(kind) is dict:
        return "a mapping of names to texts" if get_args(kind) == (str, str) else "a mapping"
    if get_origin(kind) in (Union, UnionType):
        kinds = get_args(kind)
        names = [kind_name(each) for each in kinds if each is not type(None) and not (each is int and float in kinds)]
        return " or ".join(names) if all(names) else ""
    return _TYPES.get(kind, "")


def _plain(field: str, node: Any) -> Any:
    """Parsed text as builtins."""
    if isinstance(node, list):
        return [_plain(field, item) for item in node]
    if not isinstance(node, Call):
        return node
    if node.arguments:
        raise ValueError(f"{field}={node.name}(…) is not known: {node.name} takes no arguments")
    return {"true": True, "false": False}.get(node.name, node.name)
