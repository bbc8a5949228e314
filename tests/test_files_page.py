"""docs/files.md describes every field of every file of a study, and nothing else."""

import csv
import json
import re
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest
import torch

from dorsal.deploy.bundle import Bundle
from dorsal.findings.choice import ChoiceFindings, analyse_choice
from dorsal.findings.comparison import ComparisonFindings
from dorsal.findings.data_sets import DataSetsFindings, analyse_data_sets
from dorsal.findings.population.records import PopulationFindings
from dorsal.findings.search import SearchFindings, analyse_search
from dorsal.jobs.records import Study
from dorsal.jobs.scores import Scores
from dorsal.jobs.study_file import StudyFile
from dorsal.jobs.timings import TimingsFile
from dorsal.latency.records import LatencyModel, Measurements
from dorsal.report.choice.page import write_choice_report
from dorsal.report.comparison.results import write_results as write_comparison
from dorsal.report.data_sets.page import write_data_sets_report
from dorsal.report.population.results import write_results as write_population
from dorsal.report.search.results import write_results as write_search
from dorsal.space.space import Space
from dorsal.study.choice.records import ChoiceStudy
from dorsal.study.comparison.records import DataSetsPlan, DataSetStudies, DeployedArms
from dorsal.study.deployment.records import DeploymentStudy
from dorsal.study.population.saved import SpacesFile
from dorsal.study.search.records import SearchLog
from dorsal.tasks.classify.score import ClassifyScorer
from dorsal.weights.card import Card
from tests.findings import studies
from tests.report import choice_cases, population_cases
from tests.report.test_search import made as made_search

PAGE = Path(__file__).resolve().parent.parent / "docs" / "files.md"
COMPARISON, CHOICE, POPULATION, SEARCH = (
    f"results.json of a {kind}" for kind in ("comparison", "choice", "population", "search")
)
SEVERAL = f"{COMPARISON} on several data sets"
ROOTS = (
    StudyFile, SpacesFile, SearchLog, Scores, Card, ComparisonFindings, PopulationFindings, SearchFindings,
    LatencyModel, Measurements, TimingsFile, ChoiceStudy, ChoiceFindings, DataSetsPlan, DataSetsFindings,
    DeploymentStudy, Bundle, DeployedArms,
)  # fmt: skip
WHOLES: dict[str, dict[str, Any]] = {
    COMPARISON: {"study": Study, "analysis": ComparisonFindings},
    CHOICE: {"study": ChoiceStudy, "analysis": ChoiceFindings},
    POPULATION: {
        "study": Study, "spaces": tuple[Space, ...], "analysis": PopulationFindings, "latency": LatencyModel | None,
    },
    SEVERAL: {"plan": DataSetsPlan, "analysis": DataSetsFindings},
    SEARCH: {"study": Study, "log": SearchLog, "outcome": SearchFindings},
}  # fmt: skip
"""What the parts of each results.json are."""


def structs(kind: Any, found: dict[str, type[msgspec.Struct]]) -> dict[str, type[msgspec.Struct]]:
    """All structs that a value of this type may hold, by name."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        assert found.get(kind.__name__, kind) is kind, f"two structs are called {kind.__name__}"
        if kind.__name__ not in found:
            found[kind.__name__] = kind
            for _, each in fields_of(kind):
                structs(each, found)
    for part in get_args(kind):
        structs(part, found)
    return found


def fields_of(kind: type[msgspec.Struct]) -> list[tuple[str, Any]]:
    """Names in the file and types of the fields of a struct, the tag of one of several kinds first."""
    hints, config = get_type_hints(kind), kind.__struct_config__
    tagged = [(config.tag_field, Literal[config.tag])] if config.tag is not None else []  # type: ignore[valid-type]
    fields = [(each.encode_name, hints[each.name]) for each in msgspec.structs.fields(kind)]
    return [*tagged, *fields]


def told(kind: Any) -> str:
    """A type in the words of the page."""
    plain = {str: "text", int: "whole number", float: "number", bool: "true or false", type(None): "null", Any: "any"}
    if kind in plain:
        return plain[kind]
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Literal:
        return " or ".join(f'"{part}"' for part in parts)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(told(part) for part in parts))
    if origin is tuple and parts[1:] != (...,):
        return f"[{', '.join(map(told, parts))}]"
    if parts:
        listed = origin in (tuple, list)
        inner = told(parts[0] if listed else parts[1])
        return f"{'list of' if listed else 'map to'} {f'({inner})' if ' or ' in inner else inner}"
    return f"[`{kind.__name__}`](#{kind.__name__.lower()})"


STRUCTS: dict[str, type[msgspec.Struct]] = {}
for root in ROOTS:
    structs(root, STRUCTS)


def sections() -> dict[str, list[list[str]]]:
    """The rows of every table of the page, by heading."""
    found: dict[str, list[list[str]]] = {}
    heading = ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            heading = line.lstrip("#").strip().strip("`")
            assert heading not in found, f"{heading} is there twice"
            found[heading] = []
        elif line.startswith("| `"):
            found[heading].append([cell.strip() for cell in line.strip("|").split(" | ")])
    return {name: rows for name, rows in found.items() if rows}


def rows_of(name: str) -> list[tuple[str, str]]:
    """Name and type of the fields that the page says are in the file, without those that are words."""
    return [(row[0].strip("`"), row[1]) for row in sections().get(name, []) if row[1] != WORDS]


WORDS = "words"
"""What a sentence that the report adds to a struct has for its type."""


@pytest.mark.parametrize("name", [name for name, kind in STRUCTS.items() if fields_of(kind)])
def test_each_field_is_described_with_its_type(name: str) -> None:
    assert rows_of(name) == [(field, told(kind)) for field, kind in fields_of(STRUCTS[name])]


def test_each_row_says_what_the_field_means_and_no_other_table_is_there() -> None:
    described = sections()
    known = {*STRUCTS, *WHOLES, "trials.csv", "curves.csv", "networks.csv", "networks.csv of a search", "predictions"}
    assert set(described) <= known
    for name, rows in described.items():
        for row in rows:
            assert len(row) == 4, (name, row)
            assert row[3], (name, row)


def extra(value: Any, kind: Any) -> Iterator[tuple[str, str]]:
    """The keys of objects in the file that are not fields of their structs, with the struct's name."""
    if value is None:
        return
    parts = get_args(kind)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        fields = dict(fields_of(kind))
        assert set(fields) - set(value) == set() or kind.__struct_config__.omit_defaults, kind
        yield from ((kind.__name__, key) for key in value if key not in fields)
        for key, each in fields.items():
            yield from extra(value.get(key), each)
    elif get_origin(kind) in (Union, types.UnionType):
        for part in parts:
            if isinstance(value, dict) and isinstance(part, type) and issubclass(part, msgspec.Struct):
                if part.__struct_config__.tag in (None, value.get(part.__struct_config__.tag_field or "")):
                    yield from extra(value, part)
            elif isinstance(value, list):
                yield from extra(value, part)
    elif get_origin(kind) is tuple and isinstance(value, list):
        for each, part in zip(value, [parts[0]] * len(value) if parts[1:] == (...,) else parts, strict=True):
            yield from extra(each, part)
    elif isinstance(value, dict) and len(parts) == 2:
        for each in value.values():
            yield from extra(each, parts[1])


