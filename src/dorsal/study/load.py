"""Any study back from its folder."""

from __future__ import annotations

from dorsal.jobs.study_file import DATA_SETS_FILE, load_plan, load_study
from dorsal.language.files import PathLike, as_path
from dorsal.study.choice.records import CHOICE_FILE
from dorsal.study.choice.saved import load_choice
from dorsal.study.comparison.saved import load_data_sets
from dorsal.study.deployment.records import DEPLOYMENT_FILE, DeploymentStudy
from dorsal.study.deployment.saved import read_deployment
from dorsal.study.population.saved import load_population
from dorsal.study.search.records import AnyStudy
from dorsal.study.search.saved import load_search


def load(folder: PathLike, storage: str | None = None) -> AnyStudy | DeploymentStudy:
    """The comparison, population, search, choice or deployment in this folder, with all runs that have ended by now. A
    comparison on several data sets has a study of each.

    `storage` is needed only where the study has one whose URL has a password. Raises ValueError when there is no study,
    it cannot be read, it is of another schema, or it is stored elsewhere.
    """
    path = as_path("folder", folder)
    return read_deployment(path) if (path / DEPLOYMENT_FILE).is_file() else load_runs(path, storage)


def load_runs(folder: PathLike, storage: str | None = None) -> AnyStudy:
    """As `load`, of a study that is made of runs, which all are but a deployment."""
    folder = as_path("folder", folder)
    if (folder / CHOICE_FILE).is_file():
        return load_choice(folder, storage)
    if (folder / DATA_SETS_FILE).is_file():
        return load_data_sets(folder, storage)
    match load_plan(folder).study.kind:
        case "comparison":
            return load_study(folder, storage)
        case "population":
            return load_population(folder, storage)
        case "search":
            return load_search(folder, storage)
