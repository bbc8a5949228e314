"""A table of scores as one HTML page that needs nothing else, and as results.json."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import msgspec

from dorsal.findings.table.analyse import TableFindings
from dorsal.jobs.json_file import write_whole
from dorsal.report.answers import answer_tables, differences, method
from dorsal.report.files import json_of
from dorsal.report.parts import page_of, section, top
from dorsal.report.words.table import caveats, conclusions, unit, what_was_read


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
    sections = (
        top(name, what_was_read(found), conclusions(found), caveats(found)),
        differences(answers, found.margin, unit(found)),
        *(section(escape(title), answer_tables(title, answer)) for title, answer in answers.items()),
        method(),
    )
    return page_of(name, sections)
