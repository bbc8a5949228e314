"""What the verbs that train many networks, and `report`, end with."""

from __future__ import annotations

import sys
from pathlib import Path

from dorsal.jobs.records import Study
from dorsal.study.population.records import PopulationStudy
from dorsal.study.search.records import SearchStudy


def show_outcome(study: Study, folder: Path, as_json: bool) -> None:
    """Writes the report files into `folder` and prints the tables, or results.json, and where the page is."""
    from rich.console import Console

    from dorsal.report.comparison.terminal import print_comparison
    from dorsal.report.write import write_report

    found = write_report(study, folder)
    if as_json:
        sys.stdout.write((folder / "results.json").read_text(encoding="utf-8"))
        return
    print_comparison(study, found, Console())
    print(f"report: {folder / 'report.html'}")


def show_population(population: PopulationStudy, folder: Path, storage: str | None, as_json: bool) -> None:
    """Analyses the population with what its folder holds beside it, writes the report files into `folder`, and prints
    the tables, or results.json, and where the page is."""
    from rich.console import Console

    from dorsal.report.population.terminal import print_population
    from dorsal.report.write import write_report

    found = write_report(population, folder, storage)
    if as_json:
        sys.stdout.write((folder / "results.json").read_text(encoding="utf-8"))
        return
    print_population(found, Console())
    print(f"report: {folder / 'report.html'}")


def show_search(search: SearchStudy, against: PopulationStudy | None, folder: Path, as_json: bool) -> None:
    """Writes the report files into `folder` and prints the front and what is concluded, or all of it as JSON."""
    from rich.console import Console

    from dorsal.findings.search import analyse_search
    from dorsal.report.search.page import write_search_report
    from dorsal.report.search.terminal import print_search

    outcome = analyse_search(search, against)
    write_search_report(search, outcome, folder)
    if as_json:
        sys.stdout.write((folder / "results.json").read_text(encoding="utf-8"))
        return
    print_search(outcome, Console())
    if outcome.front:
        by = " --by pareto" if len(outcome.objectives) > 1 else ""
        print(f"as text or files: dorsal space pick {folder}{by}")
    print(f"report: {folder / 'report.html'}")
