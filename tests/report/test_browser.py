"""The page of a comparison in a real browser, at the width of a desk and of a phone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dorsal.report.comparison.page import comparison_page as page
from tests.findings.studies import Case
from tests.report.browser import assert_legible, look_at, needs_browser

pytestmark = needs_browser


@pytest.mark.parametrize("width", [390, pytest.param(1280, marks=pytest.mark.slow)])
def test_every_plot_is_drawn_and_nothing_is_wider_than_the_window(whole: Case, tmp_path: Path, width: int) -> None:
    seen = look_at(page(whole.study, whole.analysis), width, tmp_path)
    assert_legible(seen)
    assert len(seen["seen"]) == 5 + 2 + 1 + 3  # costs, recipes, shares, and comparisons with the mean of the recipes
    assert seen["switched"] == [True, True, True]
    # Seen after the switches: 4 arms x 2 recipes of train-step times, and 6 pairs.
    assert seen["points"] == 4 * 2 + 6
    assert (seen["lines"], seen["bands"], seen["bars"]) == (4, 4, 5)
    # vertical and horizontal ones of 8 points, of 5 shares, of 6 pairs
    assert seen["errorbars"] == 2 * 8 + 5 + 6
    assert seen["drawings"] == 4


@pytest.mark.parametrize("name", ["markup", "twelve_arms", "nothing_run"])
def test_the_worst_cases_hold_on_a_phone(case: Callable[[str], Case], name: str, tmp_path: Path) -> None:
    seen = look_at(page(case(name).study, case(name).analysis), 390, tmp_path)
    assert_legible(seen, remarks=name == "nothing_run")
    assert seen["title"] == case(name).study.name
