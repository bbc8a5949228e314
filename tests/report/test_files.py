from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from dorsal.jobs.json_file import write_whole
from dorsal.report.comparison.results import read_results, write_results
from dorsal.report.words.comparison import caveats, conclusions

if TYPE_CHECKING:
    from tests.findings.studies import Case


def write(case: Case, folder: Path) -> Path:
    write_results(case.study, case.analysis, folder)
    return folder / "results.json"


def changed(path: Path, **fields: object) -> Path:
    read = json.loads(path.read_text())
    read["study"].update(fields)
    path.write_text(json.dumps(read))
    return path


def test_results_read_back_as_the_same_study(edge: Case, tmp_path: Path) -> None:
    # repr, because a NaN is not equal to itself
    assert repr(read_results(write(edge, tmp_path / "new" / "folder"))) == repr(edge.study)


def test_numbers_that_are_not_finite_survive_in_valid_json(case: Callable[[str], Case], tmp_path: Path) -> None:
    path = write(case("not_finite"), tmp_path)
    epoch = read_results(path).trials[0].curve[-1]
    assert math.isnan(epoch.train_loss)
    assert epoch.val_loss == math.inf
    json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_the_analysis_is_in_the_file(whole: Case, tmp_path: Path) -> None:
    read = json.loads(write(whole, tmp_path).read_text())
    assert read["analysis"]["sentences"] == list(conclusions(*whole))
    assert read["analysis"]["caveats"] == list(caveats(*whole))
    assert len(read["analysis"]["cells"]) == 8
    assert all(each["method"] and each["assumptions"] for each in read["analysis"]["comparisons"].values())


def test_trials_csv_has_one_line_a_run(broken: Case, tmp_path: Path) -> None:
    write(broken, tmp_path)
    rows = list(csv.DictReader((tmp_path / "trials.csv").read_text().splitlines()))
    assert len(rows) == len(broken.study.trials)
    assert [float(row["score"]) if row["score"] else None for row in rows] == [t.score for t in broken.study.trials]
    assert rows[1] == {
        "arm": "resnet",
        "recipe": "tricks",
        "seed": "0",
        "status": "diverged",
        "score": "",
        "seconds": "4.0",
        "error": "loss is nan at epoch 4, step 12",
        "epochs": "3",
    }


def test_curves_csv_has_one_line_an_epoch(broken: Case, tmp_path: Path) -> None:
    write(broken, tmp_path)
    rows = list(csv.DictReader((tmp_path / "curves.csv").read_text().splitlines()))
    assert len(rows) == sum(len(t.curve) for t in broken.study.trials)
    assert float(rows[4]["val_loss"]) == broken.study.trials[0].curve[4].val_loss
    assert rows[4]["epoch"] == "5"


def test_another_schema_is_refused(whole: Case, tmp_path: Path) -> None:
    path = changed(write(whole, tmp_path), schema=0)
    with pytest.raises(ValueError, match=r"schema 0 and this version of dorsal reads 3"):
        read_results(path)


def test_an_unknown_field_is_refused(whole: Case, tmp_path: Path) -> None:
    path = changed(write(whole, tmp_path), colour="blue")
    with pytest.raises(ValueError, match=r"is not the results.json of a study: .*colour"):
        read_results(path)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"study": {}}'])
def test_other_files_are_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"other.json' is not the results.json of a study"):
        read_results(path)


@pytest.mark.parametrize("kind", ["population", "search"])
def test_of_populations_and_searches_the_folder_is_asked_for(whole: Case, tmp_path: Path, kind: str) -> None:
    path = changed(write(whole, tmp_path), kind=kind)
    with pytest.raises(ValueError, match=f"that of a {kind}, not of a comparison; give its folder"):
        read_results(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not exist"):
        read_results(tmp_path / "results.json")


def test_a_full_disk_leaves_the_old_file(whole: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(whole, tmp_path)
    before, names = path.read_bytes(), sorted(tmp_path.iterdir())

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_results(replace(whole.study, name="later"), whole.analysis, tmp_path)
    assert (path.read_bytes(), sorted(tmp_path.iterdir())) == (before, names)


def test_a_whole_file_replaces_the_one_before(tmp_path: Path) -> None:
    write_whole(tmp_path / "a", b"first and long")
    write_whole(tmp_path / "a", b"second")
    assert (tmp_path / "a").read_bytes() == b"second"
