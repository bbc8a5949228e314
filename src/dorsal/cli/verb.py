"""A verb as a command of click. Its options come from its question, or from the parameters of its function."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin, get_type_hints

import click
import msgspec

from dorsal.cli.interrupts import STOPPED
from dorsal.language.fields import convert
from dorsal.language.files import at_home, read_text_file
from dorsal.language.options import Option, options_of, read_option

_FILE = "Read the question from a TOML file; options given beside it replace its fields."
_METAVARS: dict[Any, str] = {int: "N", float: "X"}


class Verb(click.Command):
    """A command made of a function. A parameter that is a struct is the verb's question, and every field of it an
    option. Any other parameter is an option, or an argument, by itself.

    `examples` are the lines under "Examples:" that end the function's docstring.
    """

    def __init__(self, name: str, function: Callable[..., None]) -> None:
        text, _, examples = inspect.cleandoc(function.__doc__ or "").partition("\nExamples:\n")
        self.examples = tuple(line.strip() for line in examples.splitlines() if line.strip())
        self.function = function
        self.question: tuple[str, type[msgspec.Struct]] | None = None
        self.asked: tuple[Option, ...] = ()
        self.beside: list[Option] = []
        hints = get_type_hints(function, include_extras=True)
        for parameter in inspect.signature(function).parameters.values():
            hint = hints[parameter.name]
            if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
                self.question, self.asked = (parameter.name, hint), options_of(hint)
                continue
            default = msgspec.NODEFAULT if parameter.default is parameter.empty else parameter.default
            option = read_option(parameter.name, hint, default)
            assert option is not None, f"{name}: {parameter.name} does not say what it means"
            self.beside.append(option)
        params = [param for option in (*self.asked, *self.beside) for param in _params(option)]
        if self.question is not None:
            params.append(click.Option(["question_file", "--file"], multiple=True, metavar="PATH", help=_FILE))
        super().__init__(
            name,
            params=params,
            help=text,
            callback=self._call,
            context_settings={"help_option_names": ["-h", "--help"]},
        )

    def _call(self, question_file: Sequence[str] = (), **given: Any) -> None:
        """Calls the function with what was given. What was not given keeps its default."""
        values = {option.field: option.checked(value) for option, value in _read_all(self.beside, given)}
        if self.question is not None:
            parameter, kind = self.question
            asked = _read_file(_only("--file", question_file), kind) if question_file else {}
            asked |= {option.field: value for option, value in _read_all(self.asked, given) if value != {}}
            _check_complete(self.asked, asked)
            values[parameter] = kind(**asked)
        _check_complete(self.beside, values)
        try:
            self.function(**values)
        except KeyboardInterrupt:  # click would write an empty line
            raise click.exceptions.Exit(STOPPED) from None

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes what the verb does, its examples, each on a line of its own to be copied, and its arguments."""
        super().format_help_text(ctx, formatter)
        with formatter.section("Examples"):
            for example in self.examples:
                formatter.write(f"  {example}\n")
        arguments = [option for option in (*self.asked, *self.beside) if option.argument]
        if arguments:
            with formatter.section("Arguments"):
                formatter.write_dl([(_metavar(option), option.meaning) for option in arguments])


def _params(option: Option) -> Iterator[click.Parameter]:
    """What click has to know of an option. All values come as texts, and None or () where there is none. Options take
    any number of values, as click would pass over all but the last."""
    flags = f"--{option.name}"
    if option.argument:
        metavar = _metavar(option) if option.default is msgspec.NODEFAULT else f"[{_metavar(option)}]"
        yield click.Argument([option.field], nargs=-1 if _is_list(option) else 1, required=False, metavar=metavar)
    elif option.kind is bool:
        flags += f"/--no-{option.name}" if option.default else ""
        yield click.Option([option.field, flags], is_flag=True, default=None, help=option.meaning)
    else:
        for key, meaning in option.own.items():
            name = f"--{key.replace('_', '-')}"
            yield click.Option([_own_name(option, key), name], multiple=True, metavar="RANGE", help=meaning)
        shown = f"  [default: {option.shown_default}]" if option.shown_default else ""
        yield click.Option(
            [option.field, flags], multiple=True, metavar=_metavar(option), help=f"{option.meaning}{shown}"
        )


