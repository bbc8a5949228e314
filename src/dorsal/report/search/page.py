"""A search as one HTML page that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from dorsal.findings.search import FrontPoint, SearchFindings
from dorsal.report.drawing import draw_arm
from dorsal.report.fronts import POINTS
from dorsal.report.numerals import count, plural
from dorsal.report.parts import NONE_FINISHED, clipped, data_line, items, legend, run_facts, table
from dorsal.report.search.figures import RANDOM, SEARCH, course_view, front_views
from dorsal.report.search.terminal import heading, value_of
from dorsal.report.shell import chart, prose, shell
from dorsal.spec.cost import COSTS
from dorsal.study.search.records import SearchStudy

MOST_DRAWN = 6
"""Networks of the front that are drawn, spread over it."""

_STYLE = """
.tall { max-height: 520px; overflow-y: auto; }
.tall thead th { position: sticky; top: 0; background: var(--paper); z-index: 1; }
"""


def search_page(search: SearchStudy, outcome: SearchFindings) -> str:
    """The page as text; `outcome` is of this search. Every string of the search is escaped."""
    sections = (
        _top(search, outcome),
        _course(search, outcome),
        _fronts(search, outcome),
        f"<section><h2>The best</h2>{_best(search, outcome)}</section>",
        f"<section><h2>All networks</h2>{_all(search, outcome)}</section>",
        f"<section><h2>How it was run</h2>{run_facts(search.study)}</section></main>",
    )
    return shell(outcome.name, "".join(sections), _STYLE)


def _top(search: SearchStudy, outcome: SearchFindings) -> str:
    study, course = search.study, search.course
    bounds = ", ".join(f"{name} {bound}" for name, bound in course.bounds.items()) or "no bounds"
    about = (
        f"{outcome.sampler} on {outcome.space}, {bounds}, for {' and '.join(outcome.objectives)}: "
        f"{outcome.counts.finished:,} of {plural(len(course.networks), 'network')} finished, "
        f"{plural(outcome.epochs, 'epoch')}, {plural(outcome.seeds, 'seed')}. "
        f"{data_line(study.data)} {study.machine.processor}, {study.machine.device}. {study.created}"
    )
    return f"""<header><h1>{escape(outcome.name)}</h1><p class="soft">{prose(about)}</p>
<pre>{escape(study.command)}</pre></header>
<main><ul class="verdicts alike">{items(outcome.sentences)}</ul>
"""


def _course(search: SearchStudy, outcome: SearchFindings) -> str:
    caption = (
        "Every finished network where it was asked for, and the least error so far. Hollow: random draws; full: "
        "proposals of the sampler."
    )
    names = {SEARCH: "the search"}
    if outcome.against is not None:
        caption += " Random search: the best of as many random networks, the median over searches, and 8 in 10 of them."
        names[RANDOM] = "random search"
    figure = chart("Course of the search", [course_view(search, outcome)], caption, legend(names))
    return f"<section><h2>Course of the search</h2>{figure}</section>"


def _fronts(search: SearchStudy, outcome: SearchFindings) -> str:
    caption = (
        "Rings: networks that no other equals or beats in all objectives and beats in one; they are chosen and judged "
        "on the same images."
        if len(outcome.objectives) > 1
        else "The costs were no objective. Rings: networks that no other beats in both error and this cost."
    )
    if (number := len(outcome.objectives)) > 2:
        caption += f" The front is that of all {number} objectives; a network on it may look beaten in this projection."
    figure = chart("Error against cost", front_views(search, outcome), f"{POINTS} {caption}")
    return f"<section><h2>Error against cost</h2>{figure}</section>"


def _best(search: SearchStudy, outcome: SearchFindings) -> str:
    """Networks of the front, drawn: all of them, or so many spread over it."""
    if not outcome.front:
        return NONE_FINISHED
    arms = {arm.label: arm for arm in search.study.arms}
    sizes = {network.label: int(network.costs["image_size"]) for network in search.course.networks}
    articles = []
    for point in _spread(outcome.front):
        arm = arms[point.label]
        values = ", ".join(
            f"{heading(name)}: {value_of(name, value)}"
            for name, value in zip(outcome.objectives, point.values, strict=True)
        )
        known = {"macs": count(arm.cost.macs), "params": count(arm.cost.params)}
        costs = "".join(f", {heading(n)}: {cost}" for n, cost in known.items() if n not in outcome.objectives)
        side = sizes[arm.label]
        drawing = draw_arm(arm.network, side)
        articles.append(
            f"<article><h3>{escape(arm.label)}</h3>"
            f'<p class="soft">{prose(values + costs)}, {side}×{side} pixels</p>'
            f"<code>{escape(arm.text)}</code>{drawing}</article>"
        )
    left = f"<p>{len(articles)} of the {len(outcome.front)} networks of the front.</p>"
    return f'{left * (len(articles) < len(outcome.front))}<div class="arms">{"".join(articles)}</div>'


def _spread(items: Sequence[FrontPoint]) -> list[FrontPoint]:
    if len(items) <= MOST_DRAWN:
        return list(items)
    return [items[round(i * (len(items) - 1) / (MOST_DRAWN - 1))] for i in range(MOST_DRAWN)]


def _all(search: SearchStudy, outcome: SearchFindings) -> str:
    arms = {arm.label: arm for arm in search.study.arms}
    costs = [name for name in outcome.objectives if name != "error"] or list(COSTS)
    rows = [
        [
            escape(network.label),
            "draw" if network.drawn else "proposal",
            status if error is None else f"{error:.2f}",
            *(value_of(name, network.costs[name]) for name in costs),
            clipped(arms[network.label].text),
        ]
        for network, status, error in zip(search.course.networks, outcome.statuses, outcome.errors, strict=True)
    ]
    head = ("network", "asked as", "error, %", *map(heading, costs), "as text, for <code>dorsal train</code>")
    return table("All networks", head, rows, "words tall")
