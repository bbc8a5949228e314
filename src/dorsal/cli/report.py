"""`dorsal report`: what a comparison, a choice, a population or a search has come to, finished or not."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from dorsal.cli.options import ResultsAsJson, StudyStorage
from dorsal.language.options import option


def report(
    folder: Annotated[
        Path,
        option(
            "The folder of a comparison, choice, population or search, or a comparison's results.json.",
            metavar="FOLDER",
            argument=True,
        ),
    ],
    storage: StudyStorage = None,
    as_json: ResultsAsJson = False,
) -> None:
    """Print the tables of a comparison, a choice, a population or a search, and write its results.json, CSV files
    and report.html anew.

    Works while the comparison runs and after it was interrupted: it shows the runs that have ended.

    Examples:
        dorsal report runs/compare
    """
    from dorsal.cli.finish import show_study
    from dorsal.study.load import load

    if folder.suffix == ".json":
        from dorsal.report.comparison.results import read_results

        show_study(read_results(folder), folder.parent, as_json)
        return
    show_study(load(folder, storage), folder, as_json, storage)
