from __future__ import annotations

import io

from rich.console import Console

from dorsal.report.population.terminal import print_population
from tests.report.population_cases import case


def printed(name: str) -> str:
    stream = io.StringIO()
    print_population(case(name).analysis, Console(file=stream, width=80, color_system=None))
    return stream.getvalue()


def test_the_error_to_expect_of_one_network_is_the_mean_and_of_many_is_left_out() -> None:
    table = printed("whole").partition("Expected error of the best")[2].partition("How the spaces")[0]
    means = [space.summary.mean for space in case("whole").analysis.spaces if space.summary]
    assert all(f"{mean.low:.2f}–{mean.high:.2f}" in table for mean in means)
    assert table.split("┓")[0].count("┳") == 2  # the space, 1 and 4 networks; 16 would be most of them
    assert "Expected error of the best" not in printed("three_networks")
