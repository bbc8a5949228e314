"""Which forms a model has, and which of them this machine can run."""

from __future__ import annotations

import pytest

from dorsal.deploy import possible
from dorsal.deploy.forms import PRECISIONS, RUNTIMES, Form, forms_of
from dorsal.deploy.possible import why_not, why_not_run
from dorsal.spec.task import Classify, Detect, Semantic


@pytest.mark.parametrize("rewrites", [("none",), ("none", "folded"), ("none", "folded", "chunked", "apart")])
def test_every_runtime_and_precision_has_a_form(rewrites) -> None:
    forms = list(forms_of(rewrites))
    assert len(set(forms)) == len(forms)
    assert {(form.runtime, form.precision) for form in forms} == {(a, b) for a in RUNTIMES for b in PRECISIONS}
    assert {form.rewrite for form in forms} == set(rewrites)
    assert Form("torch", "float32", "none") in forms


def test_names() -> None:
    assert Form("openvino", "int8", "chunked").name == "openvino-int8-chunked"


def test_reasons() -> None:
    assert why_not(Form("torch", "float32", "none")) == ""
    assert why_not(Form("torch", "int8", "none")) == "PyTorch has no convolutions in int8"
    assert "of one number of images" in why_not(Form("torch", "float32", "none"), Detect())
    assert "of one size of images" in why_not(Form("aoti", "float32", "folded"), Semantic())
    assert "size" not in why_not(Form("aoti", "float32", "folded"), Classify())


def test_a_runtime_that_is_absent_or_too_old_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    form = Form("openvino", "float32", "folded")
    monkeypatch.setattr(possible, "import_module", lambda _: None)
    for found, said in (("2024.6.0", "OpenVINO 2024.6.0 is older than 2025.3"), ("2025.3.0-rc1", ""), ("2026.4.1", "")):
        possible._why_no_runtime.cache_clear()
        monkeypatch.setattr(possible, "version", lambda _, found=found: found)
        assert why_not(form) == said

    def absent(_: str) -> None:
        raise ImportError

    monkeypatch.setattr(possible, "import_module", absent)
    possible._why_no_runtime.cache_clear()
    assert why_not(form) == "OpenVINO is not installed: pip install 'dorsal[deploy]'"
    possible._why_no_runtime.cache_clear()


def test_a_machine_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    possible._why_no_runtime.cache_clear()
    for runtime in ("compile", "aoti"):
        said = why_not(Form(runtime, "float32", "folded"))
        assert said == "there is no C++ compiler (no-such-compiler) to compile with"
    possible._why_no_runtime.cache_clear()


NEEDED = {
    ("onnxruntime", "float32", "classify"): {"onnx", "onnxscript"},
    ("onnxruntime", "int8", "classify"): {"onnx", "onnxscript"},
    ("openvino", "float32", "classify"): set[str](),
    ("openvino", "int8", "classify"): {"nncf"},
    ("openvino", "float32", "detect"): {"onnx", "onnxscript"},
    ("openvino", "int8", "detect"): {"onnx", "onnxscript", "nncf"},
}


@pytest.mark.parametrize("package", ["nncf", "onnx", "onnxscript"])
def test_what_making_needs_and_is_absent_says_so_and_running_does_not(
    package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(possible, "_why_no_runtime", lambda _: "")
    monkeypatch.setattr(possible, "find_spec", lambda name: None if name == package else name)
    said = f"{package} is not installed: pip install 'dorsal[deploy]'"
    for (runtime, precision, task), needed in NEEDED.items():
        form = Form(runtime, precision, "folded")  # type: ignore[arg-type]
        made = why_not(form, Detect() if task == "detect" else Classify())
        assert made == (said if package in needed else "")
        assert why_not_run(form) == ""
