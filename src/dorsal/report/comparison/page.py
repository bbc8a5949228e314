"""A comparison as one HTML page that needs nothing else, and its whole report."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from dorsal.annotations.labels import Labels
from dorsal.findings.comparison import ComparisonFindings
from dorsal.findings.deployed import DeployedFindings
from dorsal.findings.verdicts import Verdicts
from dorsal.jobs.json_file import write_whole
from dorsal.jobs.records import Arm, Study
from dorsal.jobs.shown import read_shown
from dorsal.report.comparison.figures import (
    SHARE_COLOURS,
    cost_views,
    curve_views,
    deployed_view,
    level_views,
    pair_views,
    share_view,
)
from dorsal.report.comparison.gallery import GALLERY_STYLE, GalleryImage, gallery
from dorsal.report.comparison.results import write_results
from dorsal.report.comparison.secondary import secondary_section
from dorsal.report.drawing import draw_arm
from dorsal.report.pairs import caption
from dorsal.report.parts import (
    data_line,
    details,
    estimated,
    how_it_was_run,
    items,
    legend,
    page_of,
    section,
    swatch,
    table,
    top,
)
from dorsal.report.shell import chart
from dorsal.report.words import deployed_arms
from dorsal.report.words.comparison import (
    ASSUMPTIONS,
    COST_COLUMNS,
    caveats,
    conclusions,
    costs,
    lost_runs,
    method,
    no_shares,
    ranks,
    spread,
)
from dorsal.report.words.numerals import chance, count, half_width, milliseconds, percent, plural
from dorsal.report.words.pairs import margin_text
from dorsal.report.words.tuning import setting
from dorsal.report.words.verdicts import rank, wins
from dorsal.spec.task import metric_of
from dorsal.stats import Comparisons, Shares

GLYPHS = "●■◆▲✚★"


def write_comparison_report(
    study: Study, found: ComparisonFindings, folder: Path, images: Sequence[GalleryImage] = ()
) -> None:
    """Writes results.json, trials.csv, curves.csv and report.html into `folder`, each whole or not at all.

    `found` is the analysis of this study, and `images` are what its folder keeps to show.
    """
    write_results(study, found, folder)
    write_whole(folder / "report.html", comparison_page(study, found, images).encode())


def gallery_images(study: Study, folder: Path) -> list[GalleryImage]:
    """The images that the study in this folder shows, with what was found by the first run of each arm."""
    runs: dict[str, str] = {}
    for run in study.runs:
        runs.setdefault(run.arm, run.key)
    shown = {arm: images for arm, key in runs.items() if (images := read_shown(folder, key))}
    first = next(iter(shown.values()), ())
    return [
        GalleryImage(
            name=image.name,
            thumbnail=image.thumbnail,
            truth=image.truth,
            found={arm: images[place].found for arm, images in shown.items() if place < len(images)},
        )
        for place, image in enumerate(first)
    ]


def comparison_page(study: Study, found: ComparisonFindings, images: Sequence[GalleryImage] = ()) -> str:
    """The page as text. Every string of the study is escaped."""
    sizes = ((len(study.arms), "arm"), (len(study.recipes), "recipe"), (len(study.seeds), "seed"))
    about = (
        f"{', '.join(plural(*size) for size in sizes)}: {found.done} of {found.planned} runs done. "
        f"{data_line(study.data)} {study.created}"
    )
    sections = (
        top(study.name, about, conclusions(study, found), caveats(study, found)),
        section("Results", _results(study, found)),
        secondary_section(study),
        section("Tuning", _tuning(study, found)) if found.tuning else "",
        section("Trunk and heads", _whole(study)) if any(arm.whole for arm in study.arms) else "",
        section("Score against cost", _costs(study, found)),
        section(deployed_arms.TITLE, _deployed(study, found.deployed)) if found.deployed else "",
        section("Which level holds it", _levels(study, found)) if level_views(study, found) else "",
        gallery(images, [arm.label for arm in study.arms], Labels(classes=study.data.classes)) if images else "",
        section("Learning curves", _learning(study)) if curve_views(study) else "",
        section("Where the variance comes from", _variance(found)),
        section("Differences between arms", _pairs(study, found)) if found.comparisons else "",
        section("Architectures", f'<div class="arms">{_architectures(study)}</div>'),
        how_it_was_run(study),
    )
    return page_of(study.name, sections, GALLERY_STYLE if images else "")


def _results(study: Study, found: ComparisonFindings) -> str:
    metric, rows, primary = metric_of(study.task), [], list(found.verdicts.values())[:1]
    for index, arm in enumerate(study.arms):
        cells = [found.cell(arm.label, recipe) for recipe in study.recipes]
        scores = [f"{percent(cell.score)}<small>{lost_runs(cell)}</small>" if cell else "" for cell in cells]
        places = [rank(verdicts, arm.label) for verdicts in primary]
        rows.append([f"{swatch(index)}{escape(arm.label)}", *scores, *places, *map(escape, costs(arm))])
    recipes = [f"{escape(recipe)}<br>{escape(metric.short)}, %" for recipe in study.recipes]
    units = ("", "", "", "<br>ms", "<br>ms")
    head = [
        "arm",
        *recipes,
        *("rank" for _ in primary),
        *(f"{name}{unit}" for name, unit in zip(COST_COLUMNS, units, strict=True)),
    ]
    return f"""{table("Score and cost of each arm", head, rows)}
