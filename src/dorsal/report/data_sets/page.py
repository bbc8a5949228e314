"""A comparison on several data sets as one HTML page that needs nothing else, and as results.json."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from dorsal.findings.data_sets import DataSetsFindings
from dorsal.jobs.json_file import write_whole
from dorsal.report.answers import answer_tables, differences, method
from dorsal.report.files import json_of
from dorsal.report.parts import data_line, page_of, section, table, top
from dorsal.report.words.data_sets import (
    UNIT,
    about,
    caveats,
    conclusions,
    recipe_rows,
    score_rows,
    what_goes_in,
)
from dorsal.report.words.numerals import plural
from dorsal.study.comparison.records import DataSetStudies

OVERALL = "Over data sets"


def write_data_sets_report(studies: DataSetStudies, found: DataSetsFindings, folder: Path) -> None:
    """Writes results.json and report.html into `folder`, each whole or not at all. The page links to those of the
    single data sets in their folders there.

    `found` is the analysis of these studies.
    """
    whole = {"plan": studies.plan, "analysis": with_words(found)}
    write_whole(folder / "results.json", json_of(whole))
    write_whole(folder / "report.html", data_sets_page(studies, found).encode())


def with_words(found: DataSetsFindings) -> dict[str, Any]:
    """The findings as builtins, with the sentences that go with them."""
    whole: dict[str, Any] = msgspec.to_builtins(found)
    return {**whole, "sentences": conclusions(found), "caveats": tuple(caveats(found))}


def data_sets_page(studies: DataSetStudies, found: DataSetsFindings) -> str:
    """The page as text. Every string of the studies is escaped."""
    sections = (
        top(studies.plan.name, about(studies, found), conclusions(found), caveats(found)),
        *_overall(found),
        section("Data sets", "".join(_data_set(studies, found, each.name) for each in studies.plan.data_sets)),
        method() if found.overall else "",
        section("How it was run", f"<pre>{escape(studies.plan.command)}</pre>"),
    )
    return page_of(studies.plan.name, sections)


def _overall(found: DataSetsFindings) -> Iterator[str]:
    """The sections on the answer over data sets, where there is one."""
    if found.overall is None:
        return
    names = list(found.data_sets)
    rows = [list(map(escape, row)) for row in score_rows(found, names, whole=True)]
    head = ("arm", *map(escape, names), "mean", "rank")
    yield section("Scores", f'{table("Scores", head, rows)}<p class="soft">{escape(what_goes_in(found))}.</p>')
    yield differences({OVERALL: found.overall, **found.data_sets}, found.margin, UNIT)
    yield section(OVERALL, answer_tables(OVERALL, found.overall))
    if found.by_recipe:
        rows = [list(map(escape, row)) for row in recipe_rows(found)]
        yield section("Under each recipe", table("Means over data sets", ("arm", *map(escape, found.by_recipe)), rows))


def _data_set(studies: DataSetStudies, found: DataSetsFindings, name: str) -> str:
    """A data set: what its images are, where its own page is, and the answer on it."""
    study = studies.studies.get(name)
    if study is None:
        return f"<h3>{escape(name)}</h3><p>Not begun.</p>"
    link = f'<a href="{escape(quote(name))}/report.html">its own report</a>'
    lost = plural(len(study.runs) - len(study.trials), "run")
    left = f" {lost} still to come." if len(study.trials) < len(study.runs) else ""
    answer = answer_tables(name, found.data_sets[name]) if name in found.data_sets else ""
    return f'<h3>{escape(name)}</h3><p class="soft">{escape(data_line(study.data) + left)} See {link}.</p>{answer}'
