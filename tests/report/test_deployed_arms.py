"""The deployed arms of a comparison on the terminal and on the page."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from rich.cells import cell_len
from rich.console import Console

from dorsal.deploy.forms import Form
from dorsal.deploy.proof import Drop
from dorsal.findings.comparison import analyse_comparison
from dorsal.findings.deployed import DeployedFindings
from dorsal.jobs.records import Machine
from dorsal.report.comparison.figures import deployed_view
from dorsal.report.comparison.page import comparison_page
from dorsal.report.comparison.terminal import print_comparison
from dorsal.report.words.deployed_arms import TITLE, rows, sentences
from dorsal.report.words.numerals import percent
from dorsal.spec.task import metric_of
from dorsal.study.comparison.records import DeployedArm, DeployedArms
from tests.findings.studies import Case, key_of
from tests.report.browser import assert_legible, look_at, needs_browser
from tests.report.test_page import read

LOSS = Drop(value=0.2, low=-0.1, high=0.5, most=1.0, images=1000, needed=None)
TIMES = {"resnet": 4.0, "res2net": 9.0, "resnest": 12.0}


def arm(label: str) -> DeployedArm:
    ms = TIMES[label]
    return DeployedArm(
        arm=label,
        recipe="plain",
        seed=0,
        key=key_of(label, "plain", 0),
        folder=f"deployed/{label}-3f2a1c",
        files={"model.xml": "0", "model.bin": "1"},
        form=Form("openvino", "int8" if label == "resnet" else "float32", "folded"),
        rounds=tuple(ms + turn / 50 for turn in range(20)),
        plain=tuple(2.5 * ms + turn / 50 for turn in range(20)) if label != "res2net" else (),
        loses=LOSS if label == "resnet" else None,
        score=81.0,
    )


def measured(**changes: Any) -> DeployedArms:
    made = DeployedArms(
        created="2026-12-01",
        arms=tuple(map(arm, TIMES)),
        left_out={"regnet": "the data have 20 images for it"},
        shape=(1, 3, 32, 32),
        pixels=False,
        threads=2,
        others=0.02,
        machine=Machine("a processor", 2, 16.0, "Linux", "cpu", 1, 2),
        instructions=("AVX2",),
        versions={"openvino": "2026.4.1"},
    )
    return replace(made, **changes)


def deployed(case: Case, **changes: Any) -> Case:
    return Case(case.study, analyse_comparison(case.study, None, measured(**changes)))


@pytest.fixture(scope="module")
def shown(whole: Case) -> Case:
    return deployed(whole)


def found(case: Case) -> DeployedFindings:
    assert case.analysis.deployed is not None
    return case.analysis.deployed


def test_the_table_has_the_fastest_first(shown: Case) -> None:
    first, second, third = rows(found(shown))
    float32 = shown.analysis.cell("resnet", "plain").score
    score = next(each.score for each in found(shown).rows if each.arm == "resnet")
    assert score.value == pytest.approx(float32.value - 0.2)
    assert float32.high - float32.low < score.high - score.low < float32.high - float32.low + 0.72
    said = percent(score).replace(" ±", "\n±")
    assert first == ("resnet", "openvino\nint8\nfolded", "4.19\n3.99 to 4.40", "1.00", "0.20\n-0.1 to 0.5", said)
    assert second[:2] == ("res2net", "openvino\nfloat32\nfolded")
    assert second[3:5] == ("2.19", "–")
    assert third[0] == "resnest"


def test_what_is_said_of_them(shown: Case) -> None:
    front, gains, left_out, how = sentences(found(shown), metric_of(shown.study.task))
    assert front == ("By means of top-1 accuracy and median times alone, resnet, res2net and resnest are on the front.")
    assert gains.startswith("PyTorch eager in float32 takes 2.4")
    assert gains.endswith(" times as long for resnest.")
    assert "res2net" not in gains
    assert left_out == "regnet is not deployed: the data have 20 images for it."
    assert how.startswith("One call of 1×3×32×32 on 2 threads of a processor with AVX2, given one image: medians with ")


def test_the_front_leaves_out_what_is_beaten_in_both(whole: Case) -> None:
    slow = replace(arm("res2net"), rounds=tuple(30.0 + turn / 50 for turn in range(20)))
    case = deployed(whole, arms=(arm("resnet"), slow, arm("resnest")), pixels=True)
    assert found(case).front.labels == ("resnet", "resnest")
    front, *_, how = sentences(found(case), metric_of(case.study.task))
    assert front.endswith("resnet and resnest are on the front; the other is beaten in both by one of them.")
    assert "given pixels, which each form normalizes" in how
    only = sentences(found(deployed(whole, arms=(arm("resnest"), slow))), metric_of(case.study.task))[0]
    assert only == "By means alone, resnest has the highest top-1 accuracy and is the fastest of what is deployed."


def test_times_of_a_busy_machine_are_not_to_be_trusted(whole: Case) -> None:
    case = deployed(whole, others=0.3)
    said = "Other work took up to 30 % of the processor while arms were timed, and more than 10 % is too much"
    assert sentences(found(case), metric_of(case.study.task))[0].startswith(said)
    assert said in read(case).text
    assert said not in read(deployed(whole, others=0.1)).text


def test_the_terminal_has_it_in_80_columns(shown: Case, whole: Case) -> None:
    def printed(case: Case) -> str:
        stream = io.StringIO()
        print_comparison(case.study, case.analysis, Console(file=stream, width=80, color_system=None))
        return stream.getvalue()

    text = printed(shown)
    assert max(map(cell_len, text.splitlines())) <= 80
    for words in (TITLE, "× fastest", "3.99 to 4.40", "-0.1 to 0.5"):
        assert words in text
    assert TITLE not in printed(whole)


def test_the_figure_has_both_intervals_and_the_front(shown: Case) -> None:
    figure = deployed_view(shown.study, found(shown)).figure
    front, *points = figure.data
    assert list(front.x) == pytest.approx([4.19, 9.19, 12.19], rel=1e-3)
    assert [point.text[0] for point in points] == ["resnet", "res2net", "resnest"]
    cell = shown.analysis.cell("resnest", "plain")
    assert cell is not None
    assert cell.score is not None
    assert cell.score.high is not None
    assert points[2].y[0] == cell.score.value == pytest.approx(front.y[-1], rel=1e-4)
    assert points[2].error_y.array[0] == pytest.approx(cell.score.high - cell.score.value)
    assert points[0].error_x.array[0] > 0
    low, high = figure.layout.xaxis.range
    assert low < 4
    assert high > 12.5


def test_an_axis_of_times_that_are_far_apart_is_logarithmic(whole: Case) -> None:
    slow = replace(arm("resnest"), rounds=(90.0, 91.0))
    figure = deployed_view(whole.study, found(deployed(whole, arms=(arm("resnet"), slow)))).figure
    assert figure.layout.xaxis.type == "log"
    low, high = figure.layout.xaxis.range
    assert 10**low < 4
    assert 90 < 10**high < 300


def test_without_it_nothing_is_on_the_page(whole: Case, shown: Case) -> None:
    assert TITLE not in read(whole).text
    assert TITLE in read(shown).text
    assert len(read(shown).figures) == len(read(whole).figures) + 1


@needs_browser
@pytest.mark.parametrize("width", [390, 1280])
def test_it_is_drawn(shown: Case, tmp_path: Path, width: int) -> None:
    assert_legible(look_at(comparison_page(shown.study, shown.analysis), width, tmp_path))
