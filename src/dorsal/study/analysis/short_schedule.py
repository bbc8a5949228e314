"""Whether the population's schedule is long enough to rank networks and spaces, where there is evidence of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from dorsal.stats import population_reliability, rank_reliability, ranking_sentence, survival_sentence
from dorsal.stats.bootstrap import FEWEST
from dorsal.stats.interval import Array
from dorsal.stats.reliability import FEWEST_RANKED, budget_table
from dorsal.study.analysis.records import (
    OrderReliability,
    RankReliability,
    ReliabilityFinding,
    Retrained,
)

ALL = "all spaces"
BEST = 5
"""Of how many best networks the agreement is asked; of fewer, a quarter, where there are few."""


def reliability_finding(
    retrained: Retrained | None, labels: Mapping[str, Sequence[str]], epochs: int
) -> ReliabilityFinding:
    """Tables and sentences from the evidence, by space, for all together, and for every two; or how to get some.

    `labels` are the networks of each space by its name.

    Raises ValueError for evidence on a network of no space, or of another shape than it says.
    """
    if retrained is None:
        return ReliabilityFinding(
            sentence=(
                f"Unverified: nothing shows that a schedule of {epochs} epoch{'s' * (epochs > 1)} ranks these networks "
                "and spaces as a longer one would; `dorsal space reliability` trains some of them longer and tells."
            )
        )
    table = budget_table(np.array(retrained.errors, dtype=np.float64), "errors", retrained.budgets)
    places = {label: place for place, label in enumerate(retrained.labels)}
    if strangers := places.keys() - {label for each in labels.values() for label in each}:
        raise ValueError(f"labels: {min(strangers)!r} is no network of this population")
    tables = {name: table[[places[label] for label in each if label in places]] for name, each in labels.items()}
    asked = {**tables, ALL: table} if len(tables) > 1 else tables
    ranks = tuple(_ranks(name, rows, retrained.budgets) for name, rows in asked.items())
    orders = tuple(_orders(a, b, tables, retrained.budgets) for a, b in combinations(tables, 2))
    return ReliabilityFinding(sentence=ranks[-1].sentences[0], ranks=ranks, orders=orders)


def _ranks(space: str, table: Array, budgets: Sequence[str]) -> RankReliability:
    """The first sentence is on the shortest budget against the longest."""
    table = table[~np.isnan(table).all(axis=(1, 2))]
    if len(table) < FEWEST_RANKED:
        said = (
            f"On ranks: {len(table)} networks of {space} were trained longer, and at least {FEWEST_RANKED} are needed."
        )
        return RankReliability(space=space, reliability=None, sentences=(said,))
    found = rank_reliability(table, budgets, k=max(1, min(BEST, len(table) // 4)))
    ceilings = {ceiling.budget: ceiling for ceiling in found.ceilings}
    farthest = sorted(found.agreements, key=lambda each: (each.short, each.long) != (budgets[0], budgets[-1]))
    sentences = tuple(ranking_sentence(each, ceilings[each.short], found.confidence) for each in farthest)
    return RankReliability(space=space, reliability=found, sentences=sentences)


def _orders(a: str, b: str, tables: dict[str, Array], budgets: Sequence[str]) -> OrderReliability:
    complete = [int(np.all(np.any(np.isfinite(tables[name]), axis=2), axis=1).sum()) for name in (a, b)]
    if min(complete) < FEWEST:
        said = (
            f"Whether {a} and {b} keep their order cannot be said: {complete[0]} and {complete[1]} networks have a "
            f"result at every schedule, and at least {FEWEST} of each are needed."
        )
        return OrderReliability(a=a, b=b, reliability=None, sentences=(said,))
    found = population_reliability(tables[a], tables[b], budgets)
    sentences = tuple(survival_sentence(each, a, b) for each in found.survivals)
    return OrderReliability(a=a, b=b, reliability=found, sentences=sentences)
