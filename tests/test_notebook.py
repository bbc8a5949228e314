"""Values that a notebook shows as tables."""

import re

import pytest
from msgspec.structs import replace

import dorsal
from dorsal.jobs.results import network_results
from tests.findings.studies import make_case
from tests.report.test_search import made
from tests.study.populations import Part, level, population

EVIL = "<script>alert(1)</script>"


def cells(html: str) -> list[list[str]]:
    """The rows of the table, its head first."""
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", html)]


def test_a_cost_lists_its_counts() -> None:
    found = cells(dorsal.cost("resnet50")._repr_html_())
    assert ["params", "25,557,032"] in found
    assert ["macs", "4,089,184,256"] in found


@pytest.mark.parametrize("name", ["whole", "broken", "one_seed", "all_diverged"])
def test_a_study_has_a_row_for_each_network_and_a_column_for_each_recipe(name: str) -> None:
    study = make_case(name).study
    head, *rows = cells(study._repr_html_())
    assert head == ["network", "params", "MACs", *study.recipes]
    assert [row[0] for row in rows] == [arm.label for arm in study.arms]
    first, recipe = study.arms[0].label, next(iter(study.recipes))
    scores = [
        trial.score
        for (arm, used, _), trial in study.ended().items()
        if (arm, used) == (first, recipe) and trial.score is not None
    ]
    assert rows[0][3].partition(" ")[0] == (f"{sum(scores) / len(scores):.2f}" if scores else "–")


def test_a_population_has_a_row_for_each_space() -> None:
    drawn = population(Part("anynetx_e", 6, level(50)), Part("regnetx", 6, level(40)), waiting=["regnetx/0"])
    head, *rows = cells(drawn._repr_html_())
    errors = [error for label, (_, error) in network_results(drawn.study).items() if label.startswith("regnetx/")]
    known = [error for error in errors if error is not None]
    assert head == ["space", "networks", "finished", "least error", "mean error"]
    assert rows[1] == ["regnetx", "6", "5", f"{min(known):.2f}", f"{sum(known) / 5:.2f}"]


def test_a_search_lists_the_best_networks_first_and_says_how_many_follow() -> None:
    search = made()
    html = search._repr_html_()
    _, *rows = cells(html)
    errors = [float(row[1]) for row in rows]
    assert errors == sorted(errors)
    assert len(rows) == 20
    assert "and 7 more" in html


def test_names_are_escaped() -> None:
    study = replace(make_case("whole").study, name=EVIL)
    for value in (study, replace(made(), study=replace(made().study, name=EVIL))):
        assert "<script>" not in value._repr_html_()
        assert "&lt;script&gt;" in value._repr_html_()