<p class="soft">{escape(metric.title)} on the validation images after the last epoch: {spread(found, len(study.seeds))}.
{escape(ranks(found))}
Costs are for one image; {escape(_measured(study.arms))}</p>"""


def _whole(study: Study) -> str:
    """What the trunks cost alone, and with the neck and heads of the task."""
    rows = [
        [
            f"{swatch(index)}{escape(arm.label)}",
            *(escape(count(value)) for value in (arm.cost.params, arm.whole.params, arm.cost.macs, arm.whole.macs)),
            *(escape(milliseconds(time)) for time in (arm.trunk_forward, arm.forward)),
        ]
        for index, arm in enumerate(study.arms)
        if arm.whole is not None
    ]
    pairs = [f"{name}<br>{part}" for name in ("params", "MACs", "ms") for part in ("trunk", "model")]
    below = (
        f"A trunk is counted on a square of {study.data.image_size} pixels, a model on the first validation image as "
        "the network sees it. Times are of that image, from pixels to what is found in the file."
    )
    return f'{table("Trunks, and models with their heads", ("arm", *pairs), rows)}<p class="soft">{below}</p>'


def _tuning(study: Study, found: ComparisonFindings) -> str:
    rows = [
        [
            escape(each.arm),
            escape(each.recipe),
            *(estimated(value) for value in (each.default, each.best)),
            estimated(each.gain, sign="+"),
            escape(setting(each) or ("several in turn" if each.averaged else "the recipe's own")),
        ]
        for each in found.tuning
    ]
    short = escape(metric_of(study.task).short)
    head = ("arm", "recipe", f"default<br>{short}, %", f"tuned<br>{short}, %", "gain<br>points", "setting")
    caption = "Means over the seeds with 95 % intervals of this arm alone; gains are paired by seed."
    return f'{table("What tuning gained", head, rows)}<p class="soft">{caption}</p>'


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


def _costs(study: Study, found: ComparisonFindings) -> str:
    caption = (
        f"{metric_of(study.task).title}: {spread(found, len(study.seeds))}. Measured times carry their quartiles. "
        "The name of an arm is at its best recipe."
    )
    return chart("Score against cost", cost_views(study, found), caption, _legend(study, recipes=True))


def _deployed(study: Study, found: DeployedFindings) -> str:
    """The arms as they run on one machine: figures, and score against time."""
    looks = {arm.label: swatch(index) for index, arm in enumerate(study.arms)}
    rows = []
    for label, *cells in deployed_arms.rows(found):
        parts = (escape(cell).partition("\n") for cell in cells)
        lined = [f"{value}<small>{ends}</small>" if ends else value for value, _, ends in parts]
        rows.append([f"{looks[label]}{escape(label)}", *lined])
    caption = (
        f"{metric_of(study.task).title}, less what the form loses, and the median time of one call, both with 95 % "
        "intervals. The line joins the arms that no other beats in both."
    )
    return (
        table(deployed_arms.TITLE, ("arm", *deployed_arms.COLUMNS), rows)
        + f"<ul>{items(deployed_arms.sentences(found, metric_of(study.task)))}</ul>"
        + chart("Score against deployed latency", [deployed_view(study, found)], caption, _legend(study))
    )


def _learning(study: Study) -> str:
    caption = (
        f"{metric_of(study.task).title} on the validation images by epoch: the mean over seeds, with a 95 % band by "
        "the noise of all arms where there are seeds enough. Runs that diverged or failed count as far as they came."
    )
    return chart("Learning curves", curve_views(study), caption, _legend(study))


def _levels(study: Study, found: ComparisonFindings) -> str:
    caption = (
        f"{metric_of(study.task).title} of a probe that is given the features of one level: 0 is the stem, 1 the first "
        "stage; its own are those that the network's own classifier sees. Bars are 95 % intervals."
    )
    return chart("Score by level", level_views(study, found), caption, _legend(study))


def _variance(found: ComparisonFindings) -> str:
    if found.shares is None:
        return f"<p>Not computed: {escape(no_shares(found))}.</p>"
    caption = (
        f"Share of each source in a result's variance, with {100 * found.shares.confidence:g} % intervals, "
        f"from {found.shares.seeds} seeds"
        + (f" ({found.shares.dropped} incomplete left out)." if found.shares.dropped else ".")
        + " Seed: what a seed does to all arms alike. Residual: what it does to each run."
    )
    return _strip(found.shares) + chart("Split of the variance", [share_view(found.shares)], caption)


def _strip(shares: Shares) -> str:
    parts = [
        f'<span style="width:{100 * share.value:.2f}%;background:{SHARE_COLOURS[name]}">'
        f"{f'{name} {100 * share.value:.0f} %' if share.value > 0.12 else ''}</span>"
        for name, share in shares.shares.items()
    ]
    return f'<div class="strip" aria-hidden="true">{"".join(parts)}</div>'


def _pairs(study: Study, found: ComparisonFindings) -> str:
    below = caption(margin_text(study.margin))
    figure = chart("Differences between arms", pair_views(study, found), below)
    about = f"<p>{escape(method(found))}</p><ul>{items(ASSUMPTIONS)}</ul>"
    tables = "".join(_pair_table(name, each, found.verdicts[name]) for name, each in found.comparisons.items())
    simple = "".join(_pair_table(f"{name}, corrected", each, None) for name, each in found.simple_effects.items())
    each_recipe = details("Each recipe by itself, corrected for all recipes", simple) if simple else ""
    return figure + details("All pairs in figures", tables) + each_recipe + details("Method and assumptions", about)


def _pair_table(name: str, found: Comparisons, verdicts: Verdicts | None) -> str:
    """Every pair of a comparison with both halves of its interval, and with the verdict on it."""
    head = ["better", "worse", "points", "by seeds", "by test images", "p"]
    rows = [
        [
            escape(pair.better),
            escape(pair.worse),
            percent(pair.difference),
            half_width(pair.seed_half),
            half_width(pair.image_half),
            chance(pair.p),
        ]
        for pair in found.pairs
    ]
    if verdicts is not None:
        head += ["verdict", "one run wins", "p by sign flips"]
        for row, each in zip(rows, verdicts.pairs, strict=True):
            row += [each.judgement.verdict, wins(each.wins), chance(each.flips_p)]
    return table(name, head, rows)


def _architectures(study: Study) -> str:
    found = []
    for index, arm in enumerate(study.arms):
        rows = "".join(
            f"<dt>{escape(choice)}</dt><dd><code>{escape(ours)}</code> instead of <code>{escape(first)}</code></dd>"
            for choice, (first, ours) in arm.differences.items()
        )
        changes = f'<p class="soft">{escape(arm.changes)}</p>' if arm.changes else ""
        drawing = draw_arm(arm.network, study.data.image_size) or _features(arm, study.data.image_size)
        differs = (
            f"<details open><summary>Differs from the first arm</summary><dl>{rows}</dl></details>" if rows else ""
        )
        found.append(
            f"<article><h3>{swatch(index)}{escape(arm.label)}</h3><code>{escape(arm.text)}</code>{changes}{drawing}"
            f"{_start(arm)}{differs}</article>"
        )
    return "".join(found)


def _start(arm: Arm) -> str:
    """What an arm begins from, as far as anyone says."""
    if arm.start is None:
        return ""
    scores = ", ".join(f"{name} {value:.2f} %" for name, value in arm.start.metrics.items())
    size = "" if arm.start.preprocessing is None else f"{arm.start.preprocessing.image_size} px"
    said = {
        "weights": arm.start.weights,
        "trained on": arm.start.trained_on,
        "resolution": size,
        "recipe": arm.start.recipe,
        "score": scores,
        "source": arm.start.source,
        "license": arm.start.license,
    }
    rows = "".join(f"<dt>{name}</dt><dd>{escape(what or 'not stated')}</dd>" for name, what in said.items())
    return f"<details open><summary>Begins from weights</summary><dl>{rows}</dl></details>"


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
