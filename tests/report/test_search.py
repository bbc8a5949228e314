"""What is written of a search: the page, alone and in a browser, and the files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from rich.console import Console

from dorsal.findings.search import FrontPoint, SearchFindings, analyse_search
from dorsal.report.parts import NONE_FINISHED
from dorsal.report.search.figures import course_view, front_views
from dorsal.report.search.page import search_page, write_search_report
from dorsal.report.search.terminal import print_search
from dorsal.report.words.search import conclusions
from dorsal.space.named import SPACES
from dorsal.study.population.records import PopulationStudy
from dorsal.study.search.records import SearchedNetwork, SearchLog, SearchStudy
from dorsal.zoo import network
from tests.report.browser import assert_legible, look_at, needs_browser
from tests.study.populations import Part, compared, level, population

EVIL = "<script>document.title='owned'</script><img src=x onerror=alert(1)>&amp;\"'"
NETWORKS, DRAWS = 30, 10
NAMES = [f"anynetx_e/{place}" for place in range(NETWORKS)]


def made(
    objectives: Sequence[str] = ("error",), name: str = "search", waiting: Sequence[str] = (NAMES[29],)
) -> SearchStudy:
    """A search whose later networks are better; of 30 one diverged, one failed and one is not trained."""
    found = population(
        Part("anynetx_e", NETWORKS, lambda row: 50 - 3 * row["depths"][0] ** 0.5),
        noise=1.0,
        seeds=2,
        diverged={NAMES[4]},
        failed={NAMES[5]},
        waiting=waiting,
    )
    (drawn,) = found.spaces
    networks = tuple(
        SearchedNetwork(
            label=label,
            point={axis: column[row] for axis, column in drawn.axes.items()},
            costs={quantity: column[row] for quantity, column in drawn.costs.items()},
            drawn=row < DRAWS,
            passed_over={"macs too large": 3} if row == DRAWS else {},
            memory={},
        )
        for row, label in enumerate(drawn.labels)
    )
    space = SPACES["anynetx_e"] if name == "search" else replace(SPACES["anynetx_e"], name=name)
    log = SearchLog(
        space=space,
        bounds={},
        sampler="tpe",
        objectives=tuple(objectives),
        seed=0,
        latency_model="",
        networks=networks,
    )
    return SearchStudy(study=replace(found.study, name=name, command=f"dorsal space search {name}"), log=log)


def random_population() -> PopulationStudy:
    return population(Part("anynetx_e", 60, level(48), seed=7), noise=2.0, seeds=2)


def with_outcome(search: SearchStudy) -> tuple[SearchStudy, SearchFindings]:
    return search, analyse_search(search)


def columns(figure: Any, mode: str) -> list[Any]:
    return [trace for trace in figure.data if trace.mode == mode and trace.hoverinfo != "skip"]


def test_the_course_has_every_finished_network_where_it_was_asked_for() -> None:
    search, outcome = with_outcome(made())
    draws, proposals = columns(course_view(search, outcome).figure, "markers")
    assert list(draws.x) == [place for place in range(1, DRAWS + 1) if place not in (5, 6)]
    assert list(proposals.x) == list(range(DRAWS + 1, NETWORKS))
    assert list(draws.y) + list(proposals.y) == pytest.approx(
        [error for error in outcome.errors if error is not None], abs=0.01
    )
    assert (draws.marker.symbol, proposals.marker.symbol) == ("circle-open", None)
    (best,) = columns(course_view(search, outcome).figure, "lines")
    assert list(best.y) == list(outcome.best_so_far)
    assert best.y[-1] == outcome.best.error if outcome.best else False


def test_random_searches_of_equal_length_are_beside_it() -> None:
    search, outcome = with_outcome(compared(made(), random_population()))
    random, _ = columns(course_view(search, outcome).figure, "lines")
    assert outcome.against is not None
    assert list(random.x) == [point.k for point in outcome.against.curve.points]
    assert "random search" in search_page(search, outcome).lower().split("</style>")[1]


def test_fronts_are_those_of_the_objectives() -> None:
    search, outcome = with_outcome(made(("error", "macs")))
    (view,) = front_views(search, outcome)
    _, front = view.figure.data
    assert view.name == "MACs"
    assert set(front.customdata) == {point.label for point in outcome.front}
    assert list(front.x) == sorted(front.x)
    assert list(front.y) == sorted(front.y, reverse=True)
    assert front.mode == "lines+markers"
    assert [view.name for view in front_views(*with_outcome(made()))] == ["MACs", "parameters", "activations"]


def test_of_three_objectives_each_cost_has_a_view_with_the_front_of_all() -> None:
    search, outcome = with_outcome(made(("error", "params", "activations")))
    views = front_views(search, outcome)
    assert [view.name for view in views] == ["parameters", "activations"]
    assert all(set(view.figure.data[1].customdata) == {point.label for point in outcome.front} for view in views)
    assert {view.figure.data[1].mode for view in views} == {"markers"}  # a line would rise
    assert "The front is that of all 3 objectives" in search_page(search, outcome)


def test_the_page_draws_the_front_and_lists_all_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    search, outcome = with_outcome(made(("error", "params", "activations")))
    page = search_page(search, outcome)
    assert page.count('class="dorsal-net"') == len(outcome.front) > 2
    assert "networks of the front" not in page
    monkeypatch.setattr("dorsal.report.search.page.MOST_DRAWN", 2)
    page = search_page(search, outcome)
    assert page.count('class="dorsal-net"') == 2
    assert all(f"<h3>{outcome.front[place].label}</h3>" in page for place in (0, -1))
    assert f"2 of the {len(outcome.front)} networks of the front" in page
    for label in NAMES:
        assert f'<th scope="row">{label}</th>' in page
    assert "<td>diverged</td>" in page
    assert "<td>waiting</td>" in page


def test_no_conclusion_of_a_search_stands_out() -> None:
    assert '<ul class="verdicts alike">' in search_page(*with_outcome(made()))


def test_a_search_of_which_nothing_has_finished_says_so() -> None:
    page = search_page(*with_outcome(made(waiting=NAMES)))
    assert page.count("no network has finished") == 4  # three fronts and the course
    assert NONE_FINISHED in page


def test_three_files_with_all_that_is_known(tmp_path: Path) -> None:
    search, outcome = with_outcome(made(("error", "macs")))
    write_search_report(search, outcome, tmp_path / "new")
    assert {file.name for file in (tmp_path / "new").iterdir()} == {"results.json", "networks.csv", "report.html"}
    read = json.loads((tmp_path / "new" / "results.json").read_text())
    assert read["outcome"]["sentences"] == list(conclusions(outcome))
    assert read["study"]["command"] == search.study.command
    rows = list(csv.DictReader((tmp_path / "new" / "networks.csv").read_text().splitlines()))
    assert [row["label"] for row in rows] == NAMES
    assert [row["drawn"] for row in rows] == ["True"] * DRAWS + ["False"] * (NETWORKS - DRAWS)
    assert (rows[4]["status"], rows[4]["error"], rows[4]["reason"]) == ("diverged", "", "it diverged; it diverged")
    first = rows[0]
    assert float(first["error"]) == outcome.errors[0]
    assert float(first["error"]) == pytest.approx((float(first["error_seed_1"]) + float(first["error_seed_2"])) / 2)
    assert network(first["text"]) == search.study.arms[0].network
    assert [int(first[f"depths.{stage}"]) for stage in range(1, 5)] == search.log.networks[0].point["depths"]


def test_names_that_look_like_markup_of_the_terminal_are_printed() -> None:
    _, outcome = with_outcome(made())
    stream = io.StringIO()
    print_search(replace(outcome, front=(FrontPoint(label="a[/b]/1", values=(1.0,)),)), Console(file=stream))
    assert "a[/b]/1" in stream.getvalue()


@needs_browser
@pytest.mark.parametrize("width", [390, pytest.param(1280, marks=pytest.mark.slow)])
def test_every_view_is_drawn_and_legible(width: int, tmp_path: Path) -> None:
    seen = look_at(search_page(*with_outcome(compared(made(), random_population()))), width, tmp_path)
    assert_legible(seen)
    assert [view["name"] for view in seen["seen"]] == [
        "Course of the search",
        "Error against cost/MACs",
        "Error against cost/parameters",
        "Error against cost/activations",
    ]
    assert (seen["drawings"], seen["switched"]) == (1, [True])


@needs_browser
def test_markup_stays_text(tmp_path: Path) -> None:
    seen = look_at(search_page(*with_outcome(made(("error", "macs"), name=EVIL))), 390, tmp_path)
    assert_legible(seen)
    assert seen["title"] == EVIL
