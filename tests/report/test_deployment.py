"""A deployment in words: each form says why it is kept or not, and nothing is claimed that was not measured."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from rich.console import Console

from dorsal.data.spec import Scenes
from dorsal.deploy.choose import TriedForm, choose
from dorsal.deploy.forms import Form
from dorsal.deploy.proof import Drop, OutputAgreement
from dorsal.jobs.forms import Calibration
from dorsal.jobs.records import Machine
from dorsal.report.deployment.terminal import print_deployment
from dorsal.report.words.deployment import conclusions, reasons, rows
from dorsal.spec.task import Classify
from dorsal.stats import Estimate
from dorsal.study.deployment.records import DeploymentStudy, PixelGraph

RIGHT, WRONG = (OutputAgreement(error=error, flips=flips, inputs=8) for error, flips in ((2e-6, 0), (0.3, 2)))


def drop(value: float, low: float, high: float, needed: int | None = None) -> Drop:
    return Drop(value=value, low=low, high=high, most=1.0, images=200, needed=needed)


def tried(runtime: Any, precision: Any, ms: float, **found: Any) -> TriedForm:
    calls = tuple((ms + round / 100,) * 3 for round in range(20)) if ms else ()
    return TriedForm(form=Form(runtime, precision, "folded"), calls=calls, **found)


FORMS = (
    msgspec.structs.replace(tried("torch", "float32", 40, agreement=RIGHT), form=Form("torch", "float32", "none")),
    tried("onnxruntime", "float32", 19, agreement=RIGHT, memory=80.0, size=97.66),
    tried("openvino", "float32", 18, agreement=WRONG),
    tried("openvino", "bfloat16", 10, agreement=RIGHT, drop=drop(0.1, -0.2, 0.4), size=97.7),
    tried("openvino", "int8", 5, drop=drop(2.5, 1.5, 3.5), done={"int8": 0.6, "float32": 0.4, "bfloat16": 0.0},
          fallen=("stages.0.0.mixer.conv", "a", "b", "c", "d")),
    tried("onnxruntime", "int8", 7, drop=drop(0.5, -0.4, 1.4, 520)),
    tried("aoti", "float32", 0, error="RuntimeError: no"),
    tried("onnxruntime", "bfloat16", 0, impossible="ONNX Runtime computes nothing in bfloat16 on CPUs"),
)  # fmt: skip


def study(forms: tuple[TriedForm, ...] = FORMS, accept: bool = False, **changes: Any) -> DeploymentStudy:
    made = DeploymentStudy(
        key="k",
        command="dorsal deploy m",
        created="2026-12-01",
        model="m",
        network="resnet18",
        license="MIT",
        task=Classify(),
        split="val",
        images="200 validation images of photos",
        score=76.5,
        calibration=Calibration(data=Scenes(), split="train", places=(1, 2), held=(3,)),
        batch=1,
        threads=2,
        aim="latency",
        max_drop=1.0,
        accept_unshown=accept,
        shape=(1, 3, 224, 224),
        rounds=20,
        others=0.02,
        machine=Machine("cpu", 2, 16.0, "Linux", "cpu", 1, 2),
        instructions=("avx2",),
        versions={},
        forms=choose(forms, accept),
        pixels=None,
    )
    return msgspec.structs.replace(made, **changes)


def test_what_is_kept_and_how_it_is_known() -> None:
    first, eager, kept, int8 = conclusions(study())
    assert first.startswith("OpenVINO, bfloat16, norms folded is kept: 10.09 ms (9.99 to 10.20)")
    assert "for 1 image on 2 threads, it loses 0.10 points of top-1 accuracy (-0.20 to 0.40, at most 1)" in first
    assert "76.50 % on 200 validation images of photos." in first
    assert eager.startswith("PyTorch eager in float32 takes 3.97 (3.9")
    assert kept == "OpenVINO does not tell in which precision it computes."
    assert int8 == (
        "OpenVINO, int8, norms folded does 60 % of its MACs in int8; not so stages.0.0.mixer.conv, a, b and 2 more."
    )


def test_each_that_is_not_slower_has_its_reason() -> None:
    assert reasons(study()) == (
        "OpenVINO, int8, norms folded is wrong: it loses 2.50 points of top-1 accuracy (1.50 to 3.50, at most 1).",
        "ONNX Runtime, int8, norms folded is not shown to be right: it loses 0.50 points of top-1 accuracy (-0.40 to "
        "1.40, at most 1) on 200 images; about 520 would decide.",
        "OpenVINO, float32, norms folded is wrong: outputs differ by 3.0e-01 of their spread and 2 answers of 8 are "
        "others.",
        "AOTInductor, float32, norms folded failed: RuntimeError: no.",
        "ONNX Runtime in bfloat16 cannot exist here: ONNX Runtime computes nothing in bfloat16 on CPUs.",
    )


def test_the_table_has_the_fastest_first_and_a_dash_for_what_nobody_knows() -> None:
    found = rows(study())
    assert [row[0] for row in found][:2] == ["openvino int8 folded", "onnxruntime int8 folded"]
    assert [row[-1] for row in found] == ["wrong", "not shown", "kept", "wrong", "slower", "slower", "failed"]
    assert found[4] == ("onnxruntime float32 folded", "19.09", "19.18", "1.89", "80", "97.7", "slower")
    assert found[-1] == ("aoti float32 folded", "–", "–", "–", "–", "–", "failed")


def test_what_is_not_shown_and_kept_all_the_same_is_said() -> None:
    assert "It is not shown to be right: --accept-unshown was given." in conclusions(study(accept=True))


def test_none_is_kept_where_none_is_right() -> None:
    (only,) = conclusions(study((FORMS[2], FORMS[5])))
    assert only.startswith("No form is right, so none is kept.")


def test_a_busy_machine_is_not_trusted() -> None:
    assert "Other work took up to 30 % of the processor" in " ".join(conclusions(study(others=0.3)))


@pytest.mark.parametrize(
    ("high", "taken", "said"),
    [
        (0.98, True, "before, so they are normalized there."),
        (0.98, False, "before, but is not shown to be right, so they are normalized before."),
        (1.05, False, "before, so they are normalized before."),
    ],
)
def test_where_images_are_normalized(high: float, taken: bool, said: str) -> None:
    slower, median = Estimate(value=0.95, low=0.9, high=high), Estimate(value=9.5, low=None, high=None)
    told = conclusions(study(pixels=PixelGraph(slower=slower, median=median, taken=taken)))[2]
    assert told.endswith(said)


def test_times_of_several_calls_at_once_are_not_those_of_a_call() -> None:
    several = study(aim="throughput")
    assert {row[2] for row in rows(several)} == {"–"}
    assert "on 2 threads, with several calls at once, it loses" in conclusions(several)[0]


def test_what_the_kept_form_computes_in() -> None:
    kept = msgspec.structs.replace(FORMS[3], done={"float32": 0.0, "bfloat16": 0.97, "int8": 0.03})
    assert "Of its MACs it does 97 % in bfloat16 and 3 % in int8." in conclusions(study((kept, *FORMS[:3])))


def test_it_fits_a_terminal_of_80_columns() -> None:
    console = Console(width=80, record=True)
    print_deployment(study(), console)
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= 80
    assert any("kept" in line for line in lines)


@pytest.mark.parametrize(
    ("inputs", "left_out", "said"),
    [
        (0, 0.0, "nothing is found in the images that it is compared on."),
        (8, 0.034, "3.4 % of what is found hang on a rounding and cannot be compared."),
    ],
)
def test_why_a_detector_in_float32_is_not_shown_to_be_right(inputs: int, left_out: float, said: str) -> None:
    agreement = OutputAgreement(error=0, flips=0, inputs=inputs, left_out=left_out)
    (only,) = reasons(study((FORMS[3], tried("openvino", "float32", 5, agreement=agreement))))
    assert only == f"OpenVINO, float32, norms folded is not shown to be right: {said}"
