"""What verbs end with."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dorsal.jobs.records import Study
from dorsal.study.choice.records import ChoiceStudy
from dorsal.study.comparison.records import DataSetStudies
from dorsal.study.deployment.records import DeploymentStudy
from dorsal.study.population.records import PopulationStudy
from dorsal.study.search.records import AnyStudy, SearchStudy

if TYPE_CHECKING:
    from rich.console import Console

    from dorsal.findings.search import SearchFindings


def show_study(study: AnyStudy, folder: Path, as_json: bool, storage: str | None = None) -> None:
    """Writes the report files into `folder` and prints the tables, or results.json, and where the page is.

    `storage` is that of a population.
    """
    from dorsal.report.write import write_report

    show: Callable[[Console], None]
    match study:
        case Study():
            from dorsal.report.comparison.terminal import print_comparison

            show = partial(print_comparison, study, write_report(study, folder))
        case ChoiceStudy():
            from dorsal.report.choice.terminal import print_choice

            show = partial(print_choice, study, write_report(study, folder))
        case DataSetStudies():
            from dorsal.report.data_sets.terminal import print_data_sets

            show = partial(print_data_sets, study, write_report(study, folder))
        case PopulationStudy():
            from dorsal.report.population.terminal import print_population

            show = partial(print_population, write_report(study, folder, storage))
        case SearchStudy():
            show = partial(_print_search, write_report(study, folder), folder)
    if as_json:
        sys.stdout.write((folder / "results.json").read_text(encoding="utf-8"))
        return
    from rich.console import Console

    show(Console())
    print(f"report: {folder / 'report.html'}")


def show_deployment(study: DeploymentStudy, as_json: bool) -> None:
    """Prints all forms of a model, or the record as JSON."""
    if as_json:
        import msgspec

        print(msgspec.json.encode(study).decode())
        return
    from rich.console import Console

    from dorsal.report.deployment.terminal import print_deployment

    print_deployment(study, Console())


def _print_search(found: SearchFindings, folder: Path, console: Console) -> None:
    from dorsal.report.search.terminal import print_search

    print_search(found, console)
    if found.front and not found.learning.nothing:
        by = " --by pareto" if len(found.objectives) > 1 else ""
        print(f"as text or files: dorsal space pick {folder}{by}")


def replacing(path: Path) -> str:
    """What to say beside the name of a file that is about to be written: whether it replaces one."""
    return " (replaced)" if path.exists() else ""
