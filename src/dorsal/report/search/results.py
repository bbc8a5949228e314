"""A search as files for other programs: results.json with the findings, and a table of its networks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from dorsal.findings.search import SearchFindings
from dorsal.jobs.json_file import write_whole
from dorsal.report.files import json_of, networks_csv
from dorsal.report.words.search import conclusions
from dorsal.study.search.records import SearchStudy


def write_results(search: SearchStudy, found: SearchFindings, folder: Path) -> None:
    """Writes results.json and networks.csv into `folder`, each whole or not at all.

    results.json holds the findings with their sentences, the study without networks and runs, and what was asked for in
    turn; a number that is not finite is null there. networks.csv has a line a network in that order, with its status,
    error in percent, costs, and axes (`widths.2` is that of stage 2).
    """
    whole = {
        "study": replace(search.study, arms=(), runs=(), trials=()),
        "log": search.log,
        "outcome": {**msgspec.to_builtins(found), "sentences": conclusions(found)},
    }
    write_whole(folder / "results.json", json_of(whole))
    write_whole(folder / "networks.csv", networks_csv(search.study, list(_networks(search, found))))


def _networks(search: SearchStudy, found: SearchFindings) -> Iterator[dict[str, Any]]:
    for place, network in enumerate(search.log.networks):
        yield {
            "label": network.label,
            "drawn": network.drawn,
            "status": found.statuses[place],
            "error": found.errors[place],
            **network.costs,
            **_axes(network.point),
        }


def _axes(point: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in point.items():
        by_stage = value if isinstance(value, list) else None
        flat |= {name: value} if by_stage is None else {f"{name}.{at}": each for at, each in enumerate(by_stage, 1)}
    return flat
