"""A proposal of the next space as one HTML page: distributions of errors before and after, and the steps."""

from __future__ import annotations

from html import escape
from pathlib import Path

from dorsal.findings.narrowing.records import ProposedSpace, StepVerdict
from dorsal.report.distributions import Distributed, distribution_figure
from dorsal.report.files import write_whole
from dorsal.report.parts import items, legend, table
from dorsal.report.plot import View
from dorsal.report.population.numerals import chance, estimated, magnitude
from dorsal.report.shell import chart, prose, shell


def write_narrowing(proposal: ProposedSpace, path: Path) -> None:
    """Writes the page to `path`, whole or not at all."""
    write_whole(path, narrowing_page(proposal).encode())


def narrowing_page(proposal: ProposedSpace) -> str:
    """The page as text. Names of spaces are escaped."""
    of, bounds = proposal.of, ", ".join(f"{name} {bound}" for name, bound in proposal.bounds.items()) or "no bounds"
    found = _distributions(proposal)
    caption = (
        "Share of the networks that have at most so much error; the higher curve is the better space. Bands, "
        f"{100 * proposal.confidence:g} %: of the whole curve. After: the networks that lie in the new space, or its "
        "own population where the folder has one."
    )
    figure = chart("Distribution of errors", [View("", distribution_figure(found))], caption, legend(_names(found)))
    steps = sorted(proposal.considered, key=lambda step: not step.taken)
    body = f"""<header><h1>{escape(of.name)}, narrowed</h1>
<p class="soft">{prose(f"{of.name}: {magnitude(proposal.points[0])} points, {bounds}")}</p></header>
<main><ul class="verdicts">{items(proposal.sentences)}</ul>
<section><h2>Before and after</h2>{figure}</section>
<section><h2>Steps considered</h2>{_table(steps)}
<ul class="caveats">{items(step.sentence for step in steps)}</ul></section></main>"""
    return shell(f"{of.name}, narrowed", body)


def _distributions(proposal: ProposedSpace) -> list[Distributed]:
    names = (proposal.of.name, proposal.space.name if proposal.space else "")
    curves = enumerate(zip(names, (proposal.before, proposal.after), strict=True))
    return [Distributed(place, name, curve.edf, curve.band) for place, (name, curve) in curves if curve]


def _names(found: list[Distributed]) -> dict[int, str]:
    when = ("before", "after")
    return {
        each.place: f"{each.name}, {when[each.place]}: {each.edf.n:,} networks, {each.edf.mean:.2f} % on average"
        for each in found
    }


def _table(steps: list[StepVerdict]) -> str:
    if not steps:
        return "<p>No step was considered.</p>"
    return table("Steps considered", ("step", "taken", "cost, points", "in", "out", "p"), map(_row, steps))


def _row(step: StepVerdict) -> list[str]:
    cost = step.cost
    return [
        escape(step.change),
        "yes" if step.taken else "no",
        estimated(cost.change, sign="+") if cost else "–",
        f"{cost.inside:,}" if cost else "–",
        f"{cost.outside:,}" if cost else "–",
        chance(step.adjusted_p),
    ]
