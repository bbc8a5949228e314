"""A comparison on several data sets on the terminal."""

from __future__ import annotations

from rich.console import Console

from dorsal.findings.data_sets import DataSetsFindings
from dorsal.report.terminal import head, points, print_answer, table_of
from dorsal.report.words.answers import PAIR_COLUMNS, pair_rows
from dorsal.report.words.data_sets import caveats, conclusions, score_rows, what_goes_in
from dorsal.study.comparison.records import DataSetStudies

ABREAST = 3


def print_data_sets(studies: DataSetStudies, found: DataSetsFindings, console: Console) -> None:
    """Prints the conclusions, the scores, all pairs over data sets, and what they do not show. Fits 80 columns."""
    head(console, studies.plan.name)
    console.print(points(conclusions(found)))
    if found.overall is None:
        for name, answer in found.data_sets.items():
            print_answer(answer, name, console)
        return
    head(console, what_goes_in(found))
    names = list(found.data_sets)
    for start in range(0, len(names), ABREAST):
        abreast, whole = names[start : start + ABREAST], start + ABREAST >= len(names)
        columns = (*abreast, "mean", "rank") if whole else abreast
        console.print(table_of("arm", columns, score_rows(found, abreast, whole)))
    head(console, "All pairs over data sets")
    console.print(table_of("pair", PAIR_COLUMNS, pair_rows(found.overall)))
    head(console, "What this does not show")
    console.print(points(caveats(found)))
