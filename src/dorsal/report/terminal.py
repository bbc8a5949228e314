"""What all studies look like on the terminal: headings, lists and tables that fit 80 columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dorsal.findings.answers import Answer
from dorsal.report.words.answers import MEAN_COLUMNS, PAIR_COLUMNS, mean_rows, pair_rows


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


def table_of(first: str, others: Iterable[str], rows: Iterable[Sequence[str]]) -> Table:
    """A table whose first column holds names and the `others` figures. Cells are text, not markup."""
    table = Table()
    table.add_column(Text(first), overflow="fold")
    for name in others:
        table.add_column(Text(name), justify="right", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def print_answer(answer: Answer, title: str, console: Console) -> None:
    """Prints the means and the pairs of an answer."""
    head(console, title)
    console.print(table_of("arm", MEAN_COLUMNS, mean_rows(answer)))
    console.print(table_of("pair", PAIR_COLUMNS, pair_rows(answer)))
