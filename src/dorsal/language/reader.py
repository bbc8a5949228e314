"""Reads the text form `word(key=value, …)`: words with arguments, lists and numbers; suggests for misspelt words."""

from __future__ import annotations

import operator
import re
import reprlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import msgspec

Value = TypeVar("Value")

_MOST_LISTED = 24
_CLOSING = {"(": ")", "[": "]"}


def suggest(word: str, known: Iterable[str], see: str = "", aliases: Iterable[str] = ()) -> str:
    """How an error message about a misspelt word ends: with the words that were probably meant, or with all `known`.

    A word that begins dotted names stands for them. `aliases` may have been meant too, and are not counted. `see` is
    the command that lists a long `known`; the message then names the command and not the words.
    """
    import difflib  # only for messages: `dorsal list` starts without it

    names = list(known)
    begun = [name for name in names if name.startswith(f"{word}.")]
    near = begun[:3] or difflib.get_close_matches(word.lower(), [*names, *aliases], n=3, cutoff=0.6)
    if near:
        return f"; did you mean {' or '.join(near)}?"
    if see and len(names) > _MOST_LISTED:
        return f"; there are {len(names):,}, see `{see}`"
    return f"; valid: {', '.join(names)}" if names else "; there are none"


def wrong_type(argument: str, value: object, valid: str) -> TypeError:
    """The error for an argument of a type that a function does not take. `valid` says what it must be.

    A value of the right type that cannot be is a ValueError.
    """
    return TypeError(f"{argument}={reprlib.repr(value)} is of type {type(value).__name__}; it must be {valid}")


def whole_number(argument: str, value: Any) -> int:
    """The value as Python's int; NumPy's are taken, and 1e9. Raises TypeError for anything else."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    try:
        return operator.index(value)
    except TypeError:
        raise wrong_type(argument, value, "a whole number") from None


class Call(msgspec.Struct, frozen=True):
    """A word of the text with its arguments."""

    name: str
    arguments: dict[str, Any]


def fields_named(value: Any, path: str = "") -> Iterator[str]:
    """Every field that a read text names, at any depth: `radix`, `inner`, `inner.radix`."""
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, Call):
            for field, inner in each.arguments.items():
                yield f"{path}{field}"
                yield from fields_named(inner, f"{path}{field}.")


def closed(text: str) -> str:
    """The text with each bracket closed once, and nothing after the last comma."""
    written = ""
    still_open: list[str] = []
    for letter in text:
        if letter in _CLOSING:
            still_open.append(_CLOSING[letter])
        if letter in ")]":
            written += still_open.pop() if still_open else ""
        else:
            written += letter
    return (written.rstrip(", ") if still_open else written) + "".join(reversed(still_open))


def read_closed(text: str, read: Callable[[str], Value]) -> Value:
    """What `read` makes of the text. Where it fails and the text leaves brackets open, the error ends in the text with
    these closed, if that can be read."""
    try:
        return read(text)
    except ValueError as error:
        whole = closed(text)
        if whole == text or not reads(whole, read):
            raise
        raise ValueError(f"{error}; try: {whole}") from None


def reads(text: str, read: Callable[[str], object]) -> bool:
    """Whether `read` takes the text."""
    try:
        read(text)
    except ValueError:
        return False
    return True


_TOKEN = re.compile(
    r"\s*(?:(?P<number>-?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w.]))|(?P<word>[\w.:+-]+)|(?P<mark>[()\[\],=]))"
)


class Reader:
    """Recursive-descent reader of `word(key=value, …)`, lists and numbers."""

    def __init__(self, text: str) -> None:
        self.text, self.position = text, 0

    def whole(self) -> Any:
        """The value that the whole text spells."""
        value = self.value()
        self._end()
        return value

    def named(self) -> Call:
        """The whole text as `name(key=value, …)` where the name is any text, e.g. the path of a folder.

        The last bracket that opens begins the arguments, so they cannot hold calls.
        """
        name, bracket, _ = self.text.rpartition("(") if "(" in self.text else (self.text, "", "")
        self.position = len(name)
        arguments = self._arguments() if bracket else {}
        self._end()
        return Call(name.strip(), arguments)

    def fields(self) -> dict[str, Any]:
        """The whole text as `key=value, …`, without a name and brackets."""
        fields = self._fields()
        self._end()
        return fields

    def value(self) -> Any:
        """A number, a list, or a word with or without arguments."""
        kind, token = self._next()
        if kind == "number":
            return float(token) if set(token) & set(".eE") else int(token)
        if kind == "word":
            return Call(token, self._arguments() if self._peek()[1] == "(" else {})
        if token == "[":
            return self._list()
        self.position -= len(token)
        raise self._error("a value")

    def _list(self) -> list[Any]:
        items: list[Any] = []
        while self._peek()[1] != "]":
            if items:
                self._expect(",")
            items.append(self.value())
        self._expect("]")
        return items

    def _arguments(self) -> dict[str, Any]:
        self._expect("(")
        arguments = self._fields()
        self._expect(")")
        return arguments

    def _fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        while self._peek()[1] not in (")", ""):
            if fields:
                self._expect(",")
            kind, key = self._next()
            if kind != "word":
                self.position -= len(key)
                raise self._error("a field name")
            self._expect("=")
            if key in fields:
                raise ValueError(f"{key} is given twice in {self.text!r}; leave one out")
            fields[key] = self.value()
        return fields

    def _end(self) -> None:
        if self._peek()[0] is not None:
            raise self._error("the end")

    def _match(self) -> re.Match[str] | None:
        return _TOKEN.match(self.text, self.position)

    def _peek(self) -> tuple[str | None, str]:
        match = self._match()
        if match is None:
            return (None, "") if not self.text[self.position :].strip() else ("other", self.text[self.position :])
        return match.lastgroup, match[match.lastgroup or 0]

    def _next(self) -> tuple[str | None, str]:
        kind, token = self._peek()
        match = self._match()
        if match is not None:
            self.position = match.end()
        return kind, token

    def _expect(self, mark: str) -> None:
        if self._peek()[1] != mark:
            raise self._error(f"{mark!r}")
        self._next()

    def _error(self, wanted: str) -> ValueError:
        rest = self.text[self.position :].strip()
        found = f"{rest[:20]!r}" if rest else "the end"
        return ValueError(
            f"cannot read {self.text!r}: expected {wanted} at character {self.position + 1}, found {found}"
        )
