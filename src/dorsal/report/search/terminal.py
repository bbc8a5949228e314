"""A search on the terminal."""

from __future__ import annotations

from rich.console import Console

from dorsal.findings.search import SearchFindings
from dorsal.report.terminal import table_of
from dorsal.report.words.search import conclusions, heading, value_of


def print_search(found: SearchFindings, console: Console) -> None:
    """Prints the conclusions, then the front as a table, unless nothing was learnt."""
    for sentence in conclusions(found):
        console.print(sentence, highlight=False, markup=False, soft_wrap=True)
    if found.front and not found.learning.nothing:
        rows = (
            [point.label, *(value_of(name, value) for name, value in zip(found.objectives, point.values, strict=True))]
            for point in found.front
        )
        console.print(table_of("network", map(heading, found.objectives), rows))
