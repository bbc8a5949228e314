"""The scores of a comparison that are described and not tested, as a table for the terminal and one for the page."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from rich.table import Table

from dorsal.findings.secondary import SecondaryScores, secondary_scores
from dorsal.jobs.records import Study
from dorsal.report.parts import section, table
from dorsal.report.terminal import table_of
from dorsal.report.words.numerals import NONE
from dorsal.spec.task import Classify

DESCRIBED = "Other scores: described, not tested"
_ABREAST = 5
"""Scores beside each other in 80 columns."""


def secondary_tables(study: Study) -> Iterator[Table]:
    """Tables for the terminal with the other scores of every arm, some beside each other; none of a classification."""
    found = _found(study)
    names = _names(found)
    for start in range(0, len(names), _ABREAST):
        abreast = names[start : start + _ABREAST]
        rows = ([_label(study, each), *(_value(each, name) for name in abreast)] for each in found)
        yield table_of("arm", abreast, rows)


def secondary_section(study: Study) -> str:
    """A section of the page with the other scores of every arm; "" of a classification, and where there are none."""
    found = _found(study)
    names = _names(found)
    if not names:
        return ""
    head = ("arm", *(f"{escape(name)}, %" for name in names))
    rows = ([escape(_label(study, each)), *(_value(each, name) for name in names)] for each in found)
    said = "Means over the seeds. They say more of how arms differ; what is shown to differ, the first table says."
    return section("Other scores", f'{table(DESCRIBED, head, rows)}<p class="soft">{DESCRIBED}. {said}</p>')


def _found(study: Study) -> tuple[SecondaryScores, ...]:
    return () if isinstance(study.task, Classify) else secondary_scores(study)


def _names(found: tuple[SecondaryScores, ...]) -> list[str]:
    return list(dict.fromkeys(name for each in found for name in each.means))


def _label(study: Study, each: SecondaryScores) -> str:
    """The arm, with the recipe where there are several."""
    return each.arm if len(study.recipes) == 1 else f"{each.arm}, {each.recipe}"


def _value(each: SecondaryScores, name: str) -> str:
    return f"{each.means[name]:.2f}" if name in each.means else NONE
