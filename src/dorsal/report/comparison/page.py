"""A study as one HTML page that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from dorsal.findings.comparison import ComparisonFindings
from dorsal.jobs.records import Arm, Study
from dorsal.report.comparison.figures import SHARE_COLOURS, cost_views, curve_views, pair_views, share_view
from dorsal.report.comparison.numerals import COST_COLUMNS, costs, percent, runs, spread
from dorsal.report.drawing import draw_arm
from dorsal.report.files import write_whole
from dorsal.report.numerals import plural
from dorsal.report.parts import data_line, items, legend, run_facts, swatch, table
from dorsal.report.shell import chart, shell
from dorsal.stats import Shares

GLYPHS = "●■◆▲✚★"


def write_page(study: Study, analysis: ComparisonFindings, path: Path) -> None:
    """Writes the page to `path`, whole or not at all."""
    write_whole(path, page(study, analysis).encode())


def page(study: Study, analysis: ComparisonFindings) -> str:
    """The page as text. Every string of the study is escaped."""
    sections = (
        _top(study, analysis),
        _results(study, analysis),
        _costs(study, analysis),
        _learning(study),
        _variance(analysis),
        _pairs(analysis),
        _architectures(study),
        f"<section><h2>How it was run</h2><pre>{escape(study.command)}</pre>{run_facts(study)}</section></main>",
    )
    return shell(study.name, "".join(sections))


def _top(study: Study, analysis: ComparisonFindings) -> str:
    sizes = ((len(study.arms), "arm"), (len(study.recipes), "recipe"), (len(study.seeds), "seed"))
    about = (
        f"{', '.join(plural(*size) for size in sizes)}: {analysis.done} of {analysis.planned} runs done. "
        f"{data_line(study.data)} {study.created}"
    )
    return f"""<header><h1>{escape(study.name)}</h1><p class="soft">{escape(about)}</p></header>
<main><ul class="verdicts">{items(analysis.sentences)}</ul>
<h3>What this does not show</h3><ul class="caveats">{items(analysis.caveats)}</ul>
"""


def _results(study: Study, analysis: ComparisonFindings) -> str:
    rows = []
    for index, arm in enumerate(study.arms):
        cells = [analysis.cell(arm.label, recipe) for recipe in study.recipes]
        accuracies = [f"{percent(cell.accuracy)}<small>{runs(cell)}</small>" for cell in cells]
        rows.append([f"{swatch(index)}{escape(arm.label)}", *accuracies, *map(escape, costs(arm))])
    recipes = [f"{escape(recipe)}<br>accuracy, %" for recipe in study.recipes]
    units = ("", "", "", "<br>ms", "<br>ms")
    head = ["arm", *recipes, *(f"{name}{unit}" for name, unit in zip(COST_COLUMNS, units, strict=True))]
    return f"""<section><h2>Results</h2>{table("Accuracy and cost of each arm", head, rows)}
