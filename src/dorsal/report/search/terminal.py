"""A search on the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dorsal.findings.search import SearchFindings
from dorsal.report.numerals import cost_title, count


def print_search(outcome: SearchFindings, console: Console) -> None:
    """The front as a table, then what is concluded."""
    table = Table("network", *(heading(name) for name in outcome.objectives))
    for point in outcome.front:
        values = (value_of(name, value) for name, value in zip(outcome.objectives, point.values, strict=True))
        table.add_row(Text(point.label), *values)
    if outcome.front:
        console.print(table)
    for sentence in outcome.sentences:
        console.print(sentence, highlight=False, markup=False, soft_wrap=True)


def heading(objective: str) -> str:
    """An objective with its unit, e.g. "error, %"."""
    if objective == "error":
        return "error, %"
    return cost_title(objective, "predicted")[0] + ", ms" * objective.endswith("_ms")


def value_of(objective: str, value: float) -> str:
    """A value of an objective: errors and times to two digits, costs as everywhere."""
    return f"{value:.2f}" if objective == "error" or objective.endswith("_ms") else count(round(value))
