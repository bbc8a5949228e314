"""A table of scores on the terminal."""

from __future__ import annotations

from rich.console import Console

from dorsal.findings.table.analyse import Answer, TableFindings
from dorsal.report.terminal import head, points, table_of
from dorsal.report.words.table import (
    MEAN_COLUMNS,
    PAIR_COLUMNS,
    caveats,
    conclusions,
    mean_rows,
    pair_rows,
    what_was_read,
)


def print_table(found: TableFindings, console: Console) -> None:
    """Prints what was read, the conclusions, means and pairs, and what they do not show. Fits 80 columns."""
    head(console, found.path)
    console.print(what_was_read(found), highlight=False, markup=False)
    console.print(points(conclusions(found)))
    _print(found.overall, "Over data sets" if found.data_sets else "Arms", console)
    for name, answer in found.data_sets.items():
        _print(answer, f"On {name}", console)
    head(console, "What this does not show")
    console.print(points(caveats(found)))


def _print(answer: Answer, title: str, console: Console) -> None:
    head(console, title)
    console.print(table_of("arm", MEAN_COLUMNS, mean_rows(answer)))
    console.print(table_of("pair", PAIR_COLUMNS, pair_rows(answer)))
