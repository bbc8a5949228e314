"""`dorsal report`: what a comparison, a population or a search has come to, finished or not."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from dorsal.cli.folders import StudyStorage
from dorsal.cli.options import ResultsAsJson
from dorsal.language.options import option


def report(
    folder: Annotated[
        Path,
        option(
            "The folder of a comparison, population or search, or a comparison's results.json.",
            metavar="FOLDER",
            argument=True,
        ),
    ],
    storage: StudyStorage = None,
    as_json: ResultsAsJson = False,
) -> None:
    """Print the tables of a comparison, a population or a search, and write its results.json, CSV files and
    report.html anew.

    Works while the comparison runs and after it was interrupted: it shows the runs that have ended.

    Examples:
        dorsal report runs/compare
    """
    from dorsal.cli.finish import show_outcome, show_population, show_search
    from dorsal.jobs.records import Study
    from dorsal.study.load import load
    from dorsal.study.population.records import PopulationStudy

    if folder.suffix == ".json":
        from dorsal.report.comparison.results import read_results

        show_outcome(read_results(folder), folder.parent, as_json)
        return
    match load(folder, storage):
        case Study() as study:
            show_outcome(study, folder, as_json)
        case PopulationStudy() as population:
            show_population(population, folder, storage, as_json)
        case search:
            show_search(search, None, folder, as_json)
