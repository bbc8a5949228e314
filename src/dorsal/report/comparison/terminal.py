"""A study on the terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dorsal.findings.comparison import ComparisonFindings
from dorsal.jobs.records import Study
from dorsal.report.comparison.numerals import COST_COLUMNS, costs, percent, runs, spread

RECIPES_ABREAST = 3


def print_study(study: Study, analysis: ComparisonFindings, console: Console) -> None:
    """Prints the conclusions, accuracies, costs, and what they do not show. Fits 80 columns; long labels wrap."""
    head(console, study.name)
    console.print(points(analysis.sentences))
    head(console, f"Top-1 accuracy in percent: {spread(len(study.seeds))}")
    recipes = list(study.recipes)
    for start in range(0, len(recipes), RECIPES_ABREAST):
        console.print(_accuracies(study, analysis, recipes[start : start + RECIPES_ABREAST]))
    size = f"{study.data.image_size}×{study.data.image_size}"
    head(console, f"Cost of one {size} image; medians of measured times in ms a batch")
    console.print(_costs(study))
    head(console, "What this does not show")
    console.print(points(analysis.caveats))


def head(console: Console, text: str) -> None:
    """A heading."""
    console.print()
    console.print(Text(text, style="bold"))


def points(lines: Iterable[str]) -> Table:
    """A list whose wrapped lines stay indented."""
    grid = Table.grid(padding=(0, 1))
    for line in lines:
        grid.add_row("•", Text(line))
    return grid


def _table() -> Table:
    table = Table()
    table.add_column("arm", overflow="fold")
    return table


def _accuracies(study: Study, analysis: ComparisonFindings, recipes: list[str]) -> Table:
    table = _table()
    for recipe in recipes:
        table.add_column(Text(recipe), justify="right", overflow="fold")
    for arm in study.arms:
        cells = [analysis.cell(arm.label, recipe) for recipe in recipes]
        table.add_row(Text(arm.label), *(Text("\n".join(filter(None, (percent(c.accuracy), runs(c))))) for c in cells))
    return table


def _costs(study: Study) -> Table:
    table = _table()
    for name in COST_COLUMNS:
        table.add_column(name, justify="right")
    for arm in study.arms:
        table.add_row(Text(arm.label), *costs(arm))
    return table
