"""The report of any study."""

from __future__ import annotations

from typing import overload

from dorsal.findings.analyse import Findings, analyse, analyse_population_in, read_study
from dorsal.findings.choice import ChoiceFindings, analyse_choice
from dorsal.findings.comparison import ComparisonFindings, analyse_comparison, analyse_comparison_in
from dorsal.findings.data_sets import DataSetsFindings, analyse_data_sets, read_all_contributions
from dorsal.findings.population.records import PopulationFindings
from dorsal.findings.search import SearchFindings
from dorsal.jobs.records import Study
from dorsal.language.files import PathLike, as_path
from dorsal.language.reader import wrong_type
from dorsal.report.choice.page import write_choice_report
from dorsal.report.comparison.page import gallery_images, write_comparison_report
from dorsal.report.data_sets.page import write_data_sets_report
from dorsal.report.population.page import write_population_report
from dorsal.report.search.page import write_search_report
from dorsal.study.choice.records import FINETUNE, ChoiceStudy
from dorsal.study.comparison.records import DataSetStudies
from dorsal.study.population.records import PopulationStudy
from dorsal.study.search.records import AnyStudy, SearchStudy


@overload
def write_report(study: Study, folder: PathLike, storage: str | None = None) -> ComparisonFindings: ...
@overload
def write_report(study: DataSetStudies, folder: PathLike, storage: str | None = None) -> DataSetsFindings: ...
@overload
def write_report(study: ChoiceStudy, folder: PathLike, storage: str | None = None) -> ChoiceFindings: ...
@overload
def write_report(study: PopulationStudy, folder: PathLike, storage: str | None = None) -> PopulationFindings: ...
@overload
def write_report(study: SearchStudy, folder: PathLike, storage: str | None = None) -> SearchFindings: ...
@overload
def write_report(study: PathLike, folder: PathLike | None = None, storage: str | None = None) -> Findings: ...
def write_report(study: AnyStudy | PathLike, folder: PathLike | None = None, storage: str | None = None) -> Findings:
    """Analyses a study and writes results.json, tables and report.html into `folder`, each whole or not at all.

    `study` is a value, or the folder of one. Then the report is written there too, unless another `folder` is given.
    With a study comes what its folder holds beside it: predictions of a comparison, networks of a population that were
    trained again, and measured times. For a value that is `folder`. `storage` is as in `dorsal.load`. Of a comparison
    on several data sets the report on each is in a folder of its own.

    Returns the findings. Raises ValueError as `dorsal.load` does, TypeError for anything that is no study, and OSError
    when a file cannot be written.
    """
    found, home = read_study(study, storage)
    out = home if folder is None else as_path("folder", folder)
    if out is None:
        raise wrong_type("folder", folder, "the folder to write into, as a text or a pathlib.Path")
    match found:
        case Study():
            comparison = analyse_comparison_in(found, home or out)
            write_comparison_report(found, comparison, out, gallery_images(found, home or out))
            return comparison
        case ChoiceStudy():
            choice = analyse_choice(found, home or out)
            if found.finetuning is not None:
                write_report(found.finetuning, out / FINETUNE)
            write_choice_report(found, choice, out)
            return choice
        case DataSetStudies():
            known = read_all_contributions(found, home or out)
            over = analyse_data_sets(found, known)
            for name, each in found.studies.items():
                images = gallery_images(each, (home or out) / name)
                write_comparison_report(each, analyse_comparison(each, known[name]), out / name, images)
            write_data_sets_report(found, over, out)
            return over
        case PopulationStudy():
            whole = analyse_population_in(home or out, found, storage)
            write_population_report(found, whole.findings, out, whole.latency, whole.retrained)
            return whole.findings
        case SearchStudy():
            search = analyse(found)
            write_search_report(found, search, out)
            return search
