"""A search through the command line on something tiny, killed and gone on with; its winner in the other verbs."""

import json
import os
import sys
from pathlib import Path

import pytest

import dorsal as library
from dorsal.cli import main
from dorsal.zoo import network
from tests.processes import Copied

DATA = ["--data", "scenes(train=64, val=32, size=32)"]
QUESTION = [
    "space",
    "search",
    "anynetx_e",
    "--trials",
    "4",
    "--macs",
    "300k..1M",
    "--edit",
    "stem=simple(width=8, stride=2)",
]
QUESTION += [
    "--objective",
    "error",
    "--objective",
    "macs",
    "--recipe",
    "plain",
    "--epochs",
    "1",
    "--workers",
    "1",
    *DATA,
]


def command(*words: str) -> None:
    """`dorsal WORDS…`, which says everything on standard output."""
    os.dup2(1, 2)
    sys.argv = ["dorsal", *words]
    main()


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a search that was killed after its first network."""
    folder = tmp_path_factory.mktemp("search") / "out"
    search = Copied(command, *QUESTION, "--out", str(folder), errors=folder.with_name("errors"))
    told = [line for line in search.lines if line.startswith("1/4  ") and not search.process.kill()]
    search.rest()
    assert told
    return folder


def test_a_killed_search_goes_on_and_its_winner_is_handed_over(dorsal, out, tmp_path):
    code, text, err = dorsal(*QUESTION, "--out", out, "--json")
    assert code == 0, err
    found = json.loads(text)["outcome"]
    assert found["counts"] == {"finished": 4, "diverged": 0, "failed": 0, "waiting": 0}
    assert "1/4  " not in err
    assert "4/4  " in err
    assert found["front"][0]["values"][0] == found["best"]["error"]

    code, text, err = dorsal(*QUESTION, "--out", out)
    assert (code, err.count("/4  ")) == (0, 0)  # nothing is trained twice
    assert "4 of 4 networks of anynetx_e finished" in text
    learnt = "Nothing was learnt" not in text  # so short a run may tell its networks from one class or not
    assert (f"dorsal space pick {out} --by pareto" in text) == learnt
    assert (f"{found['best']['error']:.2f}" in text) == learnt

    (out / "report.html").unlink()
    code, again, err = dorsal("report", out)
    assert code == 0, err
    assert again == text
    assert "<title>search</title>" in (out / "report.html").read_text()

    code, text, err = dorsal("space", "pick", out, "--out", tmp_path / "winner.json")
    assert code == 0, err
    assert found["best"]["label"] in err
    assert "too good to be true" in err
    assert "Unverified" in err
    text, winner = text.strip(), str(tmp_path / "winner.json")
    assert network(text) == network(winner)

    options = ["--epochs", 1, "--threads", 1, "--out", tmp_path / "trained"]
    code, printed, err = dorsal("train", text, *DATA, *options)
    assert code == 0, err
    assert printed.startswith("accuracy")
    for asked in (text, winner):
        code, printed, err = dorsal("show", asked, "--json")
        assert code == 0, err
        assert len(list(library.create(asked).parameters())) > 10
    code, printed, err = dorsal(
        "compare", winner, *DATA, "--recipe", "plain", "--epochs", 1, "--seeds", 1, "--workers", 1,
        "--out", tmp_path / "compared",
    )  # fmt: skip
    assert code == 0, err
    assert "winner" in printed


def test_nonsense_is_refused_in_one_sentence(dorsal, tmp_path):
    for words, says in (
        (["--sampler", "tpee"], "unknown sampler 'tpee'; did you mean tpe?"),
        (["--objective", "error", "--objective", "error"], "objective 'error' is given twice"),
        (["--bound", "layers"], "--bound 'layers' is not of the form NAME=RANGE"),
        (["--against", tmp_path], "holds no population"),
    ):
        code, out, err = dorsal("space", "search", "anynetx_e", *words)
        assert (code, out) == (2, "")
        assert says in err
        assert err.count("\n") == 1
    code, _, err = dorsal("space", "pick", tmp_path)
    assert code == 2
    assert "holds no study: there is no study.json in it" in err
    code, _, err = dorsal("space", "pick", tmp_path, "--out", "winner.txt")
    assert code == 2
    assert "must end in .json" in err
