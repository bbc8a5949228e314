"""`dorsal space` as its user meets it: what is printed, written and refused."""

import json

import pytest

from dorsal.space.named import SPACES, read_space
from dorsal.spec.cost import cost
from dorsal.zoo import network
from tests.study.arithmetic import Arithmetic, put_in_place

TINY = """
name = "tiny"
base = "small(depths=[1], widths=[16], strides=[2], stem=simple(width=8, stride=2))"
axes.widths = { draw = { type = "uniform", low = 8, high = 64, quantum = 8 }, by_stage = true }
"""
RUN = (
    "--count", 2, "--macs", "10k..400M",
    "--recipe", "plain", "--epochs", 1, "--data", "scenes(train=64, val=32, size=32)",
)  # fmt: skip


def test_list_has_every_named_space(dorsal):
    code, out, _ = dorsal("space", "list")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()[1:]] == list(SPACES)
    rows = json.loads(dorsal("space", "list", "--json")[1])
    assert {row["name"]: row["dimensions"] for row in rows}["anynetx_a"] == 16


def test_what_show_prints_is_a_space_file(dorsal, tmp_path):
    code, out, _ = dorsal("space", "show", "anynetx_e")
    assert code == 0
    file = tmp_path / "mine.toml"
    file.write_text(out, encoding="utf-8")
    assert read_space(str(file)) == SPACES["anynetx_e"]
    assert "from anynetx_a (1.85e+18 points): share expansion" in out


def test_a_sample_is_networks_within_the_bounds_as_text(dorsal):
    code, out, err = dorsal(
        "space", "sample", "regnetx", "--count", 5, "--macs", "360M..400M", "--bound", "layers=..70"
    )
    assert code == 0
    assert "5 networks of regnetx from 10,000 candidates" in err
    assert len(out.splitlines()) == 5
    for line in out.splitlines():
        macs, params, _, text = line.split(maxsplit=3)
        found = cost(network(text), 224)
        assert 360e6 <= found.macs <= 400e6
        assert (f"{found.macs / 1e6:.2f}", f"{found.params / 1e6:.2f}") == (macs, params)
    rows = [json.loads(line) for line in dorsal("space", "sample", "regnetx", "--seed", 1, "--json")[1].splitlines()]
    assert len(rows) == 10
    assert cost(network(rows[0]["network"]), 224).macs == rows[0]["macs"]
    assert set(rows[0]["axes"]) == set(SPACES["regnetx"].axes)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("sample", "regnetx", "--macs", "400"), "macs='400' is not a range"),
        (("sample", "regnetx", "--macs", "360..400"), "did you mean 360M..400M?"),
        (("sample", "regnetx", "--macs", "400M..360M"), "did you mean 360M..400M?"),
        (("sample", "regnetx", "--bound", "layers"), "--bound 'layers' is not of the form NAME=RANGE"),
        (("sample", "regnetx", "--bound", "layer=..9"), "unknown bound 'layer'; did you mean layers"),
        (("sample", "regnetx", "--macs", "1T.."), "macs"),
        (("sample", "regnetx", "--latency", "..8"), "--latency needs --latency-model"),
        (("sample", "regnet"), "unknown space 'regnet'; did you mean regnet"),
        (("sample", "anynetx_e", "--params", "9G..10G", "--max-candidates", 20000), "none has params in 9G..10G"),
        (("run",), "SPACE... is missing"),
        (("run", "regnetx", "--ray", "nowhere"), "Ray address 'nowhere' is not HOST:PORT"),
        (("run", "regnetx", "--recipe", "plane"), "plane"),
        (("recheck", "nowhere"), "'nowhere' holds no population"),
        (("analyse", "nowhere"), "'nowhere' holds no population"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(dorsal, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    code, out, err = dorsal("space", *words)
    assert (code, out) == (2, "")
    assert message in err
    assert len([line for line in err.splitlines() if line.startswith("dorsal: ")]) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_space_file_with_an_unknown_axis_is_refused_with_a_suggestion(dorsal, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('name = "mine"\nbase = "small"\naxes.width = { draw = { type = "choice", values = [8] } }\n')
    code, _, err = dorsal("space", "sample", file)
    assert code == 2
    assert "unknown axis 'width'; did you mean widths" in err


def test_recheck_with_failed_runs_ends_as_run_does(dorsal, tmp_path, monkeypatch):
    engine = put_in_place(Arithmetic(1), monkeypatch)
    (tmp_path / "tiny.toml").write_text(TINY, encoding="utf-8")
    assert dorsal("space", "run", tmp_path / "tiny.toml", *RUN, "--out", tmp_path / "out")[0] == 0
    words = ("space", "recheck", tmp_path / "out", "--networks", 2, "--epochs", 2, "--seeds", 1)
    engine.ends = {"tiny/0": "failed", "tiny/1": "failed"}
    code, printed, _ = dorsal(*words)
    assert (code, "report: " in printed) == (1, True)
    engine.ends = {}
    assert dorsal(*words)[0] == 0


def test_without_its_store_a_population_is_refused_and_its_report_kept(dorsal, tmp_path, monkeypatch):
    put_in_place(Arithmetic(1), monkeypatch)
    file, out = tmp_path / "tiny.toml", tmp_path / "out"
    file.write_text(TINY, encoding="utf-8")
    assert dorsal("space", "run", file, *RUN, "--out", out)[0] == 0
    (out / "study.db").rename(tmp_path / "kept.db")
    before = {path: path.read_bytes() for path in out.iterdir() if path.is_file()}
    again = ("space", "run", file, *RUN, "--out", out)
    for words in (("report", out), ("space", "analyse", out), ("space", "narrow", out), ("space", "pick", out), again):
        code, printed, err = dorsal(*words)
        assert (code, printed) == (2, "")
        assert err.splitlines()[-1].startswith(f"dorsal: '{out / 'study.db'}' is missing, and with it all runs of the")
        assert {path: path.read_bytes() for path in out.iterdir() if path.is_file()} == before
    (tmp_path / "kept.db").rename(out / "study.db")
    assert dorsal("report", out)[0] == 0


def test_run_then_report_then_recheck(dorsal, tmp_path, monkeypatch):
    monkeypatch.setattr("dorsal.study.population.run.TIMED", 2)
    out, file = tmp_path / "out", tmp_path / "tiny.toml"
    file.write_text(TINY, encoding="utf-8")
    code, printed, err = dorsal("space", "run", file, *RUN, "--out", out)
    assert code == 0
    assert "2/2  tiny/" in err
    assert "tiny" in printed
    assert f"report: {out / 'report.html'}" in printed.replace("\n", "")
    results = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert results["analysis"]["spaces"][0]["counts"] == {"finished": 2, "diverged": 0, "failed": 0, "waiting": 0}
    assert "dorsal space recheck" in results["analysis"]["reliability"]["sentence"]
    (out / "report.html").unlink()
    code, printed, _ = dorsal("report", out, "--json")
    assert code == 0
    assert json.loads(printed) == results
    assert (out / "report.html").is_file()
    code, printed, _ = dorsal("space", "recheck", out, "--networks", 2, "--epochs", 2, "--seeds", 1, "--json")
    assert code == 0
    assert json.loads(printed)["analysis"]["reliability"]["ranks"][0]["space"] == "tiny"
    code, _, err = dorsal("space", "run", "regnetx", *RUN, "--out", out)
    assert code == 2
    assert "holds a population of tiny, which is not asked for" in err
    code, _, err = dorsal("compare", "small", "--out", out)
    assert code == 2
    assert "holds a population of `dorsal space run`" in err
