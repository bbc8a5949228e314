"""A short name for a value, which stays the same while its type grows. No torch."""

from __future__ import annotations

import functools
from typing import Any

import msgspec


def digest(value: msgspec.Struct) -> str:
    """16 hexadecimal digits from the fields of a frozen struct that are not at their defaults.

    A field added later, with a default, changes no digest of a value that does not use it. The struct's own tag does
    not count, tags of structs inside it do. 1 and 1.0 are equal.
    """
    import hashlib  # only here: `dorsal list` starts faster without it

    given = _given(value)
    given.pop("type", None)
    return hashlib.sha256(msgspec.json.encode(given, order="deterministic")).hexdigest()[:16]


def _given(value: Any) -> Any:
    """Plain data of everything that is not at its default."""
    if isinstance(value, tuple):
        return [_given(item) for item in value]
    if not isinstance(value, msgspec.Struct):
        return int(value) if isinstance(value, float) and value.is_integer() else value
    tag = value.__struct_config__.tag
    fields = [(name, getattr(value, name), default) for name, default in _defaults(type(value)).items()]
    given = {name: _given(found) for name, found, default in fields if found != default}
    return {"type": tag, **given} if tag else given


@functools.cache
def _defaults(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """The default of every field. Cached, since reading the fields takes longer than hashing a network."""
    return {field.name: field.default for field in msgspec.structs.fields(kind)}
