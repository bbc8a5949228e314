"""`dorsal recipes`: the named recipes, or the fields of one."""

from __future__ import annotations

from typing import Annotated

from dorsal.cli.options import AsJson
from dorsal.language.options import option


def recipes(
    recipe: Annotated[
        str,
        option(
            "A name, one with edits, or a TOML or JSON file (default: all are listed).",
            metavar="RECIPE",
            argument=True,
            path=True,
        ),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """List the named recipes with their meaning and source, or show the fields of one.

    Of one recipe the fields that are not at their defaults come first. Every field can be edited in the text of a
    recipe: 'plain(epochs=3, mixup=0.2)'. docs/reading.md says what each means, and so does help(dorsal.Recipe) in
    Python.

    Examples:
        dorsal recipes
        dorsal recipes tricks
        dorsal recipes 'plain(epochs=3, clip=1)' --json
    """
    import json

    import msgspec

    from dorsal.language.fields import show
    from dorsal.recipes.named import CATALOG, NamedRecipe
    from dorsal.recipes.probe import PROBES, NamedProbe
    from dorsal.recipes.text import any_recipe

    if recipe:
        read = any_recipe(recipe)
        given, default = msgspec.to_builtins(read), msgspec.to_builtins(type(read)())
        if as_json:
            print(json.dumps(given, allow_nan=False))
            return
        width = max(map(len, given))
        for field in sorted(given, key=lambda field: given[field] == default[field]):
            changed = "" if given[field] == default[field] else f"   (default {show(default[field])})"
            print(f"{field:{width}}  {show(given[field])}{changed}")
        return
    if as_json:
        catalog: dict[str, NamedRecipe | NamedProbe] = {**CATALOG, **PROBES}
        rows = [
            {"name": name, "meaning": each.meaning, "source": each.source, "fields": msgspec.to_builtins(each.recipe)}
            for name, each in catalog.items()
        ]
        print(json.dumps(rows, allow_nan=False))
        return
    for name, each in CATALOG.items():
        fields = each.recipe
        print(f"{name}: {fields.epochs} epochs, batch {fields.batch}, {fields.optimizer}, lr {fields.lr:g}")
        print(f"    {each.meaning}\n    From: {each.source}")
    for name, probe in PROBES.items():
        given = msgspec.to_builtins(probe.recipe)
        fields_shown = ", ".join(f"{field}={show(value)}" for field, value in given.items() if field != "type")
        print(f"{name}: {fields_shown}\n    {probe.meaning}\n    From: {probe.source}")
