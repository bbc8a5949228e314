"""Answers as HTML: all pairs as a figure, and tables of means and pairs. What they are given is escaped."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from dorsal.findings.answers import Answer
from dorsal.report.pairs import caption, forest
from dorsal.report.parts import details, items, section, table
from dorsal.report.plot import View
from dorsal.report.shell import chart
from dorsal.report.words.answers import MEAN_COLUMNS, METHOD, PAIR_COLUMNS, flip_rows, mean_rows, pair_rows


def differences(answers: Mapping[str, Answer], margin: float, unit: str) -> str:
    """The section of the figure of all pairs, a view for each answer by its title; `unit` as in `forest`."""
    views = [View(title, forest(each.pairs, each.verdicts, margin, unit)) for title, each in answers.items()]
    shown = f"{margin:g}{unit.removesuffix('s' * (margin == 1))}"
    return section("Differences between arms", chart("Differences between arms", views, caption(shown)))


def answer_tables(title: str, answer: Answer) -> str:
    """The means, the pairs, and from 6 seeds on the sign flips."""
    means = [[escape(cell) for cell in row] for row in mean_rows(answer)]
    pairs = [[escape(cell) for cell in row] for row in pair_rows(answer)]
    flips = [[escape(cell) for cell in row] for row in flip_rows(answer)]
    exact = table(f"Sign flips: {title}", ("pair", "p by sign flips"), flips) if flips else ""
    return (
        table(f"Means: {title}", ("arm", *MEAN_COLUMNS), means)
        + table(f"Pairs: {title}", ("pair", *PAIR_COLUMNS), pairs)
        + exact
    )


def method() -> str:
    """The section on how answers are computed."""
    return section("Method", details("How it was computed", f"<ul>{items(METHOD)}</ul>"))
