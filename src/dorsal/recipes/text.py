"""How a network is trained, as data: frozen, hashable, with a text, a JSON and a TOML form. No torch.

plain                        a named recipe
tricks(epochs=5, mixup=0)    one with edits
mine.toml, mine.json         a file with any of the fields; those left out have the defaults of `Recipe`
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from dorsal.language.fields import read_fields, show
from dorsal.language.files import PathLike, read_text_file
from dorsal.language.reader import Call, Reader, read_closed, suggest, wrong_type
from dorsal.recipes.named import NAMED
from dorsal.recipes.recipe import Recipe
from dorsal.spec.digest import digest

__all__ = [
    "NAMED",
    "Recipe",
    "check_start",
    "from_json",
    "from_toml",
    "read_recipes",
    "recipe",
    "recipe_hash",
    "recipe_text",
    "scaled",
    "to_json",
    "to_toml",
]

_TYPES: dict[str, Any] = {field.name: field.type for field in msgspec.structs.fields(Recipe)}


def recipe(given: Recipe | PathLike, argument: str = "recipe") -> Recipe:
    """A recipe from what people have of it: a value, a name, a name with edits, or the path of a TOML or JSON file.

    Raises ValueError naming what is misspelt or out of range, with the nearest valid choice; TypeError naming the
    argument for anything else.
    """
    if isinstance(given, Recipe):
        return given
    if not isinstance(given, (str, os.PathLike)):
        raise wrong_type(argument, given, "a recipe, its text such as 'plain', or the path of a TOML or JSON file")
    text = os.fspath(given)
    if text.endswith((".toml", ".json")):
        content = read_text_file("recipe file", text)
        return from_toml(content) if text.endswith(".toml") else from_json(content)
    first = re.match(r"[^,(]*(\([^)]*\))?", text)
    if first is not None and text[first.end() :].lstrip().startswith(","):
        raise ValueError(
            f"recipe={text!r} is more than one recipe, and this trains with one; `dorsal compare` takes a list; "
            f"try: {first[0].strip()}"
        )
    if "/" in text.partition("(")[0]:
        raise ValueError(f"{text!r} is no recipe: the name of its file ends in .toml or .json")
    return read_closed(text, _read)


def _read(text: str) -> Recipe:
    call = Reader(text).whole()
    if not isinstance(call, Call):
        raise ValueError(f"{text!r} is not a recipe: expected a name, e.g. plain or tricks(epochs=5)")
    if call.name not in NAMED:
        raise ValueError(f"unknown recipe {call.name!r}{suggest(call.name, NAMED)}")
    return _edit(NAMED[call.name], call.arguments)


def name_of(text: str) -> str:
    """The name that tables use for a recipe: its text, or the stem of its file's name."""
    return Path(text).stem if text.endswith((".toml", ".json")) else text


def read_recipes(texts: Sequence[str], epochs: int | None) -> dict[str, Recipe]:
    """Recipes by the names that tables use: the text, or the stem of a file's name. `epochs` replaces their own.

    Raises ValueError as `recipe` does, and for a name that is there twice.
    """
    found: dict[str, Recipe] = {}
    for text in texts:
        read = recipe(text)
        name = name_of(text)
        if name in found:
            raise ValueError(f"recipe {name!r} is there twice; leave one out, or give its file another name")
        found[name] = read if epochs is None else msgspec.structs.replace(read, epochs=epochs)
    return found


def text_of(argument: str, given: Recipe | os.PathLike[str]) -> str:
    """The text that `recipe` reads as this recipe, or as the file at this path. Raises TypeError for others."""
    return os.fspath(given) if isinstance(given, os.PathLike) else recipe_text(recipe(given, argument))


def recipe_text(recipe: Recipe) -> str:
    """The shortest text `name(edits)` that `recipe` reads back as this recipe."""
    texts = []
    for name, base in NAMED.items():
        edits = [f"{f}={show(getattr(recipe, f))}" for f in _TYPES if getattr(recipe, f) != getattr(base, f)]
        texts.append(f"{name}({', '.join(edits)})" if edits else name)
    return min(texts, key=len)


def to_json(recipe: Recipe) -> str:
    """One line of JSON, every field written out."""
    return msgspec.json.encode(recipe).decode()


def from_json(text: str) -> Recipe:
    """Reads JSON; fields left out have the defaults of `Recipe`. Raises ValueError as `recipe` does."""
    try:
        fields = msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise ValueError(f"not a recipe: {error}") from None
    return _edit(Recipe(), fields)


def to_toml(recipe: Recipe) -> str:
    """TOML, one field a line, every field written out."""
    return msgspec.toml.encode(recipe).decode()


def from_toml(text: str) -> Recipe:
    """Reads TOML; fields left out have the defaults of `Recipe`. Raises ValueError as `recipe` does."""
    try:
        fields = msgspec.toml.decode(text, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise ValueError(f"not a recipe: {error}") from None
    return _edit(Recipe(), fields)


def recipe_hash(recipe: Recipe) -> str:
    """16 hexadecimal digits that depend on the fields that are not at their defaults, and on nothing else."""
    return digest(recipe)


def check_start(recipe: Recipe, started: bool) -> None:
    """Raises ValueError where the recipe would keep random weights, or initialise anew what a start has."""
    if recipe.keeps_weights and not started:
        raise ValueError(
            f"{recipe.keeps_weights} of the recipe would keep random weights: name the weights to begin from, as in "
            "resnet50@torchvision_v1, or leave it out"
        )
    if recipe.zero_init and started:
        raise ValueError("zero_init=true of the recipe would undo what the weights have learnt; nearest valid: false")


def scaled(recipe: Recipe, batch: int) -> Recipe:
    """The recipe at another batch, its lr in proportion (the linear rule, arXiv 1706.02677 section 2.1)."""
    return msgspec.structs.replace(recipe, batch=batch, lr=recipe.lr * batch / recipe.batch)


def _edit(base: Recipe, fields: Mapping[str, Any]) -> Recipe:
    return msgspec.structs.replace(base, **read_fields(fields, Recipe, "a recipe"))
