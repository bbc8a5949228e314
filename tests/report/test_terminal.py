from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from rich.cells import cell_len
from rich.console import Console

from dorsal.jobs.records import Latency
from dorsal.report.comparison.terminal import print_comparison
from dorsal.report.words.numerals import count, milliseconds, percent, seconds
from dorsal.stats import Estimate

if TYPE_CHECKING:
    from tests.findings.studies import Case


def printed(case: Case, width: int = 80) -> str:
    stream = io.StringIO()
    print_comparison(case.study, case.analysis, Console(file=stream, width=width, color_system=None))
    return stream.getvalue()


def test_it_fits_80_columns_and_cuts_nothing(edge: Case) -> None:
    text = printed(edge)
    assert max(map(cell_len, text.splitlines())) <= 80
    assert "…" not in text
    assert "What this does not show" in text


def test_means_costs_and_conclusions_are_there(whole: Case) -> None:
    text = printed(whole)
    assert percent(whole.analysis.cell("resnest", "tricks").score) in text
    plain = whole.study.arms[0].cost
    for figure in (*map(count, (plain.params, plain.macs, plain.activations)), "3.00", "9.30"):
        assert figure in text
    assert "resnest is better than each of the other arms" in text


def test_lost_and_missing_runs_stand_beside_the_mean(broken: Case) -> None:
    text = printed(broken)
    for words in ("1 diverged", "1 failed", "1 missing", "Unfinished: 21 of 24 runs done."):
        assert words in text


def test_labels_are_not_read_as_markup(case: Callable[[str], Case]) -> None:
    assert "[red]" in printed(case("markup"), width=400)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.00 k"),
        (9_996, "10.0 k"),
        (999_499, "999 k"),
        (999_500, "1.00 M"),
        (25_557_032, "25.6 M"),
        (123_456_789, "123 M"),
        (4_089_184_256, "4.09 G"),
    ],
)
def test_counts_keep_three_digits(number: int, text: str) -> None:
    assert count(number) == text


def test_numbers_in_words() -> None:
    assert percent(None) == "–"
    assert percent(Estimate(value=81.0, low=None, high=None)) == "81.00"
    assert percent(Estimate(value=81.0, low=79.5, high=82.5)) == "81.00 ± 1.50"
    assert milliseconds(None) == "–"
    assert milliseconds(Latency(12.345, 12, 13, 1, 1, 5, "cpu")) == "12.3"
    assert [seconds(s) for s in (4.0, 90.0, 7200.0)] == ["4.0 s", "1.5 min", "2.0 h"]
