"""Intervals over seeds and test images cover what they should, and are not wider than they need to be.

A simulated study needs no p values, so these tests use the parts that `compare_arms` is made of; that it uses them is
tested in `test_images.py`. All figures: docs/statistics.md.
"""

from math import sqrt

import pytest

from tests.stats.simulate_images import (
    GRID,
    IMAGES_WEIGH,
    SEEDS_WEIGH,
    UNEQUAL,
    Cell,
    simulate,
    studies_of,
    tukeys_own_width,
)

QUICK = [
    Cell(2, 2, 200, 80, SEEDS_WEIGH),
    Cell(2, 3, 50, 20, IMAGES_WEIGH),
    Cell(2, 3, 2000, 99, UNEQUAL),
    Cell(2, 5, 10_000, 80, SEEDS_WEIGH),
    Cell(2, 10, 50, 80, IMAGES_WEIGH),
    Cell(3, 3, 100, 50, UNEQUAL),
    Cell(3, 5, 200, 90, IMAGES_WEIGH),
    Cell(4, 3, 500, 80, SEEDS_WEIGH),
    Cell(4, 3, 200, 80, UNEQUAL),
    Cell(5, 4, 300, 95, IMAGES_WEIGH),
    Cell(6, 2, 100, 60, SEEDS_WEIGH),
    Cell(8, 4, 50, 70, UNEQUAL),
]
FEW_ERRORS = 1.0
"""Cells with fewer wrong answers than this in a run rest on exact tails, which cover more and are wider."""


def check(cell: Cell, studies: int) -> None:
    """Coverage from 93.5 to 99.5 %, to within two Monte Carlo standard errors, and no needless width.

    Two seeds of two arms have one degree of freedom, and cover up to 99.8 %. The width is at most 1.4 of the oracle's,
    or what Tukey's own interval over so few seeds takes.
    """
    found = simulate(cell, studies)
    assert found.both >= 0.935 - 2 * sqrt(0.935 * 0.065 / studies)
    assert found.both >= max(found.seeds_only, found.images_only)
    if cell.images * (100 - cell.accuracy) / 100 < FEW_ERRORS:
        return
    most = 0.995 if (cell.arms - 1) * (cell.seeds - 1) > 1 else 0.998
    assert found.both <= most + 2 * sqrt(0.995 * 0.005 / studies)
    assert found.width <= max(1.4, 1.05 * tukeys_own_width(cell))


@pytest.mark.parametrize("cell", QUICK)
def test_intervals_cover_new_seeds_and_new_images(cell: Cell) -> None:
    check(cell, 200 if cell.images > 2000 else 400)


@pytest.mark.slow
@pytest.mark.parametrize("cell", GRID)
def test_they_cover_in_every_cell_of_the_grid(cell: Cell) -> None:
    check(cell, studies_of(cell))
