"""A search's whole report into a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from dorsal.findings.search import SearchFindings
from dorsal.report.files import networks_csv, write_whole
from dorsal.report.search.page import search_page
from dorsal.study.search.records import SearchStudy


def write_search_report(search: SearchStudy, outcome: SearchFindings, folder: Path) -> None:
    """Writes results.json, networks.csv and report.html into `folder`, each whole or not at all.

    `outcome` is of this search. results.json holds it, the study without networks and runs, and what was asked for in
    turn. networks.csv has a line a network in that order, with its status, error in percent, costs, and axes
    (`widths.2` is that of stage 2).
    """
    whole = {"study": replace(search.study, arms=(), runs=(), trials=()), "course": search.course, "outcome": outcome}
    write_whole(folder / "results.json", msgspec.json.format(msgspec.json.encode(whole), indent=1))
    write_whole(folder / "networks.csv", networks_csv(search.study, list(_networks(search, outcome))))
    write_whole(folder / "report.html", search_page(search, outcome).encode())


def _networks(search: SearchStudy, outcome: SearchFindings) -> Iterator[dict[str, Any]]:
    for place, network in enumerate(search.course.networks):
        yield {
            "label": network.label,
            "drawn": network.drawn,
            "status": outcome.statuses[place],
            "error": outcome.errors[place],
            **network.costs,
            **_axes(network.point),
        }


def _axes(point: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in point.items():
        by_stage = value if isinstance(value, list) else None
        flat |= {name: value} if by_stage is None else {f"{name}.{at}": each for at, each in enumerate(by_stage, 1)}
    return flat
