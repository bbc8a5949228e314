"""`dorsal stats` as a user calls it."""

import json

import msgspec
import pytest

import dorsal as package
from dorsal.findings.table.analyse import TableFindings
from dorsal.report.table.page import table_page
from dorsal.report.words.table import caveats, conclusions
from tests.report.test_page import Reader

TABLE = """model,seed,accuracy
plain,0,76.1
plain,1,75.8
plain,2,76.5
res2net,0,78.4
res2net,1,78.0
res2net,2,78.1
<b>resnest</b>,0,78.2
<b>resnest</b>,1,78.3
<b>resnest</b>,2,78.6
"""


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "results.csv"
    path.write_text(TABLE, encoding="utf-8")
    return path


def test_it_says_the_top_the_verdicts_and_what_was_read(dorsal, table):
    code, out, err = dorsal("stats", table)
    assert (code, err) == (0, "")
    said = " ".join(out.split())
    for sentence in conclusions(package.analyse_table(table)):
        assert sentence in said.replace(" • ", " ")
    for part in ("arm from 'model'", "Higher is better. Margin: 1 point.", "practically equal", "1 to 2"):
        assert part in said
    assert max(map(len, out.splitlines())) <= 80


def test_json_holds_the_findings_and_the_sentences(dorsal, table):
    code, out, _ = dorsal("stats", table, "--margin", "0.5", "--confidence", "0.9", "--json")
    assert code == 0
    found = package.analyse_table(table, 0.5, 0.9)
    whole = json.loads(out)
    assert whole.pop("sentences") == list(conclusions(found))
    assert whole.pop("caveats") == list(caveats(found))
    assert whole.pop("read").startswith("9 rows: 3 arms, 1 data set, 3 seeds.")
    assert msgspec.convert(whole, TableFindings) == found


def test_the_page_is_well_formed_and_escapes_names(dorsal, table, tmp_path):
    code, out, _ = dorsal("stats", table, "--out", tmp_path / "made")
    assert code == 0
    assert "report.html" in out
    text = (tmp_path / "made" / "report.html").read_text(encoding="utf-8")
    assert text == table_page(package.analyse_table(table))
    reader = Reader(text)
    assert reader.open == []
    assert "<b>resnest" not in text
    assert all(sentence in reader.text for sentence in conclusions(package.analyse_table(table)))
    assert len(reader.figures) == 1
    assert json.loads((tmp_path / "made" / "results.json").read_text(encoding="utf-8"))["rows"] == 9


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("none.csv",), "table 'none.csv' does not exist; give a CSV file"),
        (("results.csv", "--margin", "-1"), "margin=-1 must be above 0, for example 1"),
        (("results.csv", "--confidence", "95"), "confidence=95.0 must lie between 0 and 1, for example 0.95"),
        (
            ("bad.csv",),
            "bad.csv, line 2, column 'score': 'x' is not a number; leave it empty for a run without a result",
        ),
        ((), "FILE is missing: A CSV file of scores or of predictions; e.g. dorsal stats results.csv"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(dorsal, table, monkeypatch, words, said):
    monkeypatch.chdir(table.parent)
    (table.parent / "bad.csv").write_text("arm,seed,score\na,1,x\n", encoding="utf-8")
    code, out, err = dorsal("stats", *words, "--out", "made") if words else dorsal("stats")
    assert (code, out) == (2, "")
    assert err.startswith(f"dorsal: {said}")
    assert not (table.parent / "made").exists()


def test_unpaired_arms_and_data_sets_are_told(dorsal, tmp_path):
    apart = tmp_path / "apart.csv"
    apart.write_text("arm,seed,score\na,1,2\na,2,2.5\nb,3,3\nb,4,3.5\n", encoding="utf-8")
    out = " ".join(dorsal("stats", apart)[1].split())
    assert "Nothing to compare: no two arms have a seed in common." in out
    assert "Number the runs of each arm alike to pair them." in out
    many = tmp_path / "many.csv"
    rows = [
        f"{data},{arm},{seed},{70 + 5 * (arm == 'b') + 0.1 * (seed * (ord(data) + ord(arm)) % 3)}"
        for data in "xyz"
        for arm in "ab"
        for seed in range(3)
    ]
    many.write_text("\n".join(["data,arm,seed,score", *rows]), encoding="utf-8")
    out = " ".join(dorsal("stats", many, "--out", tmp_path / "made")[1].split())
    assert "b against a on single data sets: 3 won, 0 undecided, 0 lost; ahead on 3." in out
    for title in ("Over data sets", "On x", "On y", "On z"):
        assert title in out


def test_a_folder_of_something_else_is_left_alone(dorsal, table, tmp_path):
    for file, what in (("choice.json", "a choice of weights"), ("model.json", "a model")):
        folder = tmp_path / file.partition(".")[0]
        folder.mkdir()
        (folder / file).write_text("{}")
        code, text, err = dorsal("stats", table, "--out", folder)
        assert (code, text, err) == (2, "", f"dorsal: out={str(folder)!r} holds {what}; name another folder\n")
    (tmp_path / "file").write_text("mine")
    code, _, err = dorsal("stats", table, "--out", tmp_path / "file")
    assert (code, "is a file; name a folder" in err) == (2, True)
    assert f"out={str(tmp_path / 'file')!r}" in err
    said = [dorsal("stats", table, "--out", tmp_path / "mine")[1].splitlines()[-1] for _ in range(2)]
    page = tmp_path / "mine" / "report.html"
    assert said == [f"report: {page}", f"report: {page} (replaced)"]
