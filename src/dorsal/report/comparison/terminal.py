"""A comparison on the terminal."""

from __future__ import annotations

from rich.console import Console

from dorsal.findings.comparison import ComparisonFindings
from dorsal.jobs.records import Study
from dorsal.report.comparison.secondary import DESCRIBED, secondary_tables
from dorsal.report.terminal import head, points, table_of
from dorsal.report.words import deployed_arms
from dorsal.report.words.comparison import COST_COLUMNS, caveats, conclusions, costs, lost_runs, ranks, spread
from dorsal.report.words.numerals import percent
from dorsal.report.words.verdicts import rank
from dorsal.spec.task import metric_of

RECIPES_ABREAST = 3


def print_comparison(study: Study, found: ComparisonFindings, console: Console) -> None:
    """Prints the conclusions, scores, costs, and what they do not show. Fits 80 columns; long labels wrap."""
    head(console, study.name)
    console.print(points(conclusions(study, found)))
    head(console, f"{metric_of(study.task).title} in percent: {spread(found, len(study.seeds))}")
    recipes = list(study.recipes)
    for start in range(0, len(recipes), RECIPES_ABREAST):
        abreast = recipes[start : start + RECIPES_ABREAST]
        ranked = [] if start else list(found.verdicts.values())[:1]
        rows = [[arm.label, *(_score(found, arm.label, recipe) for recipe in abreast)] for arm in study.arms]
        for row in rows:
            row += [rank(verdicts, row[0]) for verdicts in ranked]
        console.print(table_of("arm", [*abreast, *("rank" for _ in ranked)], rows))
    console.print(ranks(found), highlight=False, markup=False)
    for place, table in enumerate(secondary_tables(study)):
        if place == 0:
            head(console, f"{DESCRIBED}, in percent")
        console.print(table)
    side = study.data.image_size
    head(console, f"Cost of one {side}×{side} image; medians of measured times in ms a batch")
    console.print(table_of("arm", COST_COLUMNS, ([arm.label, *costs(arm)] for arm in study.arms)))
    if found.deployed is not None:
        head(console, deployed_arms.TITLE)
        console.print(table_of("arm", deployed_arms.COLUMNS, deployed_arms.rows(found.deployed)))
        console.print(points(deployed_arms.sentences(found.deployed, metric_of(study.task))))
    head(console, "What this does not show")
    console.print(points(caveats(study, found)))


def _score(found: ComparisonFindings, arm: str, recipe: str) -> str:
    cell = found.cell(arm, recipe)
    if cell is None:
        return ""
    return "\n".join(filter(None, (percent(cell.score), lost_runs(cell))))
