"""`dorsal stats`: what anybody's table of scores shows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from dorsal.cli.finish import replacing
from dorsal.cli.options import AsJson
from dorsal.language.options import option


def stats(
    table: Annotated[Path, option("A CSV file of scores or of predictions.", metavar="FILE", argument=True)],
    margin: Annotated[
        float | None,
        option("Difference that is still practically equal. Without it 1, or .01 where scores lie from 0 to 1."),
    ] = None,
    confidence: Annotated[float, option("Confidence of the intervals of all pairs together.")] = 0.95,
    out: Annotated[
        Path | None, option("Write results.json and report.html into this folder.", metavar="FOLDER")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say which arm of a table of results is better, which are practically equal, and what it would take to decide.

    Columns of scores: arm, seed, score, and data where there are several data sets. Columns of predictions, one row an
    image: arm, image and correct, or label and predicted; and seed where there are several. Three seeds are enough for
    intervals, and so is one with predictions.

    Examples:
        dorsal stats results.csv
        dorsal stats predictions.csv --margin 0.5 --out report
    """
    from dorsal.findings.table.analyse import analyse_table

    said = ""
    if out is not None:
        from dorsal.jobs.study_file import refuse_others

        refuse_others(out)
        said = f"report: {out / 'report.html'}{replacing(out / 'report.html')}"
    found = analyse_table(table, margin, confidence)
    if out is not None:
        from dorsal.report.table.page import write_table_report

        try:
            write_table_report(found, out)
        except OSError as error:
            raise ValueError(f"out={str(out)!r} cannot be written: {error.strerror}; name another folder") from None
    if as_json:
        import msgspec

        from dorsal.report.table.page import with_words

        print(msgspec.json.encode(with_words(found)).decode())
        return
    from rich.console import Console

    from dorsal.report.table.terminal import print_table

    print_table(found, Console())
    if said:
        print(said)
