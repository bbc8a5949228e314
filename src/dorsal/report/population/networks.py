"""The networks of a population: a few of each space drawn, and all of them in a table."""

from __future__ import annotations

from html import escape

from dorsal.findings.population.records import PopulationFindings, SpaceFinding
from dorsal.jobs.records import Arm
from dorsal.report.drawing import draw_arm
from dorsal.report.numerals import count
from dorsal.report.parts import NONE_FINISHED, clipped, swatch, table
from dorsal.study.population.records import PopulationStudy


def drawings(population: PopulationStudy, analysis: PopulationFindings) -> str:
    """The best network, that nearest the median, and the worst of each space that has any with a result."""
    arms = {arm.label: arm for arm in population.study.arms}
    articles = []
    for index, space in enumerate(analysis.spaces):
        if (found := space.summary) is None:
            continue
        ranks: dict[str, list[str]] = {}
        for rank, network in (("best", found.best), ("nearest the median", found.middle), ("worst", found.worst)):
            ranks.setdefault(network.label, []).append(rank)
        for label, names in ranks.items():
            articles.append(_article(index, space, arms[label], " and ".join(names)))
    return f'<div class="arms">{"".join(articles)}</div>' if articles else NONE_FINISHED


def _article(index: int, space: SpaceFinding, arm: Arm, rank: str) -> str:
    row = space.labels.index(arm.label)
    side = int(space.costs["image_size"][row])
    drawing = draw_arm(arm.network, side)
    costs = f"{count(arm.cost.macs)} MACs, {count(arm.cost.params)} parameters"
    return (
        f"<article><h3>{swatch(index)}{escape(space.name)}, {rank}: {space.errors[row]:.2f}&nbsp;% error</h3>"
        f'<p class="soft">{escape(arm.label)}, {costs}, {side}×{side} pixels</p>'
        f"<code>{escape(arm.text)}</code>{drawing}</article>"
    )


def all_networks(population: PopulationStudy, analysis: PopulationFindings) -> str:
    """Every network, those with a result first and by error."""
    arms = {arm.label: arm for arm in population.study.arms}
    found = [
        (float("inf") if error is None else error, index, label, status)
        for index, space in enumerate(analysis.spaces)
        for label, status, error in zip(space.labels, space.statuses, space.errors, strict=True)
    ]
    rows = []
    for error, index, label, status in sorted(found, key=lambda network: network[0]):
        cost = arms[label].cost
        rows.append(
            [
                f"{swatch(index)}{escape(label)}",
                status if error == float("inf") else f"{error:.2f}",
                *map(count, (cost.macs, cost.params, cost.activations)),
                clipped(arms[label].text),
            ]
        )
    head = ("network", "error, %", "MACs", "parameters", "activations", "as text, for <code>dorsal train</code>")
    return table("All networks", head, rows, "words tall")
