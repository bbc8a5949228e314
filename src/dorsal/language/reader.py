"""Reads the text form `word(key=value, …)`: words with arguments, lists and numbers; suggests for misspelt words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec


def suggest(word: str, known: Iterable[str], most: int = 24) -> str:
    """The end of an error message: near matches for a misspelt word, or when nothing is near all that is known, where
    that is not more than `most`."""
    import difflib  # only for messages: `dorsal list` starts without it

    names = list(known)
    near = difflib.get_close_matches(word.lower(), names, n=3, cutoff=0.6)
    if near:
        return f"; did you mean {' or '.join(near)}?"
    return f"; valid: {', '.join(names)}" if len(names) <= most else f"; there are {len(names)}, see `dorsal list`"


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


_TOKEN = re.compile(
    r"\s*(?:(?P<number>-?\d+\.?\d*(?:[eE][-+]?\d+)?(?![\w.]))|(?P<word>[\w.:+-]+)|(?P<mark>[()\[\],=]))"
)


class Reader:
    """Recursive-descent reader of `word(key=value, …)`, lists and numbers."""

    def __init__(self, text: str) -> None:
        self.text, self.position = text, 0

    def whole(self) -> Any:
        """The value that the whole text spells."""
        value = self.value()
        if self._peek()[0] is not None:
            raise self._error("the end")
        return value

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
        arguments: dict[str, Any] = {}
        self._expect("(")
        while self._peek()[1] != ")":
            if arguments:
                self._expect(",")
            kind, key = self._next()
            if kind != "word":
                self.position -= len(key)
                raise self._error("a field name")
            self._expect("=")
            if key in arguments:
                raise ValueError(f"{key} is given twice in {self.text!r}")
            arguments[key] = self.value()
        self._expect(")")
        return arguments

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
