"""Pieces of HTML that pages of studies are made of. What they are given is escaped, but for cells of tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

import msgspec

from dorsal.data.summary import DataSummary
from dorsal.jobs.records import Arm, Machine, Study
from dorsal.report.drawing import draw_arm
from dorsal.report.plot import look
from dorsal.report.shell import prose, shell
from dorsal.report.words.numerals import NONE, plural, seconds
from dorsal.report.words.remarks import study_notes
from dorsal.stats import Estimate

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


def page_of(title: str, sections: Iterable[str], style: str = "") -> str:
    """A whole page: its top, then its other sections in order."""
    return shell(title, f"{''.join(sections)}</main>", style)


def top(title: str, about: str, conclusions: Iterable[str], limits: Iterable[str] = (), *, alike: bool = False) -> str:
    """What a page begins with: its title, what it is about, the conclusions, and what they do not show.

    The first conclusion is large unless they are all `alike`. The page's `main` element is left open.
    """
    warned = items(limits)
    below = f'<h3>What this does not show</h3><ul class="caveats">{warned}</ul>' if warned else ""
    return f"""<header><h1>{escape(title)}</h1><p class="soft">{prose(about)}</p></header>
<main><ul class="verdicts{" alike" * alike}">{items(conclusions)}</ul>{below}
"""


def section(title: str, body: str) -> str:
    """A section under its heading, which is markup."""
    return f"<section><h2>{title}</h2>{body}</section>\n"


def details(summary: str, body: str) -> str:
    """What opens at a click on its summary."""
    return f"<details><summary>{escape(summary)}</summary>{body}</details>"


def how_it_was_run(study: Study) -> str:
    """The section on what it takes to trust the study and to run it again."""
    tuned = {each.tuned for each in study.tuning}
    asked = {name: recipe for name, recipe in study.recipes.items() if name not in tuned}
    facts = run_facts(
        study.machine,
        study.versions,
        study.data,
        {
            "training": f"{seconds(sum(trial.seconds for trial in study.trials))} in all",
            "seeds": ", ".join(map(str, study.seeds)),
            "epochs": ", ".join(f"{name} {recipe.epochs}" for name, recipe in asked.items()),
        },
    )
    recipes = "".join(
        details(f"Recipe {name}", f"<pre>{escape(msgspec.json.format(msgspec.json.encode(recipe)).decode())}</pre>")
        for name, recipe in asked.items()
    )
    said = study_notes(study)
    notes = f'<ul class="caveats">{items(said)}</ul>' if said else ""
    command = f"<pre>{escape(study.command)}</pre>"
    return section("How it was run", f"{command}{facts}{notes}{recipes}{lost_runs(study)}")


def run_facts(
    machine: Machine, versions: Mapping[str, str], data: DataSummary, more: Mapping[str, str] | None = None
) -> str:
    """Where, with what, and on which data something ran, as a list; `more` has further facts by name."""
    about = {
        "machine": f"{machine.processor}, {machine.cores} cores, {machine.memory_gib:.0f} GiB, {machine.system}",
        "runs": f"on {machine.device}, {machine.workers} at a time, {plural(machine.threads, 'thread')} each",
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "data": f"{data.description}, fingerprint {data.fingerprint}",
        **(more or {}),
    }
    return f"<dl>{''.join(f'<dt>{name}</dt><dd>{escape(value)}</dd>' for name, value in about.items())}</dl>"


def network_article(title: str, about: str, arm: Arm, image_size: int) -> str:
    """One network: a heading and a line about it, both markup, its text, and its drawing."""
    return (
        f'<article><h3>{title}</h3><p class="soft">{about}, {image_size}×{image_size} pixels</p>'
        f"<code>{escape(arm.text)}</code>{draw_arm(arm.network, image_size)}</article>"
    )


def articles(found: Iterable[str]) -> str:
    """Networks side by side; a remark where there is none."""
    joined = "".join(found)
    return f'<div class="arms">{joined}</div>' if joined else NONE_FINISHED


def networks_table(head: Sequence[str], rows: Iterable[tuple[Sequence[str], Arm]]) -> str:
    """All networks of a study; the cells of a row are followed by the network's text."""
    whole = ([*cells, clipped(arm.text)] for cells, arm in rows)
    return table("All networks", [*head, "as text, for <code>dorsal train</code>"], whole, "words tall")


def estimated(estimate: Estimate | None, digits: int = 2, sign: str = "") -> str:
    """A value and below it its interval; a dash where there is no value. `sign` "+" shows it always."""
    if estimate is None:
        return NONE
    value = f"{estimate.value:{sign}.{digits}f}"
    if estimate.low is None or estimate.high is None:
        return f"{value}<small>no interval</small>"
    return f"{value}<small>{estimate.low:{sign}.{digits}f} to {estimate.high:{sign}.{digits}f}</small>"


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