def test_results_hold_what_is_described_and_the_words_that_go_with_it(tmp_path: Path) -> None:
    comparison, population = studies.make_case("whole"), population_cases.case("whole")
    search, choice = made_search(), choice_cases.made()
    write_comparison(comparison.study, comparison.analysis, tmp_path / "comparison")
    write_choice_report(choice, analyse_choice(choice), tmp_path / "choice")
    write_population(population.population, population.analysis, tmp_path / "population", population.latency)
    write_search(search, analyse_search(search), tmp_path / "search")
    studies_by_data = {"x": comparison.study, "y": comparison.study}
    plan = DataSetsPlan(name="compare", command="", created="", margin=1.0, data_sets=())
    several = DataSetStudies(plan=plan, studies=studies_by_data)
    write_data_sets_report(several, analyse_data_sets(several), tmp_path / "several")
    added = set()
    for name, folder in (
        (COMPARISON, "comparison"),
        (CHOICE, "choice"),
        (SEVERAL, "several"),
        (POPULATION, "population"),
        (SEARCH, "search"),
    ):
        whole = json.loads((tmp_path / folder / "results.json").read_text())
        assert [row[0].strip("`") for row in sections()[name]] == list(whole) == list(WHOLES[name])
        for key, kind in WHOLES[name].items():
            assert sections()[name][list(whole).index(key)][1] == told(kind)
            added |= set(extra(whole[key], kind))
    said = {(name, row[0].strip("`")) for name, rows in sections().items() for row in rows if row[1] == WORDS}
    assert added == said


def columns(path: Path) -> list[str]:
    with path.open(encoding="utf-8") as file:
        return next(csv.reader(file))


def test_tables_have_the_columns_that_are_described(tmp_path: Path) -> None:
    comparison, population = studies.make_case("whole"), population_cases.case("whole")
    search = made_search()
    write_comparison(comparison.study, comparison.analysis, tmp_path)
    for name in ("trials.csv", "curves.csv"):
        assert columns(tmp_path / name) == [row[0].strip("`") for row in sections()[name]]
    write_population(population.population, population.analysis, tmp_path, None)
    axes = {axis.axis for space in population.analysis.spaces for axis in space.axes}
    costs = {name for space in population.analysis.spaces for name in space.costs}
    check_columns("networks.csv", columns(tmp_path / "networks.csv"), costs, axes, population.population.study)
    write_search(search, analyse_search(search), tmp_path)
    axes = {name for network in search.log.networks for name in network.point}
    costs = {name for network in search.log.networks for name in network.costs}
    check_columns("networks.csv of a search", columns(tmp_path / "networks.csv"), costs, axes, search.study)


def check_columns(page: str, found: list[str], costs: set[str], axes: set[str], study: Study) -> None:
    """Each column is one that the page says, where COST, AXIS and SEED stand for several; and the other way round."""
    spelt = {
        "COST": [name for name in found if name in costs],
        "AXIS": [name for name in found if re.sub(r"\.\d+$", "", name) in axes],
        "error_seed_SEED": [f"error_seed_{seed}" for seed in study.seeds],
    }
    said = [row[0].strip("`") for row in sections()[page]]
    assert sorted(name for each in said for name in spelt.get(each, [each])) == sorted(found)


def test_files_of_predictions_have_the_arrays_that_are_described() -> None:
    scorer = ClassifyScorer(3)
    scorer.add(range(2), torch.eye(3)[:2], torch.tensor([0, 2]))
    arrays = {name: f"{each.dtype} [{', '.join('n' if size == 2 else 'classes' for size in each.shape)}]"
              for name, each in scorer.evidence().items()}  # fmt: skip
    assert {row[0].strip("`"): row[1] for row in sections()["predictions"]} == arrays


def test_the_page_begins_with_a_paragraph_and_an_example() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert re.match(r"# .+\n\n[A-Z][^#|]+\n\n(    .+\n)+", text)
