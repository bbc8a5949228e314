"""A table of scores as one HTML page that needs nothing else, and as results.json."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import msgspec
import plotly.graph_objects as go

from dorsal.findings.table.analyse import Answer, TableFindings
from dorsal.jobs.json_file import write_whole
from dorsal.report.files import json_of
from dorsal.report.parts import details, items, page_of, section, table, top
from dorsal.report.plot import View, plane, remark, shown
from dorsal.report.shell import chart
from dorsal.report.words.table import (
    MEAN_COLUMNS,
    PAIR_COLUMNS,
    caveats,
    conclusions,
    flip_rows,
    margin,
    mean_rows,
    pair_rows,
    unit,
    what_was_read,
)

LOOKS = {
    "better": ("#0072B2", "circle"),
    "practically equal": ("#009E73", "diamond"),
    "undecided": ("#7F7F7F", "circle-open"),
}
METHOD = (
    "Differences: randomised blocks, result = arm + seed + noise, and Tukey's studentized range for all pairs at once.",
    "Better: the interval excludes 0. Practically equal: it lies inside the margin. Undecided: neither.",
    "Ranks: an arm ranks behind those that are shown to be better and ahead of those that are shown to be worse.",
    "Wins: the probability that one run of the first arm beats one run of the second with the same seed, from the "
    "noncentral t distribution. Its interval is of the pair alone.",
    "Sign flips: from 6 seeds on, an exact test for all pairs at once that assumes no distribution.",
    "Several data sets: the data set takes the place of the seed, and each arm has its mean on it.",
)


def write_table_report(found: TableFindings, folder: Path) -> None:
    """Writes results.json and report.html into `folder`, each whole or not at all."""
    write_whole(folder / "results.json", json_of(with_words(found)))
    write_whole(folder / "report.html", table_page(found).encode())


def with_words(found: TableFindings) -> dict[str, Any]:
    """The findings as builtins, with the sentences that go with them."""
    whole: dict[str, Any] = msgspec.to_builtins(found)
    return {**whole, "sentences": conclusions(found), "caveats": tuple(caveats(found)), "read": what_was_read(found)}


def table_page(found: TableFindings) -> str:
    """The page as text. Every string of the table is escaped."""
    name = Path(found.path).name
    answers = {("Over data sets" if found.data_sets else "Arms"): found.overall, **found.data_sets}
    views = [View(title, _forest(answer, found)) for title, answer in answers.items()]
    caption = (
        f"Each pair of arms with its simultaneous interval; the band is the margin of {margin(found)}. "
        "Blue: better. Green diamond: practically equal. Grey and hollow: undecided."
    )
    sections = (
        top(name, what_was_read(found), conclusions(found), caveats(found)),
        section("Differences between arms", chart("Differences between arms", views, caption)),
        *(section(escape(title), _tables(title, answer)) for title, answer in answers.items()),
        section("Method", details("How it was computed", f"<ul>{items(METHOD)}</ul>")),
    )
    return page_of(name, sections)


def _tables(title: str, answer: Answer) -> str:
    means = [[escape(cell) for cell in row] for row in mean_rows(answer)]
    pairs = [[escape(cell) for cell in row] for row in pair_rows(answer)]
    flips = [[escape(cell) for cell in row] for row in flip_rows(answer)]
    exact = table(f"Sign flips: {title}", ("pair", "p by sign flips"), flips) if flips else ""
    return (
        table(f"Means: {title}", ("arm", *MEAN_COLUMNS), means)
        + table(f"Pairs: {title}", ("pair", *PAIR_COLUMNS), pairs)
        + exact
    )


def _forest(answer: Answer, found: TableFindings) -> go.Figure:
    """One row a pair, its names above it, over a band as wide as the margin."""
    figure = plane(f"better minus worse{',' * found.in_points}{unit(found)}", "")
    if not answer.pairs:
        remark(figure, "no two arms share a seed")
        return figure
    for verdict, (colour, symbol) in LOOKS.items():
        rows = [(-row, each.pair) for row, each in enumerate(answer.pairs) if each.judgement.verdict == verdict]
        halves = [
            None if pair.difference.high is None else pair.difference.high - pair.difference.value for _, pair in rows
        ]
        figure.add_scatter(
            x=[pair.difference.value for _, pair in rows],
            y=[row for row, _ in rows],
            text=[f"{shown(pair.better)} − {shown(pair.worse)}" for _, pair in rows],
            mode="markers",
            marker={"size": 9, "color": colour, "symbol": symbol},
            error_x={"array": halves, "thickness": 2, "width": 4} if any(halves) else None,
            hovertemplate="%{text}: %{x:.4g}<extra></extra>",
        )
    for row, each in enumerate(answer.pairs):
        names = f"{shown(each.pair.better)} − {shown(each.pair.worse)}"
        place = {"x": 0, "xref": "paper", "xanchor": "left", "y": 0.38 - row}
        figure.add_annotation(**place, text=names, showarrow=False, font={"size": 11})
    figure.add_vrect(x0=-found.margin, x1=found.margin, fillcolor="rgba(0,158,115,0.12)", line={"width": 0})
    figure.add_vline(x=0, line={"width": 1, "dash": "dot", "color": "#7F7F7F"})
    return figure.update_layout(
        margin={"l": 16},
        height=100 + 42 * len(answer.pairs),
        yaxis={"visible": False, "range": [0.3 - len(answer.pairs), 0.8]},
    )