<p class="soft">Accuracy: top-1 on the validation images after the last epoch, {spread(len(study.seeds))}.
Costs are for one image; {escape(_measured(study.arms))}</p></section>
"""


def _measured(arms: Sequence[Arm]) -> str:
    example = next((arm.forward or arm.train_step for arm in arms if arm.forward or arm.train_step), None)
    if example is None:
        return "latency was not measured."
    return (
        f"times are medians of {example.repeats} calls with a batch of {example.batch} "
        f"on {example.device} with {plural(example.threads, 'thread')}."
    )


def _legend(study: Study, recipes: bool = False) -> str:
    glyphs = [f"<li>{GLYPHS[turn % len(GLYPHS)]} {escape(recipe)}</li>" for turn, recipe in enumerate(study.recipes)]
    more = "".join(glyphs) if recipes and len(glyphs) > 1 else ""
    return legend({index: arm.label for index, arm in enumerate(study.arms)}, more)


def _costs(study: Study, analysis: ComparisonFindings) -> str:
    caption = (
        f"Accuracy: {spread(len(study.seeds))}. Measured times carry their quartiles. "
        "The name of an arm is at its best recipe."
    )
    figure = chart("Accuracy against cost", cost_views(study, analysis), caption, _legend(study, recipes=True))
    return f"<section><h2>Accuracy against cost</h2>{figure}</section>"


def _learning(study: Study) -> str:
    caption = (
        "Validation accuracy by epoch: mean over seeds and its 95 % band (none for one seed). "
        "Runs that diverged or failed count as far as they came."
    )
    figure = chart("Learning curves", curve_views(study), caption, _legend(study))
    return f"<section><h2>Learning curves</h2>{figure}</section>"


def _variance(analysis: ComparisonFindings) -> str:
    if analysis.shares is None:
        body = f"<p>Not computed: {escape(analysis.shares_reason)}.</p>"
    else:
        caption = (
            f"Share of each source in a result's variance, with {100 * analysis.shares.confidence:g} % intervals, "
            f"from {analysis.shares.seeds} seeds"
            + (f" ({analysis.shares.dropped} incomplete left out)." if analysis.shares.dropped else ".")
            + " Seed: what a seed does to all arms alike. Residual: what it does to each run."
        )
        body = _strip(analysis.shares) + chart("Split of the variance", [share_view(analysis.shares)], caption)
    return f"<section><h2>Where the variance comes from</h2>{body}</section>"


def _strip(shares: Shares) -> str:
    parts = [
        f'<span style="width:{100 * share.share:.2f}%;background:{SHARE_COLOURS[share.name]}">'
        f"{f'{share.name} {100 * share.share:.0f} %' if share.share > 0.12 else ''}</span>"
        for share in shares.shares
    ]
    return f'<div class="strip" aria-hidden="true">{"".join(parts)}</div>'


def _pairs(analysis: ComparisonFindings) -> str:
    if not analysis.comparisons:
        return ""
    first = next(iter(analysis.comparisons.values()))
    caption = (
        "Each pair of arms with its simultaneous interval. Blue and filled: the interval excludes 0. "
        "Grey and hollow: no difference shown."
    )
    figure = chart("Differences between arms", pair_views(analysis), caption)
    method = f"<p>{escape(first.method)}</p><ul>{items(first.assumptions)}</ul>"
    return (
        f"<section><h2>Differences between arms</h2>{figure}"
        f"<details><summary>Method and assumptions</summary>{method}</details></section>"
    )


def _architectures(study: Study) -> str:
    articles = []
    for index, arm in enumerate(study.arms):
        rows = "".join(
            f"<dt>{escape(choice)}</dt><dd><code>{escape(ours)}</code> instead of <code>{escape(first)}</code></dd>"
            for choice, (first, ours) in arm.differences.items()
        )
        changes = f'<p class="soft">{escape(arm.changes)}</p>' if arm.changes else ""
        drawing = draw_arm(arm.network, study.data.image_size) or _features(arm, study.data.image_size)
        articles.append(
            f"<article><h3>{swatch(index)}{escape(arm.label)}</h3><code>{escape(arm.text)}</code>{changes}{drawing}"
            f"{f'<details open><summary>Differs from the first arm</summary><dl>{rows}</dl></details>' if rows else ''}"
            f"</article>"
        )
    return f'<section><h2>Architectures</h2><div class="arms">{"".join(articles)}</div></section>'


def _features(arm: Arm, image_size: int) -> str:
    """The pyramid of a network of timm, whose blocks Dorsal does not know."""
    rows = [
        [
            f"<code>{escape(level.name)}</code>",
            str(level.channels),
            str(level.stride),
            f"{-(-image_size // level.stride)}²",
        ]
        for level in arm.features
    ]
    maps = table("Feature maps", ("feature map", "channels", "stride", "size"), rows) if rows else ""
    return f'<p class="soft">A network of timm, built and initialised by it.</p>{maps}'
