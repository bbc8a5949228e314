"""What was meant by words that the command line does not know: an answer that ends in a command to paste."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Iterator, Mapping, Sequence

import click
import msgspec

from dorsal.cli.group import Entry, UnknownVerbError, Verbs
from dorsal.cli.verb import Verb

_OTHER_WORDS = {
    "build": "show",
    "classify": "predict",
    "cost": "show",
    "create": "show",
    "describe": "show",
    "download": "weights pull",
    "eval": "evaluate",
    "features": "show",
    "fit": "train",
    "info": "show",
    "infer": "predict",
    "layers": "show",
    "load": "report",
    "ls": "list",
    "models": "list",
    "networks": "list",
    "population": "space run",
    "recipe": "recipes",
    "results": "report",
    "score": "evaluate",
    "spaces": "space list",
    "test": "evaluate",
}
"""Words of other programs and of Dorsal's Python, and the verb that does it here."""


def answer(error: click.UsageError, words: Sequence[str], app: Verbs) -> str:
    """One sentence on what is wrong with these words of the command line, with what was probably meant."""
    if isinstance(error, UnknownVerbError):
        return _unknown_verb(error.verb, words, error.group, app)
    ctx = error.ctx
    text = error.format_message().rstrip(".")
    if ctx is None or not isinstance(ctx.command, Verb):
        return f"{text}; options come after the verb" if isinstance(error, click.NoSuchOption) else text
    if isinstance(error, click.NoSuchOption):
        return _unknown_option(error.option_name, ctx.command, ctx.command_path, words, app)
    missing = text.partition(" is missing: ")[0]
    for example in map(shlex.split, ctx.command.examples):
        if missing.startswith("--") and missing in example:
            given = example[example.index(missing) : example.index(missing) + 2]
            return f"{text}; try: {_command([*words, *given])}"
    return f"{text}; e.g. {ctx.command.examples[0]}"


def _unknown_verb(verb: str, words: Sequence[str], group: Verbs, app: Verbs) -> str:
    """One sentence on a verb that the group does not have, with the command that was probably meant."""
    name = "dorsal" if group is app else f"dorsal {group.name}"
    own = {each: each if group is app else f"{group.name} {each}" for each in group.verbs}
    paths = {path.split()[-1]: path for path in _paths(app)} | {each: each for each in app.verbs}
    known = {**_OTHER_WORDS, **paths, **own}
    near = [verb] if verb in known else difflib.get_close_matches(verb, known, n=1)
    if not near:
        return f"{verb!r} is not a verb of `{name}`; see `{name} --help`"
    rest = words[list(words).index(verb) + 1 :]
    return f"{verb!r} is not a verb of `{name}`; try: {_command([*known[near[0]].split(), *rest])}"


def _unknown_option(option: str, verb: Verb, path: str, words: Sequence[str], app: Verbs) -> str:
    said, name = f"unknown option {option} of `{path}`", option.lstrip("-")
    own = {flag.lstrip("-"): flag for param in verb.params for flag in param.opts if flag.startswith("--")}
    fields = {field: text for text in ("data", "recipe") if text in own for field in _fields(text)}
    near = difflib.get_close_matches(name, own, n=1)
    very_near = difflib.get_close_matches(name, own, n=1, cutoff=0.85)
    if not very_near and name in fields:
        texts = {each.name: each.shown_default for each in (*verb.asked, *verb.beside)}
        meant = _with_field(words, option, fields[name], texts[fields[name]])
        return f"{said}, but a field of --{fields[name]}; try: {_command(meant)}"
    others = [] if very_near else [other for other in _paths(app) if option in _options(other, app)]
    if others:
        return f"{said}, but of `dorsal {'`, `dorsal '.join(others[:3])}`; see `{path} --help`"
    if near:
        meant = [own[near[0]] + word.removeprefix(option) if _is(word, option) else word for word in words]
        return f"{said}; try: {_command(meant)}"
    return f"{said}; see `{path} --help`"


def _fields(text: str) -> Iterator[str]:
    """The fields that a text of --data or --recipe can have, as an option would be called."""
    from dorsal.data.spec import Annotated, Folder, Scenes
    from dorsal.recipes.recipe import Recipe

    kinds: Mapping[str, tuple[type[msgspec.Struct], ...]] = {"data": (Folder, Scenes, Annotated), "recipe": (Recipe,)}
    return (field.replace("_", "-") for kind in kinds[text] for field in kind.__struct_fields__)


def _with_field(words: Sequence[str], option: str, name: str, default: str) -> list[str]:
    """The words with `--size 48` written into the text of --data: `--data 'photos(size=48)'`."""
    value, text, rest = "…", default.partition(",")[0] or "plain", []
    waiting = iter(words)
    for word in waiting:
        if _is(word, option):
            value = word.partition("=")[2] or next(waiting, "…")
        elif _is(word, f"--{name}"):
            text = word.partition("=")[2] or next(waiting, default)
        else:
            rest.append(word)
    field = f"{option.lstrip('-').replace('-', '_')}={value}"
    edited = f"{text[:-1]}, {field})" if text.endswith(")") else f"{text}({field})"
    return [*rest, f"--{name}", edited]


def _is(word: str, option: str) -> bool:
    return word.partition("=")[0] == option


def _paths(group: Verbs, before: str = "") -> Iterator[str]:
    """All verbs of a group and of the groups in it, with the names of these."""
    for name, found in group.verbs.items():
        if isinstance(found, Entry):
            yield f"{before}{name}"
        else:
            yield from _paths(found, f"{before}{name} ")


def _options(path: str, app: Verbs) -> set[str]:
    """The options of the verb with this path."""
    found: click.Command | None = app
    for name in path.split():
        assert isinstance(found, Verbs)  # the path goes through groups
        found = found.get_command(click.Context(found), name)
    return {flag for param in found.params for flag in param.opts} if found else set()


def _command(words: Sequence[str]) -> str:
    return shlex.join(["dorsal", *words])
