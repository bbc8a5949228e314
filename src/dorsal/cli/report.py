"""`dorsal report`: what a comparison, a choice, a population, a search or a deployment has come to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from dorsal.cli.options import ResultsAsJson, StudyStorage
from dorsal.language.options import option


def report(
    folder: Annotated[
        Path,
        option(
            "The folder of a comparison, choice, population, search or deployed model, or a comparison's results.json.",
            metavar="FOLDER",
            argument=True,
        ),
    ],
    storage: StudyStorage = None,
    as_json: ResultsAsJson = False,
) -> None:
    """Print the tables of a comparison, a choice, a population or a search, and write its results.json, CSV files
    and report.html anew.

    Works while the comparison runs and after it was interrupted: it shows the runs that have ended. Of a deployed model
    it prints all forms that were tried.

    Examples:
        dorsal report runs/compare
    """
    from dorsal.cli.finish import show_deployment, show_study
    from dorsal.study.deployment.records import DeploymentStudy
    from dorsal.study.load import load

    if folder.suffix == ".json":
        from dorsal.report.comparison.results import read_results

        show_study(read_results(folder), folder.parent, as_json)
        return
    study = load(folder, storage)
    if isinstance(study, DeploymentStudy):
        show_deployment(study, as_json)
        return
    show_study(study, folder, as_json, storage)
