"""Whether the population's schedule is long enough to rank networks and spaces, if there is evidence of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import nan
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dorsal.findings.population.records import (
    OrderReliability,
    RankReliability,
    ReliabilityFinding,
    Retraining,
    counts_of,
)
from dorsal.jobs.results import network_result
from dorsal.stats import population_reliability, rank_reliability
from dorsal.stats.bootstrap import FEWEST_TO_RESAMPLE
from dorsal.stats.interval import Array
from dorsal.stats.reliability import FEWEST_RANKED, budget_table
from dorsal.study.population.records import RecheckRuns

WITHIN = "within spaces"
BEST = 5
"""The agreement is about this many best networks; about a quarter of the networks if there are few."""


def reliability_finding(
    retrained: RecheckRuns | None, labels: Mapping[str, Sequence[str]], epochs: int
) -> ReliabilityFinding:
    """What the evidence says about ranks, by space and within all spaces, and about the order of every two spaces.

    `labels` are the networks of each space, by its name. A network has an error at a schedule if all of its runs
    finished, as in the population.

    Raises ValueError for evidence on a network of no space, or of another shape than it says.
    """
    if retrained is None:
        return ReliabilityFinding(epochs=epochs)
    budgets = retrained.budgets
    found = _evidence(retrained, labels)
    counts = tuple(
        Retraining(space=name, budget=budget, counts=counts_of(evidence.statuses[:, place].tolist()))
        for name, evidence in found.items()
        for place, budget in enumerate(budgets)
    )
    asked = [(name, {name: evidence}) for name, evidence in found.items()]
    if len(found) > 1:
        asked.append((WITHIN, found))
    return ReliabilityFinding(
        epochs=epochs,
        retrained=counts,
        ranks=tuple(_ranks(name, spaces, budgets) for name, spaces in asked),
        orders=tuple(_orders({a: found[a], b: found[b]}, budgets) for a, b in combinations(found, 2)),
    )


class _Evidence(NamedTuple):
    """The evidence on one space: errors [networks, budgets, seeds], NaN for runs without one, and the networks'
    statuses.
    """

    errors: Array
    statuses: npt.NDArray[np.str_]


def _evidence(retrained: RecheckRuns, labels: Mapping[str, Sequence[str]]) -> dict[str, _Evidence]:
    places = {label: place for place, label in enumerate(retrained.labels)}
    if strangers := places.keys() - {label for each in labels.values() for label in each}:
        raise ValueError(f"labels: {min(strangers)!r} is no network of this population")
    errors = [[[nan if isinstance(run, str) else run for run in runs] for runs in each] for each in retrained.runs]
    table = budget_table(errors, "runs", retrained.budgets)
    statuses = np.array([[network_result(runs)[0] for runs in each] for each in retrained.runs])
    rows = {name: [places[label] for label in each if label in places] for name, each in labels.items()}
    return {name: _Evidence(table[each], statuses[each]) for name, each in rows.items()}


def _ranks(space: str, spaces: Mapping[str, _Evidence], budgets: Sequence[str]) -> RankReliability:
    tables = {}
    for name, (errors, statuses) in spaces.items():
        finished = statuses == "finished"
        tables[name] = np.where(finished[:, :, None], errors, np.nan)[finished.any(axis=1)]
    sizes = [len(table) for table in tables.values()]
    if max(sizes) < FEWEST_RANKED:
        return RankReliability(space=space, reliability=None)
    fewest = min(size for size in sizes if size >= FEWEST_RANKED)
    found = rank_reliability(
        np.concatenate(list(tables.values())),
        budgets,
        spaces=np.repeat(list(tables), sizes).tolist(),
        k=max(1, min(BEST, fewest // 4)),
    )
    return RankReliability(space=space, reliability=found)


def _orders(spaces: Mapping[str, _Evidence], budgets: Sequence[str]) -> OrderReliability:
    """The order of two spaces.

    Networks still waiting are left out. Lost ones count, since they may be lost because they are bad.
    """
    a, b = spaces
    first, second = (errors[(statuses != "waiting").all(axis=1)] for errors, statuses in spaces.values())
    whole = [int((~np.isnan(errors).any(axis=(1, 2))).sum()) for errors in (first, second)]
    found = None if min(whole) < FEWEST_TO_RESAMPLE else population_reliability(first, second, budgets)
    return OrderReliability(a=a, b=b, networks=(whole[0], whole[1]), reliability=found)
