"""A population's whole report into a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from dorsal.findings.latency import LatencyFindings
from dorsal.findings.population.records import PopulationFindings, SpaceFinding
from dorsal.report.files import networks_csv, write_whole
from dorsal.report.population.page import population_page
from dorsal.study.population.records import PopulationStudy, RecheckRuns


def write_population_report(
    population: PopulationStudy,
    analysis: PopulationFindings,
    folder: Path,
    latency: LatencyFindings | None = None,
    retrained: RecheckRuns | None = None,
) -> None:
    """Writes results.json, networks.csv and report.html into `folder`, each whole or not at all.

    `analysis` is of this population and of what was `retrained`, which the page shows. results.json holds the analysis,
    the study without networks and runs, the spaces, and the latency model; a number that is not finite is null there.
    networks.csv has a line a network, with its status, error in percent, costs, and drawn axes (`widths.2` is that of
    stage 2).
    """
    whole = {
        "study": replace(population.study, arms=(), runs=(), trials=()),
        "spaces": [drawn.space for drawn in population.spaces],
        "analysis": analysis,
        "latency": None if latency is None else latency.model,
    }
    write_whole(folder / "results.json", msgspec.json.format(msgspec.json.encode(whole), indent=1))
    write_whole(folder / "networks.csv", networks_csv(population.study, list(_networks(analysis))))
    write_whole(folder / "report.html", population_page(population, analysis, latency, retrained).encode())


def _networks(analysis: PopulationFindings) -> Iterator[dict[str, Any]]:
    for space in analysis.spaces:
        for row, label in enumerate(space.labels):
            yield {
                "label": label,
                "space": space.name,
                "status": space.statuses[row],
                "error": space.errors[row],
                **{name: column[row] for name, column in space.costs.items()},
                **_axes(space, row),
            }


def _axes(space: SpaceFinding, row: int) -> dict[str, Any]:
    return {axis.axis if axis.stage is None else f"{axis.axis}.{axis.stage}": axis.values[row] for axis in space.axes}
