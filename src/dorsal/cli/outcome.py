"""What `compare` and `report` end with."""

from __future__ import annotations

import sys
from pathlib import Path

from dorsal.study.records import Study


def show_outcome(study: Study, folder: Path, as_json: bool) -> None:
    """Writes the report files into `folder` and prints the tables, or results.json, and where the page is."""
    from rich.console import Console

    from dorsal.report.terminal import print_study
    from dorsal.report.write import write_report

    analysis = write_report(study, folder)
    if as_json:
        sys.stdout.write((folder / "results.json").read_text(encoding="utf-8"))
        return
    print_study(study, analysis, Console())
    print(f"report: {folder / 'report.html'}")
