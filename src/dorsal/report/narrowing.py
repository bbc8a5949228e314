"""A proposal of the next space as one HTML page: distributions of errors before and after, and the steps."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import msgspec

from dorsal.findings.narrowing.records import ProposedSpace, StepVerdict
from dorsal.jobs.json_file import write_whole
from dorsal.report.distributions import NamedDistribution, distribution_figure
from dorsal.report.parts import estimated, items, legend, page_of, section, table, top
from dorsal.report.plot import View
from dorsal.report.shell import chart
from dorsal.report.words.narrowing import conclusions, step_change, step_sentence
from dorsal.report.words.numerals import NONE, chance, magnitude


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
    said = f'<ul class="caveats">{items(step_sentence(step, proposal) for step in steps)}</ul>'
    title = f"{of.name}, narrowed"
    sections = (
        top(title, f"{of.name}: {magnitude(proposal.points[0])} points, {bounds}", conclusions(proposal)),
        section("Before and after", figure),
        section("Steps considered", _table(steps) + said),
    )
    return page_of(title, sections)


def with_words(proposal: ProposedSpace) -> dict[str, Any]:
    """The proposal as builtins, with the sentences that go with it."""
    whole: dict[str, Any] = msgspec.to_builtins(proposal)
    for written, step in zip(whole["considered"], proposal.considered, strict=True):
        written |= {"change": step_change(step), "sentence": step_sentence(step, proposal)}
    return {**whole, "sentences": conclusions(proposal)}


def _distributions(proposal: ProposedSpace) -> list[NamedDistribution]:
    names = (proposal.of.name, proposal.space.name if proposal.space else "")
    curves = enumerate(zip(names, (proposal.before, proposal.after), strict=True))
    return [NamedDistribution(place, name, curve.edf, curve.band) for place, (name, curve) in curves if curve]


def _names(found: list[NamedDistribution]) -> dict[int, str]:
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
        escape(step_change(step)),
        "yes" if step.taken else "no",
        estimated(cost.change, sign="+") if cost else NONE,
        f"{cost.inside:,}" if cost else NONE,
        f"{cost.outside:,}" if cost else NONE,
        chance(step.adjusted_p),
    ]
