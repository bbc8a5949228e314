"""`dorsal report`: the tables and the page of a study, finished or not."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    folder: Annotated[Path, typer.Argument(help="The folder of a comparison, or its results.json.")],
    storage: Annotated[
        str, typer.Option(help="The storage's URL, where the comparison had one with a password.", show_default=False)
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print results.json instead of tables.")] = False,
) -> None:
    """Print a comparison's tables and write its results.json, CSV files and report.html anew.

    Works while the comparison runs and after it was interrupted: it shows the runs that have ended.

    Example: `dorsal report runs/compare`
    """
    from dorsal.cli.outcome import show_outcome

    if folder.suffix == ".json":
        from dorsal.report.files import read_results

        show_outcome(read_results(folder), folder.parent, as_json)
    else:
        from dorsal.study.saved import load_study

        show_outcome(load_study(folder, storage or None), folder, as_json)
