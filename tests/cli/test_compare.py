"""The main job through the command line, on something tiny: runs, stops, goes on, and reports."""

import csv
import json

import pytest

from dorsal.jobs.records import Study
from dorsal.report.comparison.results import read_results
from tests.study.arithmetic import Arithmetic, put_in_place

ARMS = ["resnet=small(depths=[1, 1], widths=[16, 32], strides=[2, 2])"]
ARMS += ["split=small(depths=[1, 1], widths=[16, 32], strides=[2, 2], mixer=split_attention)"]
OPTIONS = ["--data", "scenes(train=40, val=20, size=32)", "--recipe", "plain", "--epochs", 1, "--workers", 1]


def test_compare_then_more_seeds_then_report(dorsal, tmp_path):
    out = tmp_path / "study"
    code, text, err = dorsal("compare", *ARMS, *OPTIONS, "--seeds", 1, "--out", out)
    assert code == 0, err
    assert "report:" in text
    assert (out / "report.html").stat().st_size > 1_000_000
    assert err.count("resnet, plain, seed 1:") == 1
    first = read_results(out / "results.json")
    assert len(first.trials) == 2

    code, text, err = dorsal("compare", *ARMS, *OPTIONS, "--seeds", 2, "--margin", 3, "--out", out, "--json")
    assert code == 0, err
    assert "seed 1:" not in err  # finished trials are never run twice
    assert err.count("seed 2:") == 2
    assert json.loads(text) == json.loads((out / "results.json").read_text())
    both = read_results(out / "results.json")
    assert isinstance(both, Study)
    assert (first.margin, both.margin) == (1.0, 3.0)
    assert {seed for _, _, seed in both.ended()} == {1, 2}
    assert {run: trial for run, trial in both.ended().items() if run[2] == 1} == first.ended()
    with (out / "trials.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 4

    (out / "report.html").unlink()
    code, text, _ = dorsal("report", out)
    assert code == 0
    assert (out / "report.html").exists()
    assert "split" in text


def test_several_data_sets_have_one_answer_and_a_page_each(dorsal, tmp_path, monkeypatch):
    put_in_place(Arithmetic(2), monkeypatch)
    arms = ["shallow=small(depths=[1, 1, 1])", "deep=small(depths=[4, 4, 4])"]
    options = ["--recipe", "plain", "--seeds", 2, "--out", tmp_path / "study"]
    for seed in (1, 2, 3):
        options += ["--data", f"scenes(train=40, val=20, seed={seed})"]
    code, text, err = dorsal("compare", *arms, *options)
    assert code == 0, err
    assert "comparing 2 networks on scenes(train=40, val=20, seed=1), scenes(train=40, val=20, seed=2), " in err
    assert err.count("deep, plain, seed 2:") == 3
    assert "3 data sets" in " ".join(text.split())
    names = [f"scenes-seed-{seed}" for seed in (1, 2, 3)]
    assert all((tmp_path / "study" / name / "study.json").is_file() for name in names)
    code, text, err = dorsal("compare", *arms, *options, "--json")
    assert (code, err.count("seed 2:")) == (0, 0)  # nothing is made twice
    found = json.loads(text)
    (pair,) = found["analysis"]["overall"]["pairs"]
    assert (pair["better"], pair["difference"]["value"]) == ("shallow", pytest.approx(9.0))
    (tmp_path / "study" / "report.html").unlink()
    assert dorsal("report", tmp_path / "study")[0] == 0
    assert all(name in (tmp_path / "study" / "report.html").read_text() for name in names)


def test_diverged_runs_are_an_outcome_and_a_crashed_one_is_the_exit_code(dorsal, tmp_path):
    options = ["--data", "scenes(train=40, val=20, size=32)", "--epochs", 1, "--workers", 1, "--seeds", 1]
    code, text, err = dorsal(
        "compare", *ARMS, *options, "--recipe", "plain(lr=1e8, warmup_epochs=0)", "--out", tmp_path / "study"
    )
    assert code == 0
    assert "diverged" in err
    assert "diverged" in text
    assert {trial.status for trial in read_results(tmp_path / "study" / "results.json").trials} == {"diverged"}


@pytest.mark.parametrize("command", ["compare", "train"])
def test_one_class_and_empty_folders_are_refused(dorsal, tmp_path, command):
    (tmp_path / "photos" / "cat").mkdir(parents=True)
    code, _, err = dorsal(command, "small", "--data", tmp_path / "photos", "--out", tmp_path / "out")
    assert code == 2
    assert "photos" in err
    assert not (tmp_path / "out").exists()
