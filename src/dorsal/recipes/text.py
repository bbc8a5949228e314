"""How a network is trained, as data: frozen, hashable, with a text, a JSON and a TOML form. No torch.

plain                        a named recipe
tricks(epochs=5, mixup=0)    one with edits
probe(level=2), neighbors    what is asked of a frozen network instead, see `dorsal.recipes.probe`
mine.toml, mine.json         a file with any of the fields; those left out have the defaults of `Recipe`, or of what
                             `type` says: "probe" or "neighbors"
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from dorsal.language.fields import check_word, read_fields, show
from dorsal.language.files import PathLike, read_text_file
from dorsal.language.reader import Call, Reader, read_closed, suggest, wrong_type
from dorsal.recipes.named import NAMED
from dorsal.recipes.probe import PROBES, Neighbors, Probe
from dorsal.recipes.recipe import Recipe
from dorsal.spec.digest import digest

__all__ = [
    "NAMED",
    "AnyRecipe",
    "Neighbors",
    "Probe",
    "Recipe",
    "any_recipe",
    "check_start",
    "from_json",
    "from_toml",
    "read_any_recipes",
    "read_recipes",
    "recipe",
    "recipe_hash",
    "recipe_text",
    "scaled",
    "to_json",
    "to_toml",
]

AnyRecipe = Recipe | Probe | Neighbors
Kind = TypeVar("Kind", bound=Recipe | Probe | Neighbors)

_TYPES: dict[str, Any] = {field.name: field.type for field in msgspec.structs.fields(Recipe)}


def recipe(given: AnyRecipe | PathLike, argument: str = "recipe") -> Recipe:
    """A recipe of training from what people have of it, as `any_recipe` reads it.

    Raises as `any_recipe` does, and ValueError for a probe, which trains no network.
    """
    found = any_recipe(given, argument)
    if not isinstance(found, Recipe):
        name = recipe_text(found).partition("(")[0]
        raise ValueError(
            f"{argument}={recipe_text(found)} trains no network: {name} asks a frozen one; a recipe that trains: plain"
        )
    return found


def any_recipe(given: AnyRecipe | PathLike, argument: str = "recipe") -> AnyRecipe:
    """A recipe from what people have of it: a value, a name, a name with edits, or the path of a TOML or JSON file.

    Raises ValueError naming what is misspelt or out of range, with the nearest valid choice; TypeError naming the
    argument for anything else.
    """
    if isinstance(given, AnyRecipe):
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


def _read(text: str) -> AnyRecipe:
    call = Reader(text).whole()
    if not isinstance(call, Call):
        raise ValueError(f"{text!r} is not a recipe: expected a name, e.g. plain or tricks(epochs=5)")
    if call.name in PROBES:
        return _edit(PROBES[call.name].recipe, call.arguments)
    if call.name not in NAMED:
        raise ValueError(f"unknown recipe {call.name!r}{suggest(call.name, [*NAMED, *PROBES])}")
    return _edit(NAMED[call.name], call.arguments)


def name_of(text: str) -> str:
    """The name that tables use for a recipe: its text, or the stem of its file's name."""
    return Path(text).stem if text.endswith((".toml", ".json")) else text


def read_recipes(texts: Sequence[str], epochs: int | None) -> dict[str, Recipe]:
    """Recipes of training by the names that tables use: the text, or the stem of a file's name. `epochs` replaces their
    own.

    Raises ValueError as `recipe` does, and for a name that is there twice.
    """
    return {name: recipe(made) for name, made in read_any_recipes(texts, epochs).items()}


def read_any_recipes(texts: Sequence[str], epochs: int | None) -> dict[str, AnyRecipe]:
    """As `read_recipes`, probes among them; `epochs` mean nothing to these. Raises ValueError as `any_recipe` does."""
    found: dict[str, AnyRecipe] = {}
    for text in texts:
        read, name = any_recipe(text), name_of(text)
        if name in found:
            raise ValueError(f"recipe {name!r} is there twice; leave one out, or give its file another name")
        trains = isinstance(read, Recipe) and epochs is not None
        found[name] = msgspec.structs.replace(read, epochs=epochs) if trains else read
    return found


def text_of(argument: str, given: AnyRecipe | os.PathLike[str]) -> str:
    """The text that `any_recipe` reads as this recipe, or as the file at this path. Raises TypeError for others."""
    return os.fspath(given) if isinstance(given, os.PathLike) else recipe_text(any_recipe(given, argument))


def recipe_text(recipe: AnyRecipe) -> str:
    """The shortest text `name(edits)` that `any_recipe` reads back as this recipe."""
    if not isinstance(recipe, Recipe):
        return show(recipe)
    texts = []
    for name, base in NAMED.items():
        edits = [f"{f}={show(getattr(recipe, f))}" for f in _TYPES if getattr(recipe, f) != getattr(base, f)]
        texts.append(f"{name}({', '.join(edits)})" if edits else name)
    return min(texts, key=len)


def to_json(recipe: AnyRecipe) -> str:
    """One line of JSON, every field written out."""
    return msgspec.json.encode(recipe).decode()


def from_json(text: str) -> AnyRecipe:
    """Reads JSON; fields left out have their defaults. Raises ValueError as `any_recipe` does."""
    try:
        fields = msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise ValueError(f"not a recipe: {error}") from None
    return _from_fields(fields)


def to_toml(recipe: AnyRecipe) -> str:
    """TOML, one field a line, every field written out but those that are none, which TOML has no word for."""
    fields = msgspec.to_builtins(recipe)
    return msgspec.toml.encode({name: value for name, value in fields.items() if value is not None}).decode()


def from_toml(text: str) -> AnyRecipe:
    """Reads TOML; fields left out have their defaults. Raises ValueError as `any_recipe` does."""
    try:
        fields = msgspec.toml.decode(text, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise ValueError(f"not a recipe: {error}") from None
    return _from_fields(fields)


class _Probing(msgspec.Struct, frozen=True):
    """Holds what is not a `Recipe`, so that its tag counts: all three have one hash at their defaults without it."""

    recipe: Probe | Neighbors | None = None


def recipe_hash(recipe: AnyRecipe) -> str:
    """16 hexadecimal digits that depend on the fields that are not at their defaults, and on nothing else."""
    return digest(recipe if isinstance(recipe, Recipe) else _Probing(recipe))


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


def _from_fields(fields: dict[str, Any]) -> AnyRecipe:
    """What a file says: a probe where its `type` is the name of one."""
    kinds: dict[str, AnyRecipe] = {"recipe": Recipe(), **{name: named.recipe for name, named in PROBES.items()}}
    kind = fields.pop("type", "recipe")
    check_word("type", kind, tuple(kinds))
    return _edit(kinds[kind], fields)


def _edit(base: Kind, fields: Mapping[str, Any]) -> Kind:
    of = "a recipe" if isinstance(base, Recipe) else show(type(base)())
    return msgspec.structs.replace(base, **read_fields(fields, type(base), of))
