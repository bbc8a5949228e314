"""A deployment on the terminal."""

from __future__ import annotations

from rich.console import Console

from dorsal.deploy.choose import SITTING
from dorsal.report.terminal import head, points, table_of
from dorsal.report.words.deployment import COLUMNS, conclusions, reasons, rows
from dorsal.study.deployment.records import DeploymentStudy


def print_deployment(study: DeploymentStudy, console: Console) -> None:
    """Prints what is kept, every form with its figures, and what cannot exist here."""
    head(console, f"{study.model} deployed")
    console.print(points(conclusions(study)))
    sizes = "×".join(map(str, study.shape))
    rounds = f"{study.rounds} rounds" + (f" or the first {SITTING}" if study.rounds > SITTING else "")
    head(console, f"One call of {sizes}: medians of {rounds}, and what 95 % of calls take at most")
    console.print(table_of("form", COLUMNS, rows(study)))
    console.print(points(reasons(study)))
