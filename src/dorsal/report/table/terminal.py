"""A table of scores on the terminal."""

from __future__ import annotations

from rich.console import Console

from dorsal.findings.table.analyse import TableFindings
from dorsal.report.terminal import head, points, print_answer
from dorsal.report.words.table import caveats, conclusions, what_was_read


def print_table(found: TableFindings, console: Console) -> None:
    """Prints what was read, the conclusions, means and pairs, and what they do not show. Fits 80 columns."""
    head(console, found.path)
    console.print(what_was_read(found), highlight=False, markup=False)
    console.print(points(conclusions(found)))
    print_answer(found.overall, "Over data sets" if found.data_sets else "Arms", console)
    for name, answer in found.data_sets.items():
        print_answer(answer, f"On {name}", console)
    head(console, "What this does not show")
    console.print(points(caveats(found)))
