"""What every question of a study shares: its form as TOML and as a command, its seeds, its place. No torch."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from dorsal.jobs.resources import resources_of
from dorsal.jobs.store import without_password
from dorsal.language.amounts import read_duration
from dorsal.language.reader import suggest
from dorsal.spec.cost import COSTS

_MOST_SEEDS = 10_000

Question = TypeVar("Question", bound=msgspec.Struct)
Seeds = int | tuple[int, ...]


def from_toml(text: str, kind: type[Question], what: str) -> Question:
    """A question of this kind from TOML with its fields as keys; `what` names it in errors ("a comparison").

    Raises ValueError with what a syntax error is, for an unknown field with suggestions, or for a wrong value.
    """
    try:
        fields = msgspec.toml.decode(text, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise ValueError(f"not a TOML file: {error}") from None
    for field in fields:
        if field not in kind.__struct_fields__:
            raise ValueError(f"unknown field {field!r} of {what}{suggest(field, kind.__struct_fields__)}")
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        raise ValueError(f"not {what}: {error}") from None


def to_toml(question: msgspec.Struct) -> str:
    """The question as TOML, without the fields that are None."""
    fields: dict[str, Any] = msgspec.to_builtins(question)
    return msgspec.toml.encode({key: value for key, value in fields.items() if value is not None}).decode()


def command(verb: Sequence[str], question: msgspec.Struct, default: msgspec.Struct, renamed: Mapping[str, str]) -> str:
    """The command that asks the same: `verb`, the first field as arguments, the others as options where they differ
    from `default`. An option is called as its field, or as `renamed` says. A storage's password is hidden."""
    first, *rest = question.__struct_fields__
    words = [*verb, *getattr(question, first)]
    for field in rest:
        value = getattr(question, field)
        if value == getattr(default, field):
            continue
        option = f"--{renamed.get(field, field).replace('_', '-')}"
        match value:
            case dict():
                for key, part in value.items():
                    words += [f"--{key}", part] if key in COSTS else ["--bound", f"{key}={part}"]
            case tuple() if field == "seeds":  # one seed is listed as `7,`: 7 alone is how many
                words += [option, ",".join(map(str, value)) + "," * (len(value) == 1)]
            case (int(), *_):
                words += [option, ",".join(map(str, value))]
            case tuple():
                words += [word for part in value for word in (option, str(part))]
            case _:
                words += [option, without_password(value) if field == "storage" else str(value)]
    return shlex.join(words)


def check_asked(asked: Any, *, least: Mapping[str, int], given: Sequence[str]) -> None:
    """Checks what all questions have: fields that are numbers of at least so much or None, fields that may not be
    empty, the seeds, where runs are made, and the budget if there is one.

    Raises ValueError naming the field, its value and what it must be.
    """
    for field, lowest in least.items():
        value = getattr(asked, field)
        if value is not None and value < lowest:
            raise ValueError(f"{field}={value} is below {lowest}; nearest valid: {lowest}")
    for field in given:
        if not getattr(asked, field):
            raise ValueError(f"{field} is empty; leave it out for the default or name at least one")
    seed_list(asked.seeds)
    resources_of(asked)
    budget = getattr(asked, "budget", None)
    if budget is not None:
        read_duration(budget)


def seed_list(seeds: Seeds) -> tuple[int, ...]:
    """The seeds themselves, where they are given as how many of 1, 2, 3, …

    Raises ValueError for none, for more than anyone runs, for one out of range, and for one that is there twice.
    """
    if isinstance(seeds, int) and seeds > _MOST_SEEDS:
        raise ValueError(f"seeds={seeds} is more than {_MOST_SEEDS}; nearest valid: {_MOST_SEEDS}")
    listed = tuple(range(1, seeds + 1)) if isinstance(seeds, int) else seeds
    if not listed:
        raise ValueError(f"seeds={seeds} leaves nothing to run; nearest valid: 1")
    for seed in listed:
        if not 0 <= seed < 2**31:
            raise ValueError(f"seeds: {seed} must be at least 0 and below 2**31")
        if listed.count(seed) > 1:
            raise ValueError(f"seeds: {seed} is given twice; each seed is run once")
    return listed
