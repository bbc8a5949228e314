"""A choice of weights on the terminal."""

from __future__ import annotations

from rich.console import Console

from dorsal.findings.choice import ChoiceFindings
from dorsal.report.terminal import head, points, table_of
from dorsal.report.words.choice import (
    COST_COLUMNS,
    SCORE_COLUMNS,
    caveats,
    command,
    conclusions,
    cost_rows,
    score_rows,
)
from dorsal.spec.metric import ACCURACY
from dorsal.study.choice.records import ChoiceStudy


def print_choice(study: ChoiceStudy, found: ChoiceFindings, console: Console) -> None:
    """Prints the conclusions, scores, costs, what they do not show, and the command. Fits 80 columns; labels wrap."""
    head(console, study.name)
    console.print(points(conclusions(study, found)))
    head(console, f"{ACCURACY.title} in percent: fine-tuned on validation images, probed on held-out training images")
    console.print(table_of("weights", SCORE_COLUMNS, score_rows(study, found)))
    side = study.data.image_size
    head(console, f"Cost of one {side}×{side} image")
    console.print(table_of("weights", COST_COLUMNS, cost_rows(study, found)))
    head(console, "What this does not show")
    console.print(points(caveats(study, found)))
    if how := command(study, found):
        head(console, f"To train {found.top[0]}")
        console.print(how, highlight=False, markup=False, soft_wrap=True)
