"""What any study shows."""

from __future__ import annotations

from typing import overload

from dorsal.findings.comparison import ComparisonFindings, analyse_comparison
from dorsal.findings.population.analyse import analyse_population
from dorsal.findings.population.records import PopulationFindings
from dorsal.findings.search import SearchFindings, analyse_search
from dorsal.jobs.records import Study
from dorsal.study.population.records import PopulationStudy
from dorsal.study.search.records import AnyStudy, SearchStudy


@overload
def analyse(study: Study) -> ComparisonFindings: ...
@overload
def analyse(study: PopulationStudy) -> PopulationFindings: ...
@overload
def analyse(study: SearchStudy) -> SearchFindings: ...
def analyse(study: AnyStudy) -> ComparisonFindings | PopulationFindings | SearchFindings:
    """The statistics of a study, finished or not. Raises ValueError for anything that is no study."""
    match study:
        case Study():
            return analyse_comparison(study)
        case PopulationStudy():
            return analyse_population(study)
        case SearchStudy():
            return analyse_search(study)
    raise ValueError(f"study={study!r} is not a study; give what dorsal.run or dorsal.load returned")
