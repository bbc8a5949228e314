"""Finds a valid network text close to an invalid one, to end an error message with.

It is found by trial: the text is changed in one way after another, small changes first, until it reads as a network.
So no rule of the grammar is said here again.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import islice
from math import log2
from typing import Any

import msgspec

from dorsal.language.fields import show
from dorsal.language.reader import Call, Reader, closed, reads
from dorsal.spec.network import Network
from dorsal.spec.text import CHOICES, ELEMENTS, PER_STAGE, WORDS, choices_of, words_of

_ALL_WORDS = {
    *("none", "true", "false"),
    *(word for words in WORDS.values() for word in words),
    *(word for kind in ELEMENTS.values() for field in msgspec.structs.fields(kind) for word in words_of(field.type)),
}
_SHARES = (0.0625, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0)
_MOST_TRIED = 2_000


def nearest_text(text: str, read: Callable[[str], Network], names: Collection[str]) -> str:
    """A text near this one that `read` takes, "" where none is found.

    `names` are those of networks, for a name that is misspelt.
    """
    try:
        call = Reader(_readable(text)).whole()
        if not isinstance(call, Call):
            return ""
        name = call.name if reads(call.name, read) else _near_name(call.name, names)
        base = read(name)
    except ValueError:
        return ""
    spelt = {_near(key, CHOICES): _spelt(value, _near(key, CHOICES)) for key, value in call.arguments.items()}
    starts = {show(start): start for start in _starts(Call(name, spelt), base)}.values()
    changes: tuple[Callable[[Call], Iterable[Call]], ...] = (
        lambda call: [call],
        lambda call: _inside(call, _near_values),
        lambda call: _with_more(call, base),
        lambda call: _inside(call, _with_less),
        _with_other_words,
        _with_less,
    )
    tried = (show(found) for change in changes for start in starts for found in change(start))
    return next((found for found in islice(tried, _MOST_TRIED) if reads(found, read)), "")


def answer(error: ValueError, near: str) -> ValueError:
    """The error about a text, ending in a text near it where there is one."""
    said = str(error).partition("; try: ")[0]
    return ValueError(f"{said}{' ' if said.endswith('?') else '; '}try: {near}" if near else said)


def _readable(text: str) -> str:
    """The text without quotes and choices without a value, each bracket closed once."""
    return closed(re.sub(r"['\"]|[\w.]+\s*=\s*(?=[,)\]]|$)", "", text))


def _near_name(word: str, names: Collection[str]) -> str:
    """The closest known name. For an unpublished small depth such as resnest18: the family's small form."""
    family = word.lower().rstrip("0123456789")
    depth = word[len(family) :]
    small = f"{family}_small" in names and f"{family}18" not in names and depth and int(depth) < 50
    return f"{family}_small" if small else _near(word, names)


def _near(word: str, known: Collection[str]) -> str:
    """The known word that was probably meant, or the word itself."""
    return word if word in known else next(iter(difflib.get_close_matches(word.lower(), known, n=1)), word)


def _spelt(node: Any, choice: str) -> Any:
    """The value of a choice with its words as the grammar spells them."""
    if isinstance(node, list):
        return [_spelt(item, choice) for item in node]
    if not isinstance(node, Call):
        return node
    name = _near(node.name, WORDS.get(choice, _ALL_WORDS))
    fields = ELEMENTS[name].__struct_fields__ if name in ELEMENTS else ()
    return Call(name, {_near(key, fields): _spelt(value, "") for key, value in node.arguments.items()})


def _starts(call: Call, base: Network) -> Iterator[Call]:
    """The call, also with lists as long as there are stages, and with the block that has every choice."""
    yield call
    values = choices_of(base)
    lists = {key: value for key, value in call.arguments.items() if key in PER_STAGE and isinstance(value, list)}
    counts = [len(lists[key]) for key in ("depths", "widths") if lists.get(key)] or [len(base.stages)]
    for count in dict.fromkeys(counts):
        own = {key: _read(values[key]) for key in PER_STAGE if isinstance(values[key], list)}
        fitted = {key: [*value, *value[-1:] * count][:count] for key, value in (own | lists).items()}
        kept = {key: value for key, value in fitted.items() if key in lists or count != len(base.stages)}
        yield Call(call.name, call.arguments | kept)
    if "block" not in call.arguments:
        yield Call(call.name, {"block": Call("bottleneck", {}), **call.arguments})


def _read(value: Any) -> Any:
    return Reader(show(value)).whole()


def _variants(node: Any, changed: Callable[[Any], Iterable[Any]]) -> Iterator[Any]:
    """The node with itself, or one part of it, as `changed` gives it."""
    yield from changed(node)
    if isinstance(node, list):
        for index, item in enumerate(node):
            yield from ([*node[:index], new, *node[index + 1 :]] for new in _variants(item, changed))
    elif isinstance(node, Call):
        yield from _inside(node, changed)


def _inside(call: Call, changed: Callable[[Any], Iterable[Any]]) -> Iterator[Call]:
    """The call with one part of its arguments as `changed` gives it."""
    for key, value in call.arguments.items():
        yield from (Call(call.name, call.arguments | {key: new}) for new in _variants(value, changed))


def _near_values(node: Any) -> Iterator[Any]:
    """Other numbers, nearest first. In a list, also others for all that are equal, and all of them rounded."""
    if isinstance(node, float):
        yield from sorted(_SHARES, key=lambda share: abs(share - node))
    elif isinstance(node, int):
        near = {*range(max(node - 16, 0), node + 17), *(2**power for power in range(11))}
        yield from sorted(near, key=lambda number: (abs(number - node), number))
    elif isinstance(node, list) and all(isinstance(item, int) for item in node):
        for value in dict.fromkeys(node):
            yield from ([new if item == value else item for item in node] for new in _near_values(value))
        rounded = [[2 ** round(log2(max(item, 1))) for item in node]]
        rounded += [[round(item / step) * step for item in node] for step in (2, 4, 8, 16, 32, 64)]
        for numbers in rounded:
            if all(2 / 3 * item <= number <= 3 / 2 * item for number, item in zip(numbers, node, strict=True)):
                yield numbers


def _with_more(call: Call, base: Network) -> Iterator[Call]:
    """With one choice more, which is the base network's otherwise."""
    for key, words in WORDS.items():
        if key not in call.arguments:
            yield from (Call(call.name, {key: Call(word, {}), **call.arguments}) for word in words)
    for key in ("depths", "widths"):
        if key not in call.arguments:
            values = _near_values(choices_of(base)[key])
            yield from (Call(call.name, {key: value, **call.arguments}) for value in values)


def _with_other_words(call: Call) -> Iterator[Call]:
    """With another word for one choice."""
    for key in call.arguments:
        for word in WORDS.get(key, ()):
            yield Call(call.name, call.arguments | {key: Call(word, {})})


def _with_less(node: Any) -> Iterator[Call]:
    """With one argument less."""
    if isinstance(node, Call):
        for left_out in node.arguments:
            yield Call(node.name, {key: value for key, value in node.arguments.items() if key != left_out})
