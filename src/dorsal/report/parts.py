"""Pieces of HTML that pages of studies are made of. What they are given is escaped, but for cells of tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

import msgspec

from dorsal.data.summary import DataSummary
from dorsal.jobs.records import Study
from dorsal.report.numerals import plural, seconds
from dorsal.report.plot import look
from dorsal.report.shell import prose

NONE_FINISHED = "<p>No network has finished.</p>"


def items(lines: Iterable[str]) -> str:
    """Elements of a list."""
    return "".join(f"<li>{prose(line)}</li>" for line in lines)


def table(label: str, head: Sequence[str], rows: Iterable[Sequence[str]], style: str = "") -> str:
    """A table that scrolls inside its box. Cells are HTML; the first of a row is its heading."""
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>{"".join(f"<td>{cell}</td>" for cell in row[1:])}</tr>' for row in rows
    )
    heads = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    return (
        f'<div class="scroll {style}" tabindex="0" role="region" aria-label="{escape(label)}">'
        f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def clipped(text: str) -> str:
    """As much of a text as fits on a line, which opens to the whole."""
    return f'<details class="clip"><summary><code>{escape(text)}</code></summary></details>'


def swatch(index: int) -> str:
    """The look of an arm or a space in a word's height: its colour, hollow where its markers are open."""
    colour, dash, hollow = look(index)
    gap = {"solid": "", "dash": ' stroke-dasharray="4 2"', "dot": ' stroke-dasharray="1.5 1.5"'}[dash]
    fill = "none" if hollow else colour
    return (
        f'<svg class="swatch" viewBox="0 0 14 12" aria-hidden="true"><path d="M0 6h14" stroke="{colour}" '
        f'stroke-width="2"{gap}/><circle cx="7" cy="6" r="4" fill="{fill}" stroke="{colour}" stroke-width="1.5"/></svg>'
    )


def legend(names: Mapping[int, str], more: str = "") -> str:
    """Names with the looks of their indices, each with a box that shows and hides it; `more` are further elements."""
    boxes = "".join(
        f'<li><label><input type="checkbox" value="{index}" checked>{swatch(index)}{escape(name)}</label></li>'
        for index, name in names.items()
    )
    return f'<ul class="legend">{boxes}{more}</ul>'


def run_facts(study: Study) -> str:
    """What is needed, beside the command, to trust the study and to run it again."""
    machine = study.machine
    about = {
        "machine": f"{machine.processor}, {machine.cores} cores, {machine.memory_gib:.0f} GiB, {machine.system}",
        "runs": f"on {machine.device}, {machine.workers} at a time, {plural(machine.threads, 'thread')} each, "
        f"{seconds(sum(trial.seconds for trial in study.trials))} of training in all",
        "versions": ", ".join(f"{name} {version}" for name, version in study.versions.items()),
        "data": f"{study.data.description}, fingerprint {study.data.fingerprint}",
        "seeds": ", ".join(map(str, study.seeds)),
        "epochs": ", ".join(f"{name} {recipe.epochs}" for name, recipe in study.recipes.items()),
    }
    facts = "".join(f"<dt>{name}</dt><dd>{escape(value)}</dd>" for name, value in about.items())
    recipes = "".join(
        f"<details><summary>Recipe {escape(name)}</summary>"
        f"<pre>{escape(msgspec.json.format(msgspec.json.encode(recipe)).decode())}</pre></details>"
        for name, recipe in study.recipes.items()
    )
    notes = f'<ul class="caveats">{items(study.notes)}</ul>' if study.notes else ""
    return f"<dl>{facts}</dl>{notes}{recipes}{lost_runs(study)}"


def data_line(data: DataSummary) -> str:
    """What the images are, in one sentence."""
    size = f"{data.image_size}×{data.image_size} pixels"
    images = f"{data.train_images:,} training and {data.val_images:,} validation images of {size}"
    return f"{data.description}, {images}, {len(data.classes)} classes."


def lost_runs(study: Study) -> str:
    """Every run that did not finish, with its reason."""
    rows = [
        [escape(str(field)) for field in (*run, trial.status, len(trial.curve), trial.error)]
        for run, trial in study.ended().items()
        if trial.status != "finished"
    ]
    if not rows:
        return ""
    head = ("arm", "recipe", "seed", "status", "epochs", "reason")
    return f"<h3>Runs that did not finish</h3>{table('Runs that did not finish', head, rows, 'words')}"
