"""What the verbs that train many networks, and `report`, end with."""

from __future__ import annotations

import sys
from pathlib import Path

from dorsal.study.population.records import Population
from dorsal.study.records import Study
from dorsal.study.search.records import Outcome


def show_outcome(study: Study, folder: Path, as_json: bool) -> None:
    """Writes the report files into `folder` and prints the tables, or results.json, and where the page is."""
    from rich.console import Console

    from dorsal.report.comparison.terminal import print_study
    from dorsal.report.comparison.write import write_report

    analysis = write_report(study, folder)
    if as_json:
        sys.stdout.write((folder / "results.json").read_text(encoding="utf-8"))
        return
    print_study(study, analysis, Console())
    print(f"report: {folder / 'report.html'}")


def show_population(population: Population, folder: Path, storage: str | None, as_json: bool) -> None:
    """Analyses the population with what was trained again of it, writes the report files into `folder`, and prints the
    tables, or results.json, and where the page is. Latencies measured into `folder`/latency are shown too."""
    from rich.console import Console

    from dorsal.report.population.latency import MeasuredLatency
    from dorsal.report.population.terminal import print_population
    from dorsal.report.population.write import write_population_report
    from dorsal.study.analysis.analyse import analyse_population
    from dorsal.study.latency.records import MEASUREMENTS, MODEL, LatencyModel, Measurements, read_latency
    from dorsal.study.population.reliability_saved import load_retrained

    analysis = analyse_population(population, retrained=load_retrained(folder, storage))
    times = folder / "latency"
    latency = None
    if (times / MODEL).is_file():
        latency = MeasuredLatency(
            read_latency(times / MODEL, LatencyModel), read_latency(times / MEASUREMENTS, Measurements)
        )
    write_population_report(population, analysis, folder, latency)
    if as_json:
        sys.stdout.write((folder / "results.json").read_text(encoding="utf-8"))
        return
    print_population(analysis, Console())
    print(f"report: {folder / 'report.html'}")


def show_search(outcome: Outcome, folder: Path | str, as_json: bool) -> None:
    """Prints the front of a search as a table, then what is concluded; or all of it as JSON."""
    if as_json:
        import msgspec

        print(msgspec.json.encode(outcome).decode())
        return
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table("network", *(_heading(name) for name in outcome.objectives))
    for point in outcome.front:
        values = (_amount(name, value) for name, value in zip(outcome.objectives, point.values, strict=True))
        table.add_row(point.label, *values)
    if outcome.front:
        console.print(table)
    for sentence in outcome.sentences:
        console.print(sentence, highlight=False, markup=False, soft_wrap=True)
    if outcome.front:
        by = " --by pareto" if len(outcome.objectives) > 1 else ""
        print(f"as text or files: dorsal space pick {folder}{by}")


def _heading(objective: str) -> str:
    return f"{objective} %" if objective == "error" else objective.replace("_ms", " ms")


def _amount(objective: str, value: float) -> str:
    if objective == "error" or objective.endswith("_ms"):
        return f"{value:.2f}"
    return f"{value / 1e6:.2f} M" if value >= 1e5 else f"{value:,.0f}"
