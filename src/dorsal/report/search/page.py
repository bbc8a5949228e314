"""A search as one HTML page that needs nothing else, and its whole report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from dorsal.findings.search import FrontPoint, SearchFindings
from dorsal.jobs.json_file import write_whole
from dorsal.report.fronts import POINTS
from dorsal.report.parts import (
    articles,
    data_line,
    how_it_was_run,
    legend,
    network_article,
    networks_table,
    page_of,
    section,
    top,
)
from dorsal.report.search.figures import RANDOM, SEARCH, course_view, front_views
from dorsal.report.search.results import write_results
from dorsal.report.shell import chart, prose
from dorsal.report.words.numerals import count, plural
from dorsal.report.words.search import conclusions, heading, value_of
from dorsal.spec.cost import COSTS
from dorsal.study.search.records import ERROR, SearchStudy

MOST_DRAWN = 6
"""Networks of the front that are drawn, spread over it."""

_STYLE = """
.tall { max-height: 520px; overflow-y: auto; }
.tall thead th { position: sticky; top: 0; background: var(--paper); z-index: 1; }
"""


def write_search_report(search: SearchStudy, found: SearchFindings, folder: Path) -> None:
    """Writes results.json, networks.csv and report.html into `folder`, each whole or not at all; `found` is of this
    search."""
    write_results(search, found, folder)
    write_whole(folder / "report.html", search_page(search, found).encode())


def search_page(search: SearchStudy, found: SearchFindings) -> str:
    """The page as text; `found` is of this search. Every string of the search is escaped."""
    study, log = search.study, search.log
    bounds = ", ".join(f"{name} {bound}" for name, bound in log.bounds.items()) or "no bounds"
    about = (
        f"{found.sampler} on {found.space}, {bounds}, for {' and '.join(found.objectives)}: "
        f"{found.counts.finished:,} of {plural(len(log.networks), 'network')} finished, "
        f"{plural(found.epochs, 'epoch')}, {plural(found.seeds, 'seed')}. {data_line(study.data)} "
        f"{study.machine.processor}, {study.machine.device}. {study.created}"
    )
    sections = (
        top(found.name, about, conclusions(found), alike=True),
        section("Course of the search", _course(search, found)),
        "" if found.learning.nothing else section("Error against cost", _fronts(search, found)),
        section("The best", _best(search, found)),
        section("All networks", _all(search, found)),
        how_it_was_run(study),
    )
    return page_of(found.name, sections, _STYLE)


def _course(search: SearchStudy, found: SearchFindings) -> str:
    caption = (
        "Every finished network where it was asked for, and the least error so far. Hollow: random draws; full: "
        "proposals of the sampler."
    )
    names = {SEARCH: "the search"}
    if found.against is not None:
        caption += " Random search: the best of as many random networks, the median over searches, and 8 in 10 of them."
        names[RANDOM] = "random search"
    return chart("Course of the search", [course_view(search, found)], caption, legend(names))


def _fronts(search: SearchStudy, found: SearchFindings) -> str:
    caption = (
        "Rings: networks that no other equals or beats in all objectives and beats in one; they are chosen and judged "
        "on the same images."
        if len(found.objectives) > 1
        else "The costs were no objective. Rings: networks that no other beats in both error and this cost."
    )
    if (number := len(found.objectives)) > 2:
        caption += f" The front is that of all {number} objectives; a network on it may look beaten in this projection."
    return chart("Error against cost", front_views(search, found), f"{POINTS} {caption}")


def _best(search: SearchStudy, found: SearchFindings) -> str:
    """Networks of the front, drawn: all of them, or so many spread over it."""
    shown = _spread(found.front)
    left = f"<p>{len(shown)} of the {len(found.front)} networks of the front.</p>" * (len(shown) < len(found.front))
    return left + articles(_drawings(search, found, shown))


def _drawings(search: SearchStudy, found: SearchFindings, shown: Sequence[FrontPoint]) -> Iterator[str]:
    arms = {arm.label: arm for arm in search.study.arms}
    sizes = {network.label: int(network.costs["image_size"]) for network in search.log.networks}
    for point in shown:
        arm = arms[point.label]
        values = [
            f"{heading(name)}: {value_of(name, value)}"
            for name, value in zip(found.objectives, point.values, strict=True)
        ]
        known = {"macs": count(arm.cost.macs), "params": count(arm.cost.params)}
        values += [f"{heading(name)}: {cost}" for name, cost in known.items() if name not in found.objectives]
        yield network_article(escape(arm.label), prose(", ".join(values)), arm, sizes[arm.label])


def _spread(items: Sequence[FrontPoint]) -> list[FrontPoint]:
    if len(items) <= MOST_DRAWN:
        return list(items)
    return [items[round(i * (len(items) - 1) / (MOST_DRAWN - 1))] for i in range(MOST_DRAWN)]


def _all(search: SearchStudy, found: SearchFindings) -> str:
    arms = {arm.label: arm for arm in search.study.arms}
    costs = [name for name in found.objectives if name != ERROR] or list(COSTS)
    rows = (
        (
            [
                escape(network.label),
                "draw" if network.drawn else "proposal",
                status if error is None else f"{error:.2f}",
                *(value_of(name, network.costs[name]) for name in costs),
            ],
            arms[network.label],
        )
        for network, status, error in zip(search.log.networks, found.statuses, found.errors, strict=True)
    )
    return networks_table(("network", "asked as", "error, %", *map(heading, costs)), rows)
