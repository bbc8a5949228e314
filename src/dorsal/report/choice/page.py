"""A choice of weights as one HTML page that needs nothing else, and as results.json."""

from __future__ import annotations

from html import escape
from pathlib import Path

import msgspec
from msgspec.structs import replace

from dorsal.findings.choice import ChoiceFindings
from dorsal.jobs.json_file import write_whole
from dorsal.report.choice.figures import DASH, round_view
from dorsal.report.files import json_of
from dorsal.report.parts import data_line, items, legend, page_of, run_facts, section, swatch, table, top
from dorsal.report.plot import GREY
from dorsal.report.shell import chart
from dorsal.report.words.choice import (
    COST_COLUMNS,
    SCORE_COLUMNS,
    caveats,
    command,
    conclusions,
    cost_rows,
    score_rows,
)
from dorsal.report.words.numerals import plural
from dorsal.report.words.remarks import remark_sentence
from dorsal.study.choice.records import FINETUNE, ChoiceStudy


def write_choice_report(study: ChoiceStudy, found: ChoiceFindings, folder: Path) -> None:
    """Writes results.json and report.html into `folder`, each whole or not at all; `found` is of this choice."""
    whole = {
        "study": replace(study, finetuning=None),
        "analysis": {
            **msgspec.to_builtins(replace(found, comparison=None)),
            "sentences": conclusions(study, found),
            "caveats": tuple(caveats(study, found)),
            "command": command(study, found),
        },
    }
    write_whole(folder / "results.json", json_of(whole))
    write_whole(folder / "report.html", choice_page(study, found).encode())


def choice_page(study: ChoiceStudy, found: ChoiceFindings) -> str:
    """The page as text. Every string of the study is escaped."""
    about = (
        f"{plural(len(study.arms), 'candidate')}, {plural(len(study.rounds), 'round')} of probing, "
        f"{len(study.finalists)} fine-tuned. {data_line(study.data)} {study.created}"
    )
    sections = (
        top(study.name, about, conclusions(study, found), caveats(study, found)),
        _command(study, found),
        section("Candidates", _candidates(study, found)),
        section("Rounds of probing", _rounds(study)),
        _run(study),
    )
    return page_of(study.name, sections)


def _command(study: ChoiceStudy, found: ChoiceFindings) -> str:
    how = command(study, found)
    return section(f"To train {escape(found.top[0])}", f"<pre>{escape(how)}</pre>") if how else ""


def _candidates(study: ChoiceStudy, found: ChoiceFindings) -> str:
    places = {arm.label: index for index, arm in enumerate(study.arms)}
    costs = {row[0]: row[1:] for row in cost_rows(study, found)}
    empty = [""] * len(COST_COLUMNS)
    rows = [
        [f"{_swatch(places, row[0])}{escape(row[0])}", *map(escape, [*row[1:], *costs.get(row[0], empty)])]
        for row in score_rows(study, found)
    ]
    head = ["weights", "fine-tuned, %", "rank", "probed, %", *SCORE_COLUMNS[3:], *COST_COLUMNS]
    more = (
        f'<p>The fine-tuned ones, pair by pair: <a href="{FINETUNE}/report.html">their comparison</a>.</p>'
        if found.comparison
        else ""
    )
    return table("Candidates", head, rows) + more


def _swatch(places: dict[str, int], label: str) -> str:
    """The look of a candidate, or of a control."""
    if label in places:
        return swatch(places[label])
    gap = {"dot": "1.5 1.5", "dash": "4 2"}[DASH[label]]
    return (
        f'<svg class="swatch" viewBox="0 0 14 12" aria-hidden="true"><path d="M0 6h14" stroke="{GREY}" '
        f'stroke-width="2" stroke-dasharray="{gap}"/></svg>'
    )


def _rounds(study: ChoiceStudy) -> str:
    places = {arm.label: index for index, arm in enumerate(study.arms)}
    grey = "".join(f"<li>{_swatch(places, control)}{escape(control)}</li>" for control in study.controls)
    names = {index: label for label, index in places.items()}
    caption = (
        "A probe of each candidate's frozen features, by the number of training images it learnt from, scored on "
        "training images held out. Bars are 95 % intervals, of each alone, over these images and over draws of images "
        "to learn from where a round has several. A line ends where the candidate was dropped. Grey: the controls."
    )
    return chart("Rounds of probing", [round_view(study)], caption, legend(names, grey))


def _run(study: ChoiceStudy) -> str:
    """What it takes to trust the choice and to make it again."""
    facts = run_facts(study.machine, study.versions, study.data)
    said = items((*study.data.notes, *map(remark_sentence, study.remarks)))
    notes = f'<ul class="caveats">{said}</ul>' if said else ""
    return section("How it was run", f"<pre>{escape(study.command)}</pre>{facts}{notes}")
