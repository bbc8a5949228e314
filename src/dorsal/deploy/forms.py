"""The forms in which a model can be deployed, as data, and which of them can exist on this machine. No torch."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

import msgspec

Runtime = Literal["torch", "onnxruntime", "openvino"]
Precision = Literal["float32", "bfloat16", "int8"]
Rewrite = Literal["none", "folded", "chunked", "apart"]
"""Exact changes of form, each the one before it and more: as trained; batch norms folded; split attention on maps of
four dimensions; a convolution for each split. See `dorsal.deploy.rewrite`."""

RUNTIMES: dict[Runtime, str] = {"torch": "PyTorch eager", "onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}
"""What each is called in sentences."""
_LEAST = {"onnxruntime": (1, 22), "openvino": (2025, 3)}
"""The oldest versions that are taken. Tried were 1.32 and 2026.4.1."""


class Form(msgspec.Struct, frozen=True, forbid_unknown_fields=True, order=True):
    """A way to run a model: by what, in which precision, and rewritten how."""

    runtime: Runtime
    precision: Precision
    rewrite: Rewrite

    @property
    def name(self) -> str:
        """What it is called in tables and file names: "openvino-int8-chunked"."""
        return f"{self.runtime}-{self.precision}-{self.rewrite}"


def why_not(form: Form) -> str:
    """Why this form cannot exist on this machine; "" where it can."""
    return _why_no_runtime(form.runtime) or _why_no_precision(form.runtime, form.precision)


@cache
def _why_no_runtime(runtime: Runtime) -> str:
    if runtime == "torch":
        return ""
    try:
        import_module(runtime)
        found = version(runtime)
    except (ImportError, PackageNotFoundError):
        return f"{RUNTIMES[runtime]} is not installed: pip install 'dorsal[deploy]'"
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
        case "torch", "int8":
            return "PyTorch eager has no convolutions in int8"
        case "openvino", "bfloat16":
            import openvino

            able = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
            return "" if "BF16" in able else "this processor has no bfloat16"
        case "torch", "bfloat16":
            import torch

            able = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
            return "" if able else "this processor has no bfloat16"
    return ""
