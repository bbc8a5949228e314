"""What any study shows."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple, overload

from dorsal.findings.choice import ChoiceFindings, analyse_choice
from dorsal.findings.comparison import ComparisonFindings, analyse_comparison, analyse_comparison_in
from dorsal.findings.data_sets import DataSetsFindings, analyse_data_sets, read_all_contributions
from dorsal.findings.latency import LatencyFindings, analyse_latency
from dorsal.findings.population.analyse import analyse_population
from dorsal.findings.population.records import PopulationFindings
from dorsal.findings.search import SearchFindings, analyse_search
from dorsal.jobs.records import Study
from dorsal.language.files import PathLike, as_path
from dorsal.language.reader import wrong_type
from dorsal.latency.records import MEASUREMENTS, MODEL, LatencyModel, Measurements, read_latency
from dorsal.study.choice.records import ChoiceStudy
from dorsal.study.comparison.records import DataSetStudies
from dorsal.study.load import load_runs
from dorsal.study.population.records import PopulationStudy, RecheckRuns
from dorsal.study.recheck.saved import load_recheck
from dorsal.study.search.records import AnyStudy, SearchStudy

Findings = ComparisonFindings | DataSetsFindings | ChoiceFindings | PopulationFindings | SearchFindings


@overload
def analyse(study: Study, storage: None = None) -> ComparisonFindings: ...
@overload
def analyse(study: DataSetStudies, storage: None = None) -> DataSetsFindings: ...
@overload
def analyse(study: ChoiceStudy, storage: None = None) -> ChoiceFindings: ...
@overload
def analyse(study: PopulationStudy, storage: None = None) -> PopulationFindings: ...
@overload
def analyse(study: SearchStudy, storage: None = None) -> SearchFindings: ...
@overload
def analyse(study: PathLike, storage: str | None = None) -> Findings: ...
def analyse(study: AnyStudy | PathLike, storage: str | None = None) -> Findings:
    """The statistics of a study, finished or not: of a value, or of the folder that holds it.

    Of a folder they are what `dorsal report` and `dorsal space analyse` show: with what was trained again of a
    population, and of a comparison with intervals over seeds and test images. Those of a value are over seeds only.
    `storage` is as in `dorsal.load`. Raises ValueError as that does, and TypeError for anything else.
    """
    found, folder = read_study(study, storage)
    match found:
        case Study():
            return analyse_comparison_in(found, folder) if folder else analyse_comparison(found)
        case ChoiceStudy():
            return analyse_choice(found, folder)
        case DataSetStudies():
            return analyse_data_sets(found, read_all_contributions(found, folder) if folder else None)
        case PopulationStudy():
            return analyse_population(found, retrained=load_recheck(folder, storage) if folder else None)
        case SearchStudy():
            return analyse_search(found)


def read_study(study: AnyStudy | PathLike, storage: str | None = None) -> tuple[AnyStudy, Path | None]:
    """A study from what people have of it, a value or its folder, and the folder. Raises as `analyse` does."""
    if isinstance(study, (Study, DataSetStudies, ChoiceStudy, PopulationStudy, SearchStudy)):
        return study, None
    if isinstance(study, (str, os.PathLike)):
        return load_runs(study, storage), as_path("study", study)
    raise wrong_type("study", study, "what dorsal.run or dorsal.load returned, or the folder of a study")


class PopulationInFolder(NamedTuple):
    """What a population shows with all that its folder holds of it: networks trained again, and measured times."""

    findings: PopulationFindings
    latency: LatencyFindings | None
    retrained: RecheckRuns | None


def analyse_population_in(folder: Path, population: PopulationStudy, storage: str | None = None) -> PopulationInFolder:
    """The findings on a population with what `folder` holds beside it.

    Times are those that `dorsal space latency` measured into its folder "latency". Raises ValueError for files of
    another population.
    """
    retrained = load_recheck(folder, storage)
    findings = analyse_population(population, retrained=retrained)
    times, latency = folder / "latency", None
    if (times / MODEL).is_file():
        model, measured = read_latency(times / MODEL, LatencyModel), read_latency(times / MEASUREMENTS, Measurements)
        latency = analyse_latency(population, findings, model, measured)
    return PopulationInFolder(findings, latency, retrained)
