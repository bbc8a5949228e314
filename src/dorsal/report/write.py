"""The report of any study."""

from __future__ import annotations

from pathlib import Path

from dorsal.findings.analyse import analyse
from dorsal.findings.comparison import ComparisonFindings
from dorsal.findings.population.records import PopulationFindings
from dorsal.findings.search import SearchFindings
from dorsal.jobs.records import Study
from dorsal.report.comparison.page import write_comparison_report
from dorsal.report.population.page import write_population_report
from dorsal.report.search.page import write_search_report
from dorsal.study.population.records import PopulationStudy
from dorsal.study.search.records import AnyStudy


def write_report(study: AnyStudy, folder: str | Path) -> ComparisonFindings | PopulationFindings | SearchFindings:
    """Analyses the study and writes results.json, tables and report.html into `folder`, each whole or not at all.

    Returns the findings. Raises ValueError for anything that is no study, OSError when a file cannot be written.
    """
    folder = Path(folder)
    match study:
        case Study():
            comparison = analyse(study)
            write_comparison_report(study, comparison, folder)
            return comparison
        case PopulationStudy():
            population = analyse(study)
            write_population_report(study, population, folder)
            return population
        case _:
            search = analyse(study)
            write_search_report(study, search, folder)
            return search
