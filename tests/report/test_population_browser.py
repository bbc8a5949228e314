"""The page of a population in a real browser, at the width of a desk and of a phone; every view of every plot."""

from __future__ import annotations

from pathlib import Path

import pytest

from dorsal.report.population.page import population_page
from tests.report.browser import assert_legible, look_at, needs_browser
from tests.report.population_cases import EVIL, case

pytestmark = needs_browser


@pytest.mark.parametrize("width", [390, pytest.param(1280, marks=pytest.mark.slow)])
def test_every_view_is_drawn_and_legible(width: int, tmp_path: Path) -> None:
    seen = look_at(population_page(*case("whole")), width, tmp_path)
    assert_legible(seen)
    names = [view["name"].partition("/")[0] for view in seen["seen"]]
    assert list(dict.fromkeys(names)) == [
        "Distribution of errors",
        "Random search",
        "Error against each axis",
        "Importance of axes",
        "Error against cost",
        "Linear rule",
        "Short and long schedule",
        "Latency",
    ]
    legends = {view["name"]: view["legend"] for view in seen["seen"]}
    spaces = ["anynetx_a", "anynetx_e", "regnetx", "mixed"]
    assert (legends["Error against cost/MACs"], legends["Error against cost/measured forward, batch 16"]) == (
        spaces,
        spaces[:1],  # no other was timed
    )
    assert seen["unticked"] == [True] * 10


@pytest.mark.parametrize("name", ["markup", "nothing_finished"])
def test_the_worst_cases_hold_on_a_phone(name: str, tmp_path: Path) -> None:
    seen = look_at(population_page(*case(name)), 390, tmp_path)
    assert_legible(seen, remarks=True)
    assert seen["title"] == (EVIL if name == "markup" else "population")
