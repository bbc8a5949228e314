from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest

from dorsal.report.population.page import population_page, write_population_report
from dorsal.report.words.populations import conclusions, pair_sentence
from tests.report.population_cases import COUNTS, EVIL, FEW, case


def written(name: str, folder: Path) -> dict[str, Any]:
    write_population_report(case(name).population, case(name).analysis, folder, *case(name)[2:])
    read: dict[str, Any] = json.loads(
        (folder / "results.json").read_text(), parse_constant=lambda number: pytest.fail(f"{number} is not JSON")
    )
    return read


def table(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "networks.csv").read_text().splitlines()))


@pytest.mark.parametrize("name", ["whole", "nothing_finished", "not_finite"])
def test_the_report_is_three_files_and_nothing_is_left_over(name: str, tmp_path: Path) -> None:
    written(name, tmp_path / "new" / "folder")
    assert {path.name for path in (tmp_path / "new" / "folder").iterdir()} == {
        "results.json",
        "networks.csv",
        "report.html",
    }


def test_the_page_is_that_of_the_analysis(tmp_path: Path) -> None:
    written("three_networks", tmp_path)
    assert (tmp_path / "report.html").read_text() == population_page(*case("three_networks"))


def test_results_hold_the_analysis_and_what_was_asked(tmp_path: Path) -> None:
    read, (population, analysis, *_) = written("whole", tmp_path), case("whole")
    assert read["analysis"]["sentences"] == list(conclusions(analysis))
    assert [pair["sentence"] for pair in read["analysis"]["pairs"]] == [
        pair_sentence(pair, analysis) for pair in analysis.pairs
    ]
    assert all(
        axis["reason"] or axis["numeric"] or axis["categorical"] for axis in read["analysis"]["spaces"][0]["axes"]
    )
    assert read["analysis"]["reliability"]["ranks"][0]["sentences"][0].startswith("One run at 10 epochs")
    assert read["study"]["command"] == population.study.command
    assert [space["name"] for space in read["spaces"]] == [space.name for space in analysis.spaces]
    assert [fit["batch"] for fit in read["latency"]["fits"]] == [16, 16]
    assert written("three_networks", tmp_path)["latency"] is None


def test_networks_have_a_line_each_with_all_that_is_known(tmp_path: Path) -> None:
    written("whole", tmp_path)
    rows, (population, analysis, *_) = table(tmp_path), case("whole")
    assert [row["label"] for row in rows] == [label for space in analysis.spaces for label in space.labels]
    assert len(rows) == sum(COUNTS)
    first, drawn = rows[0], population.spaces[0]
    assert float(first["error"]) == pytest.approx((float(first["error_seed_1"]) + float(first["error_seed_2"])) / 2)
    assert float(first["error"]) == analysis.spaces[0].errors[0]
    assert [int(first[f"depths.{stage}"]) for stage in range(1, 5)] == drawn.axes["depths"][0]
    assert float(first["macs"]) == drawn.costs["macs"][0]
    assert first["text"] == population.study.arms[0].text
    assert (first["status"], first["activation"], first["reason"]) == ("finished", "", "")
    lost = rows[1]
    assert (lost["status"], lost["error"], lost["error_seed_1"]) == ("diverged", "", "")
    assert lost["reason"] == "it diverged; it diverged"
    assert rows[sum(COUNTS[:3])]["activation"] in {"relu", "silu", "mish"}


def test_strings_of_the_user_survive_the_table(tmp_path: Path) -> None:
    written("markup", tmp_path)
    assert table(tmp_path)[0]["space"] == f"{EVIL}regnetx"
    assert table(tmp_path)[FEW]["reason"] == EVIL


def test_what_is_no_number_is_null(tmp_path: Path) -> None:
    read = written("not_finite", tmp_path)["analysis"]["spaces"][0]
    assert read["sampling"]["points"] is None
    assert (read["costs"]["macs"][0], read["errors"][-1]) == (None, None)
    assert math.isnan(float(table(tmp_path)[0]["macs"]))


def test_a_report_that_cannot_be_made_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written("three_networks", tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space left"):
        written("one_network", tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
