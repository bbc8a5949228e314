"""What people can set, said once: meaning, limits, and how the command line spells it.

A field of a struct, or a parameter of a verb's function, is written as

    threads: Annotated[int, option("Threads of each worker.", least=1)] = 1

The option of the command line with its help, the check of the value, the docstring and the command that asks the same
question again all come from that line.
"""

from __future__ import annotations

import functools
import inspect
import os
import textwrap
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import msgspec

from dorsal.language.fields import builtins_of, check_word, convert
from dorsal.language.files import at_home
from dorsal.language.reader import wrong_type

Kind = TypeVar("Kind", bound=type[msgspec.Struct])


def option(
    meaning: str,
    *,
    name: str = "",
    metavar: str = "",
    least: float | None = None,
    argument: bool = False,
    path: bool = False,
    free: bool = False,
    own: Mapping[str, str] = {},
    text: Callable[[str, Any], str] | None = None,
) -> msgspec.Meta:
    """What is said of one thing that can be set.

    - `meaning`: one or two short sentences.
    - `name`: the option's name without dashes where it is not the field's. `metavar`: what stands for the value.
    - `least`: the lowest valid number. `argument`: it has no option and is given by its place.
    - `path`: the value may be a path or begin with one, so that `~` in it is the home folder.
    - `free`: the question stays the same whatever it is; only more or less of it is done, or elsewhere.
    - `own`: of a mapping, the keys that have options of their own, with their meanings.
    - `text`: called with the field and a value of Python's that the field's text can name, such as a network; returns
      that text.
    """
    extra = {
        "name": name,
        "metavar": metavar,
        "least": least,
        "argument": argument,
        "path": path,
        "free": free,
        "own": dict(own),
        "text": text,
    }
    return msgspec.Meta(description=meaning, extra=extra)


class Option(msgspec.Struct, frozen=True, kw_only=True):
    """What `option` said, with `field`, its type `kind` and its `default` (`msgspec.NODEFAULT`: one must be given)."""

    field: str
    kind: Any
    default: Any
    meaning: str
    name: str
    metavar: str
    least: float | None
    argument: bool
    path: bool
    free: bool
    own: dict[str, str]
    text: Callable[[str, Any], str] | None

    @property
    def kinds(self) -> tuple[Any, ...]:
        """The types that a value can have, without that of None."""
        kinds = (self.kind,) if get_origin(self.kind) in (None, Literal, tuple, dict) else get_args(self.kind)
        return tuple(kind for kind in kinds if kind is not type(None))

    @property
    def item(self) -> Any:
        """The type of the items of a list, or of the value itself."""
        first = self.kinds[-1]
        return get_args(first)[0] if get_origin(first) is tuple else first

    @property
    def shown_default(self) -> str:
        """The default as a user would write it, or "" where there is nothing to show."""
        if self.default in (None, "", (), {}, False, msgspec.NODEFAULT):
            return ""
        return ", ".join(map(str, self.default)) if isinstance(self.default, tuple) else str(self.default)

    def checked(self, value: Any) -> Any:
        """The value as the struct holds it: lists are tuples, `~` is the home folder, and networks and the like texts.

        Raises ValueError naming the field, the value and what would be valid.
        """
        value = builtins_of(value)
        if get_origin(self.kind) is tuple and not isinstance(value, list):
            value = [value]
        value = [self._as_text(each) for each in value] if isinstance(value, list) else self._as_text(value)
        if self.path and value is not None:
            value = tuple(map(_with_home, value)) if isinstance(value, tuple | list) else _with_home(value)
        if get_origin(self.item) is Literal:  # before msgspec, which knows no near matches
            for word in value if isinstance(value, tuple | list) else (value,):
                if word is not None:
                    check_word(self.field, word, get_args(self.item))
        value = convert(self.field, value, self.kind, quoted=True)
        if value in ("", ()) and self.default not in ("", ()):
            rest = "" if self.default is msgspec.NODEFAULT else " or leave it out for the default"
            raise ValueError(f"{self.field} is empty; name at least one{rest}")
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, float) and not isfinite(part):
                raise ValueError(f"{self.field}={part} is not a finite number")
            if self.least is not None and part is not None and part < self.least:
                raise ValueError(f"{self.field}={part} is below {self.least}; nearest valid: {self.least}")
            if isinstance(part, str):
                _check_text(self.field, part)
        return value

    def _as_text(self, value: Any) -> Any:
        """A value as the text that names it; what a file can hold stays as it is, for `convert` to judge."""
        if value is None or isinstance(value, (str, bool, int, float, list, dict)):
            return value
        if self.text is not None:
            return self.text(self.field, value)
        if self.path and not isinstance(value, os.PathLike):
            raise wrong_type(self.field, value, "a path")
        return value


def read_option(field: str, annotation: Any, default: Any) -> Option | None:
    """What is said of a field or parameter with this annotation; None where nothing is."""
    if get_origin(annotation) is not Annotated:
        return None
    kind, *said = get_args(annotation)
    for meta in said:
        if isinstance(meta, msgspec.Meta) and meta.extra is not None:
            rest = {**meta.extra, "name": meta.extra["name"] or field.replace("_", "-")}
            return Option(field=field, kind=kind, default=default, meaning=meta.description or "", **rest)
    return None


@functools.cache
def options_of(kind: type[msgspec.Struct]) -> tuple[Option, ...]:
    """The options of a struct's fields: its own first, then those of the struct that it extends."""
    found: dict[str, Option] = {}
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    for each in kind.__mro__:
        for name in inspect.get_annotations(each):
            if name in fields and name not in found:
                field = fields[name]
                made = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
                if said := read_option(name, field.type, made):
                    found[name] = said
    return tuple(found.values())


def check_options(asked: msgspec.Struct) -> None:
    """Checks every option of a struct that is just being made, and sets each to what `Option.checked` returns.

    Raises ValueError naming the field, the value and what would be valid.
    """
    for each in options_of(type(asked)):
        msgspec.structs.force_setattr(asked, each.field, each.checked(getattr(asked, each.field)))


def described(kind: Kind) -> Kind:
    """Ends the docstring of a struct with what each of its options means."""
    lines = []
    for each in options_of(kind):
        default = f" Default: {each.shown_default}." if each.shown_default else ""
        told = f"- `{each.field}`: {each.meaning}{default}"
        lines.append(textwrap.fill(told, 116, initial_indent="    ", subsequent_indent="      "))
    kind.__doc__ = "\n".join([(kind.__doc__ or "").rstrip(), "", *lines, "    "])
    return kind


def _with_home(value: Any) -> Any:
    """A path, or a text that begins with one, also after `label=`, with the home folder for `~`."""
    text = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(text, str) or "~" not in text:
        return text
    label, labelled, rest = text.partition("=~")
    return f"{label}={at_home(f'~{rest}')}" if labelled else at_home(text)


def _check_text(field: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"{field}={text!r} is not UTF-8, so that no file could record it; give it another name"
        ) from None
