"""A population as files for other programs: results.json with the findings, and a table of its networks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from dorsal.findings.latency import LatencyFindings
from dorsal.findings.population.records import PopulationFindings, SpaceFinding
from dorsal.jobs.json_file import write_whole
from dorsal.report.files import json_of, networks_csv
from dorsal.report.words.populations import (
    IMPORTANCE_METHOD,
    conclusions,
    no_importances,
    no_profile,
    notes,
    pair_sentence,
    plan_sentence,
    populations_method,
    rule_sentence,
)
from dorsal.report.words.schedule import order_sentences, rank_sentences, schedule_sentence
from dorsal.study.population.records import PopulationStudy


def write_results(
    population: PopulationStudy, found: PopulationFindings, folder: Path, latency: LatencyFindings | None
) -> None:
    """Writes results.json and networks.csv into `folder`, each whole or not at all.

    results.json holds the findings with their sentences, the study without networks and runs, the spaces, and the
    latency model; a number that is not finite is null there. networks.csv has a line a network, with its status, error
    in percent, costs, and drawn axes (`widths.2` is that of stage 2).
    """
    whole = {
        "study": replace(population.study, arms=(), runs=(), trials=()),
        "spaces": [drawn.space for drawn in population.spaces],
        "analysis": with_words(found),
        "latency": None if latency is None else latency.model,
    }
    write_whole(folder / "results.json", json_of(whole))
    write_whole(folder / "networks.csv", networks_csv(population.study, list(_networks(found))))


def with_words(found: PopulationFindings) -> dict[str, Any]:
    """The findings as builtins, with the sentences that go with them."""
    whole: dict[str, Any] = msgspec.to_builtins(found)
    for written, space in zip(whole["spaces"], found.spaces, strict=True):
        written["linear_rule"]["sentence"] = rule_sentence(space.linear_rule, found.confidence)
        written["importances"] |= {"method": IMPORTANCE_METHOD, "reason": no_importances(space.importances)}
        for column, axis in zip(written["axes"], space.axes, strict=True):
            column["reason"] = no_profile(axis)
    for written, pair in zip(whole["pairs"], found.pairs, strict=True):
        written["sentence"] = pair_sentence(pair, found)
        if pair.comparison is not None:
            written["comparison"]["method"] = populations_method(found)
    reliability = whole["reliability"]
    for written, rank in zip(reliability["ranks"], found.reliability.ranks, strict=True):
        written["sentences"] = rank_sentences(rank, found.reliability)
    for written, order in zip(reliability["orders"], found.reliability.orders, strict=True):
        written["sentences"] = order_sentences(order)
    reliability["sentence"] = schedule_sentence(found.reliability)
    whole["planner"]["sentence"] = plan_sentence(found)
    return {**whole, "sentences": conclusions(found), "notes": notes(found)}


def _networks(found: PopulationFindings) -> Iterator[dict[str, Any]]:
    for space in found.spaces:
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
