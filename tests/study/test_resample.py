"""A comparison whose seeds draw training and validation images anew."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace
from scipy.stats import t

import dorsal
from dorsal.data.sampling import resample, whole
from dorsal.findings.comparison import ComparisonFindings
from dorsal.jobs.kept import read_predictions
from dorsal.jobs.records import Study
from dorsal.jobs.trained import save_trained, trained_card
from dorsal.recipes.text import recipe
from dorsal.report.words.comparison import caveats, no_shares
from dorsal.study.comparison.question import Comparison
from dorsal.study.comparison.run import compare
from dorsal.study.evaluation.question import Evaluation
from tests.study.conftest import TINY

DATA = "scenes(train=120, val=60, size=32)"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Path]:
    folder = tmp_path_factory.mktemp("resampled")
    net = dorsal.network(f"{TINY[:-1]}, classes=10)")
    card = trained_card(net, dorsal.open_data(DATA), "tests", recipe("plain"))
    save_trained(folder / "start", dorsal.build(net), card, 10.0)
    asked = Comparison(
        networks=(f"a={TINY}", f"b={TINY}@{folder / 'start'}"),
        recipes=("plain", "neighbors"),
        seeds=3,
        epochs=1,
        data=DATA,
        resample=3,
        out=str(folder / "out"),
        workers=1,
    )
    return compare(asked), folder / "out"


def test_each_image_is_scored_by_one_seed_of_the_folds(study: tuple[Study, Path]) -> None:
    made, folder = study
    assert [trial.status for trial in made.trials] == ["finished"] * 12, [trial.error for trial in made.trials]
    data = dorsal.open_data(DATA)
    images = whole(data)
    for (arm, name, seed), trial in made.ended().items():
        held = resample(data, 3, seed).held
        said = read_predictions(folder, trial)
        assert said["label"].tolist() == images.labels[held].tolist(), (arm, name, seed)
        assert images.groups is not None
        assert said["group"].tolist() == images.groups[held].tolist()
        assert trial.score == pytest.approx(100 * (said["predicted"] == said["label"]).mean())


def test_neighbors_answer_for_every_seed_from_features_that_are_computed_once(study: tuple[Study, Path]) -> None:
    made, folder = study
    assert len([key for key in made.ended() if key[:2] == ("b", "neighbors")]) == 3
    assert len(list((folder / "features").glob("*.npy"))) == 2 * (1 + 3)  # of the start once, of random weights thrice


def test_the_findings_take_the_seeds_for_what_they_are(study: tuple[Study, Path]) -> None:
    made, folder = study
    random = np.random.default_rng(0)
    learnt = (
        replace(trial, score=60 + float(score))
        for trial, score in zip(made.trials, random.normal(size=12), strict=True)
    )
    made = replace(made, trials=tuple(learnt))
    found = dorsal.analyse(made)
    assert isinstance(found, ComparisonFindings)
    assert made.data.overlap == 0.5
    assert found.comparisons.keys() == {"mean of the recipes", "plain", "neighbors"}
    for each in found.comparisons.values():
        assert each.noise_sd is not None
        half = t.ppf(0.975, 2) * each.noise_sd * np.sqrt(2 / 3 + 2 * 0.5)  # two arms: Student's t
        assert [pair.seed_half for pair in each.pairs] == [pytest.approx(half)]
    assert (found.no_shares, found.images) == ("resampled", None)
    assert "each seed drew its own images" in no_shares(found)
    said = " ".join(caveats(made, found))
    assert "Of all 180 images each seed trained on all but one of 3 folds and was scored on that one" in said
    assert "1 / n + 0.5 times" in said
    assert "new training and test images like these" in said
    assert "seeds only" not in said
    dorsal.write_report(folder)
    assert "Nadeau" in (folder / "report.html").read_text(encoding="utf-8")


def test_the_images_of_another_comparison_are_other_runs(study: tuple[Study, Path], tmp_path: Path) -> None:
    made, folder = study
    asked: dict[str, Any] = {"networks": (f"a={TINY}",), "recipes": ("plain",), "epochs": 1, "data": DATA}
    keys = {run.key for run in made.runs}
    whole_study = compare(Comparison(**asked, seeds=1, out=str(tmp_path / "one"), workers=1))
    assert not keys & {run.key for run in whole_study.runs}
    again = compare(Comparison(**asked, seeds=3, resample="3", out=str(folder), workers=1))  # text as of a command line
    assert {run.key for run in again.runs} < keys
    assert again.trials == tuple(trial for trial in made.trials if trial.key in {run.key for run in again.runs})


def test_a_model_that_saw_some_of_the_images_says_so(study: tuple[Study, Path], tmp_path: Path) -> None:
    _, folder = study
    models = sorted((folder / "models").iterdir())
    notes: list[str] = []
    asked = Evaluation(models=(str(models[0]),), data=DATA, out=str(tmp_path / "scores"), workers=1)
    dorsal.run(asked, on_event=lambda event: notes.append(str(getattr(event, "text", ""))))
    assert any("drawn by its seed" in note for note in notes)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"resample": "randm"}, "neither 'random' nor a number of folds"),
        ({"resample": 1}, "nearest valid: 2"),
        ({"resample": 5}, "nearest valid: seeds=5"),
        (
            {"resample": 5, "seeds": (1, 2, 3)},
            r"seeds=\[1, 2, 3\] leave some of the 5 folds out.*nearest valid: seeds=5",
        ),
        ({"resample": 3, "seeds": (1, 2, 4)}, r"seeds=\[1, 2, 4\] leave some of the 3 folds out"),
        ({"resample": 3, "budget": "1h"}, "might leave folds out; give resample=random"),
        ({"resample": 3, "tune": 4}, "does not go with resample=3"),
        ({"resample": "random", "until_decided": True}, "does not go with resample=random"),
    ],
)
def test_what_cannot_be_is_refused(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Comparison(networks=("small",), **fields)
