"""Pages name what there is: names of Python, files of the project, verbs and options of the command line."""

import importlib
import re
import shlex
from pathlib import Path

import click
import pytest

from dorsal.cli.app import APP

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(
    str(path.relative_to(ROOT))
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("experiments/**/*.md"))
    if path.name != "log.md"  # says what was, in the names of its day
)


def resolve(name: str) -> object:
    found: object = importlib.import_module("dorsal")
    path = "dorsal"
    for part in name.split(".")[1:]:
        path += f".{part}"
        found = getattr(found, part) if hasattr(found, part) else importlib.import_module(path)
    return found


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_names_of_python_are_there(page: str) -> None:
    names = set(re.findall(r"\bdorsal(?:\.[A-Za-z]\w*)+", text_of(page)))
    for module, imported in re.findall(r"from (dorsal[\w.]*) import ([\w, ]+)", text_of(page)):
        names |= {f"{module}.{name.strip()}" for name in imported.split(",")}
    missing = []
    for name in names:
        try:
            resolve(name)
        except ModuleNotFoundError:
            missing.append(name)
    assert not missing


@pytest.mark.parametrize("page", PAGES)
def test_files_of_the_project_are_there(page: str) -> None:
    named = re.findall(r"(?<![\w/.~-])((?:[\w-]+/)+[\w-]+\.(?:py|md|patch))\b", text_of(page))
    homes = (ROOT, ROOT / "src" / "dorsal", (ROOT / page).parent)
    assert not {name for name in named if not any((home / name).exists() for home in homes)}


def command_of(words: list[str]) -> click.Command | None:
    """The verb that these words name."""
    command: click.Command = APP
    for word in words:
        if not isinstance(command, click.Group):
            break
        inner = command.get_command(click.Context(command), word)
        if inner is None:
            return None
        command = inner
    return command


def commands(page: str) -> list[list[str]]:
    """The words after `dorsal` of every indented command of a page."""
    lines = re.findall(r"^(?: {4,}|\t)(?:\$ )?dorsal ((?:.*\\\n)*.*)$", text_of(page), re.MULTILINE)
    parts = [part for line in lines for part in line.replace("\\\n", " ").split("&& dorsal ")]
    return [shlex.split(part, comments=True) for part in parts]


@pytest.mark.parametrize("page", PAGES)
def test_commands_have_the_verbs_and_options_of_the_command_line(page: str) -> None:
    wrong = []
    for words in commands(page):
        command = command_of(words)
        if command is None or (isinstance(command, click.Group) and command is not APP):
            wrong.append(words)
            continue
        own = {flag for param in command.params for flag in (*param.opts, *param.secondary_opts)} | {"--help"}
        given = {word.partition("=")[0] for word in words if re.match(r"--[a-z]", word)}
        wrong.extend([*words[:2], flag] for flag in given - own)
    assert not wrong


def test_there_are_commands_to_check() -> None:
    assert sum(len(commands(page)) for page in PAGES) > 40
