"""What the verbs that train many networks, and `report`, end with."""

from __future__ import annotations

import sys
from pathlib import Path

from dorsal.study.population_records import Population
from dorsal.study.records import Study


def show_outcome(study: Study, folder: Path, as_json: bool) -> None:
    """Writes the report files into `folder` and prints the tables, or results.json, and where the page is."""
    from rich.console import Console

    from dorsal.report.terminal import print_study
    from dorsal.report.write import write_report

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

    from dorsal.report.population_files import write_population_report
    from dorsal.report.population_latency import MeasuredLatency
    from dorsal.report.population_terminal import print_population
    from dorsal.study.analysis import analyse
    from dorsal.study.latency_records import MEASUREMENTS, MODEL, LatencyModel, Measurements, read_record
    from dorsal.study.reliability_saved import load_retrained

    analysis = analyse(population, retrained=load_retrained(folder, storage))
    times = folder / "latency"
    latency = None
    if (times / MODEL).is_file():
        latency = MeasuredLatency(
            read_record(times / MODEL, LatencyModel), read_record(times / MEASUREMENTS, Measurements)
        )
    write_population_report(population, analysis, folder, latency)
    if as_json:
        sys.stdout.write((folder / "results.json").read_text(encoding="utf-8"))
        return
    print_population(analysis, Console())
    print(f"report: {folder / 'report.html'}")