def _metavar(option: Option) -> str:
    """What stands for the value in help."""
    words = "|".join(get_args(option.item)) if get_origin(option.item) is Literal else ""
    name = option.metavar or words or _METAVARS.get(option.item, "PATH" if _is_path(option.item) else "TEXT")
    return f"{name}..." if option.argument and _is_list(option) else name


def _is_list(option: Option) -> bool:
    return get_origin(option.kind) is tuple and Ellipsis in get_args(option.kind)


def _is_repeatable(option: Option) -> bool:
    """Whether it is one text or several, each given by itself: commas may be part of it."""
    return option.item is str and any(get_origin(kind) is tuple for kind in option.kinds)


def _is_mapping(option: Option) -> bool:
    return get_origin(option.kind) is dict


def _is_path(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, os.PathLike)


def _own_name(option: Option, key: str) -> str:
    return f"{option.field}__{key}"


def _read_all(options: Iterable[Option], given: Mapping[str, Any]) -> Iterator[tuple[Option, Any]]:
    """The value of every option that was given."""
    for option in options:
        own = {key: _only(f"--{key}", texts) for key in option.own if (texts := given[_own_name(option, key)])}
        if _is_mapping(option):
            yield option, _bounds(option, own, given[option.field])
        elif given[option.field] not in (None, ()):
            yield option, _read(option, given)


def _read(option: Option, given: Mapping[str, Any]) -> Any:
    """The value of one option from its text or texts. An option that may be repeated also takes a list with commas."""
    found = given[option.field]
    if option.kind is bool:
        return found
    name = _metavar(option) if option.argument else f"--{option.name}"
    if _is_list(option):
        return tuple(_one(name, part, option.item) for text in found for part in _parts(text, option.item))
    if _is_repeatable(option):
        return found
    if not option.argument:
        found = _only(name, found)
    if any(get_origin(kind) is tuple for kind in option.kinds) and "," in found:
        return tuple(_one(name, part, option.item) for part in _parts(found, option.item))
    literal = get_origin(option.item) is Literal
    return _one(name, found, option.item if literal else option.kind)


def _only(name: str, texts: Sequence[str]) -> str:
    """The value of an option that takes one. Raises ValueError where several are given."""
    if len(texts) > 1:
        raise ValueError(f"{name} is given {len(texts)} times; it takes one value")
    return texts[0]


def _one(name: str, text: str, kind: Any) -> Any:
    for each in (kind, *get_args(kind)):
        if _is_path(each):
            return each(at_home(text))
    if get_origin(kind) is Literal:  # `Option.checked` knows near matches
        return text
    return convert(name, text, kind, text=True)


def _parts(text: str, kind: Any) -> list[str]:
    """The parts of a text between the commas outside its brackets; the text itself where it names a file."""
    if _is_path(kind) or "," not in text or os.path.exists(text):  # noqa: PTH110  # `dorsal list` starts without pathlib
        return [text]
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]


def _bounds(option: Option, own: dict[str, str], others: Iterable[str]) -> dict[str, str]:
    """Values by name, from the options that names have of their own and from NAME=VALUE."""
    found = dict(own)
    for text in others:
        name, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"--{option.name} {text!r} is not of the form {_metavar(option)}, e.g. layers=..60")
        if name in found:
            raise ValueError(f"--{option.name} {text!r}: {name} is given twice")
        found[name] = value
    return found


def _read_file(text: str, kind: type[msgspec.Struct]) -> dict[str, Any]:
    from dorsal.study.question import read_toml

    return read_toml(read_text_file("--file", text), kind)


def _check_complete(options: Iterable[Option], given: Mapping[str, Any]) -> None:
    for option in options:
        if option.default is msgspec.NODEFAULT and option.field not in given:
            name = _metavar(option) if option.argument else f"--{option.name}"
            raise click.UsageError(f"{name} is missing: {option.meaning}", click.get_current_context())
