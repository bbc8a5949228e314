"""The networks of a population: a few of each space drawn, and all of them in a table."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from dorsal.findings.population.records import PopulationFindings
from dorsal.report.parts import articles, network_article, networks_table, swatch
from dorsal.report.words.numerals import count
from dorsal.study.population.records import PopulationStudy


def drawings(population: PopulationStudy, found: PopulationFindings) -> str:
    """The best network, that nearest the median, and the worst of each space that has any with a result."""
    return articles(_drawings(population, found))


def _drawings(population: PopulationStudy, found: PopulationFindings) -> Iterator[str]:
    arms = {arm.label: arm for arm in population.study.arms}
    for index, space in enumerate(found.spaces):
        if (summary := space.summary) is None:
            continue
        ranks: dict[str, list[str]] = {}
        for rank, network in (("best", summary.best), ("nearest the median", summary.middle), ("worst", summary.worst)):
            ranks.setdefault(network.label, []).append(rank)
        for label, names in ranks.items():
            row, cost = space.labels.index(label), arms[label].cost
            title = f"{swatch(index)}{escape(space.name)}, {' and '.join(names)}: {space.errors[row]:.2f}&nbsp;% error"
            about = f"{escape(label)}, {count(cost.macs)} MACs, {count(cost.params)} parameters"
            yield network_article(title, about, arms[label], int(space.costs["image_size"][row]))


def all_networks(population: PopulationStudy, found: PopulationFindings) -> str:
    """Every network, those with a result first and by error."""
    arms = {arm.label: arm for arm in population.study.arms}
    networks = [
        (float("inf") if error is None else error, index, label, status)
        for index, space in enumerate(found.spaces)
        for label, status, error in zip(space.labels, space.statuses, space.errors, strict=True)
    ]
    rows = []
    for error, index, label, status in sorted(networks, key=lambda network: network[0]):
        cost = arms[label].cost
        cells = [
            f"{swatch(index)}{escape(label)}",
            status if error == float("inf") else f"{error:.2f}",
            *map(count, (cost.macs, cost.params, cost.activations)),
        ]
        rows.append((cells, arms[label]))
    return networks_table(("network", "error, %", "MACs", "parameters", "activations"), rows)
