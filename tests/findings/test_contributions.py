"""What a study's folder keeps of each image becomes intervals over seeds and test images; what is lost is said."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace
from numpy.typing import NDArray

from dorsal.findings.comparison import MEAN_OF_RECIPES, analyse_comparison
from dorsal.findings.contributions import read_contributions
from dorsal.jobs.kept import pack, predictions_file, write_predictions
from dorsal.jobs.records import Study
from dorsal.report.words.comparison import caveats, conclusions
from dorsal.report.write import write_report
from tests.findings.studies import Case, contributions_of

HALF = 500


def kept(study: Study, folder: Path, **more: NDArray[Any]) -> Study:
    """The study with scores that follow from predictions on 1,000 images, which are in the folder."""
    runs, trials = contributions_of(study).runs, []
    for trial in study.trials:
        right = runs[trial.key].top[:, 0].astype(np.int32)
        said = {"label": np.ones_like(right), "predicted": right, "logits": np.zeros((1000, 2), np.float16), **more}
        content = pack(said)
        write_predictions(folder, trial.key, content)
        digest = hashlib.sha256(content).hexdigest()
        trials.append(replace(trial, score=float(100 * right.mean()), predictions=digest))
    return replace(study, trials=tuple(trials))


def test_a_report_reads_what_was_said_of_each_image(whole: Case, tmp_path: Path) -> None:
    found = write_report(kept(whole.study, tmp_path), tmp_path)
    assert (found.images, found.groups, found.lost) == (1000, None, "")
    written = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))["analysis"]["comparisons"]
    for pair in written[MEAN_OF_RECIPES]["pairs"]:
        assert pair["images"] == 1000
        assert pair["image_half"] > 0
    assert "Howe" in written["plain"]["method"]


def test_images_of_one_group_are_counted_once(whole: Case, tmp_path: Path) -> None:
    study = kept(whole.study, tmp_path, group=np.arange(1000) // 4)
    found = analyse_comparison(study, read_contributions(study, tmp_path))
    assert (found.images, found.groups) == (1000, 250)
    assert {pair.images for pair in found.comparisons["plain"].pairs} == {250}
    assert any("250 independent groups" in caveat for caveat in caveats(study, found))
    assert any("250 groups of test images" in said for said in conclusions(study, found))


def test_lost_predictions_leave_intervals_over_seeds_and_are_named(whole: Case, tmp_path: Path) -> None:
    study = kept(whole.study, tmp_path)
    broken = predictions_file(tmp_path, study.trials[5].key)
    broken.write_bytes(b"damaged")
    found = analyse_comparison(study, read_contributions(study, tmp_path))
    assert found.comparisons == analyse_comparison(study).comparisons
    (said,) = (caveat for caveat in caveats(study, found) if "3 seeds only" in caveat)
    assert str(broken) in said
    assert "damaged" in said
    broken.unlink()
    assert f"{str(broken)!r} is missing" in read_contributions(study, tmp_path).lost


@pytest.mark.parametrize(("change", "why"), [({"predictions": ""}, "kept nothing"), ({"score": 1.5}, "do not give")])
def test_studies_of_older_versions_and_foreign_predictions(
    whole: Case, tmp_path: Path, change: dict[str, Any], why: str
) -> None:
    study = kept(whole.study, tmp_path)
    study = replace(study, trials=tuple(replace(trial, **change) for trial in study.trials))
    known = read_contributions(study, tmp_path)
    assert not known.runs
    assert why in known.lost
    assert "(and 23 more)" in known.lost
