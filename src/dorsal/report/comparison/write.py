"""A study's whole report into a folder."""

from __future__ import annotations

from pathlib import Path

from dorsal.findings.comparison import ComparisonFindings, analyse_comparison
from dorsal.jobs.records import Study
from dorsal.report.comparison.page import write_page
from dorsal.report.comparison.results import write_results


def write_comparison_report(study: Study, folder: Path) -> ComparisonFindings:
    """Analyses the study and writes results.json, trials.csv, curves.csv and report.html. Returns the analysis."""
    analysis = analyse_comparison(study)
    write_results(study, analysis, folder)
    write_page(study, analysis, folder / "report.html")
    return analysis
