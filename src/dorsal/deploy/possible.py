"""Which forms can exist on this machine. Imports torch where it is asked about PyTorch in bfloat16."""

from __future__ import annotations

import os
import shutil
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Literal

from dorsal.deploy.forms import RUNTIMES, Form, Precision, Runtime
from dorsal.spec.task import AnyTask, Classify, Detect

_LEAST = {"onnxruntime": (1, 22), "openvino": (2025, 3)}
"""The oldest versions that are taken. Tried were 1.32 and 2026.4.1."""

_INSTALL = "pip install 'dorsal[deploy]'"


def why_not(form: Form, task: AnyTask = Classify()) -> str:
    """Why this form of a model of this task cannot be made on this machine; "" where it can."""
    return _why_not_of_task(form.runtime, task) or why_not_run(form) or _why_no_tools(form, task)


def why_not_run(form: Form) -> str:
    """Why this form, made wherever it was, cannot run on this machine; "" where it can."""
    return _why_no_runtime(form.runtime) or _why_no_precision(form.runtime, form.precision)


def _why_no_tools(form: Form, task: AnyTask) -> str:
    """A detector comes to OpenVINO through ONNX."""
    through_onnx = form.runtime == "onnxruntime" or (form.runtime == "openvino" and isinstance(task, Detect))
    needed = ["onnx", "onnxscript"] if through_onnx else []
    if form.runtime == "openvino" and form.precision in ("int8", "mixed"):
        needed.append("nncf")
    missing = next((package for package in needed if find_spec(package) is None), None)
    return f"{missing} is not installed: {_INSTALL}" if missing else ""


def _why_not_of_task(runtime: Runtime, task: AnyTask) -> str:
    if isinstance(task, Detect) and runtime in ("torch", "compile", "aoti"):
        return "a program of a detector is of one number of images of one size"
    if not isinstance(task, Classify) and runtime == "aoti":
        return "a package is of one size of images, and those of this task differ"
    return ""


@cache
def _why_no_runtime(runtime: Runtime) -> str:
    match runtime:
        case "torch":
            return ""
        case "compile" | "aoti":
            compiler = os.environ.get("CXX", "g++")
            return "" if shutil.which(compiler) else f"there is no C++ compiler ({compiler}) to compile with"
        case _:
            return _why_not_installed(runtime)


def _why_not_installed(runtime: Literal["onnxruntime", "openvino"]) -> str:
    try:
        import_module(runtime)
        found = version(runtime)
    except (ImportError, PackageNotFoundError):
        return f"{RUNTIMES[runtime]} is not installed: {_INSTALL}"
    least = _LEAST[runtime]
    if tuple(int(part) for part in found.split("-")[0].split(".")[:2]) < least:
        return f"{RUNTIMES[runtime]} {found} is older than {'.'.join(map(str, least))}"
    return ""


@cache
def _why_no_precision(runtime: Runtime, precision: Precision) -> str:
    match runtime, precision:
        case _, "float32":
            return ""
        case "onnxruntime", "bfloat16":
            return "ONNX Runtime computes nothing in bfloat16 on CPUs"
        case (("torch" | "compile" | "aoti"), "int8"):
            return "PyTorch has no convolutions in int8"
        case "openvino", "bfloat16":
            import openvino

            able = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
            return "" if "BF16" in able else "this processor has no bfloat16"
        case _, "bfloat16":
            import torch

            able = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
            return "" if able else "this processor has no bfloat16"
    return ""
