"""The forms in which a model can be deployed, as data. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec

Runtime = Literal["torch", "compile", "aoti", "onnxruntime", "openvino"]
Precision = Literal["float32", "bfloat16", "int8", "mixed"]
"""In "mixed" blocks that do not bear int8 stay in floating point; it is made where int8 alone loses too much."""
Rewrite = Literal["none", "folded", "chunked", "apart"]
"""Exact changes of form, each the one before it and more: as trained; batch norms folded and deformable convolutions
sampled; split attention on maps of four dimensions; a convolution for each split. See `dorsal.deploy.rewrite`."""

RUNTIMES: dict[Runtime, str] = {
    "torch": "PyTorch eager",
    "compile": "torch.compile",
    "aoti": "AOTInductor",
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
}
"""What each is called in sentences. The first three are PyTorch: as it is, compiled when a process starts (weights
frozen), and compiled ahead of time into a package."""
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16", "int8")
FILES: dict[Runtime, tuple[str, ...]] = {
    "torch": ("model.pt2",),
    "compile": ("model.pt2",),
    "aoti": ("model.pt2",),
    "onnxruntime": ("model.onnx",),
    "openvino": ("model.xml", "model.bin"),
}
"""The files of a form. The first is opened."""
_WORTH: dict[Runtime, tuple[Rewrite, ...]] = {
    "torch": ("none", "folded", "chunked", "apart"),
    "compile": ("folded", "chunked"),
    "aoti": ("folded", "chunked"),
    "onnxruntime": ("folded", "chunked", "apart"),
    "openvino": ("folded", "chunked", "apart"),
}
"""The rewrites that can make a difference. All but PyTorch eager fold norms themselves, and compiling joins what a
convolution for each split takes apart."""


class Form(msgspec.Struct, frozen=True, forbid_unknown_fields=True, order=True):
    """A way to run a model: by what, in which precision, and rewritten how."""

    runtime: Runtime
    precision: Precision
    rewrite: Rewrite

    @property
    def name(self) -> str:
        """What it is called in tables and file names: "openvino-int8-chunked"."""
        return f"{self.runtime}-{self.precision}-{self.rewrite}"


def forms_of(rewrites: Sequence[Rewrite]) -> Iterator[Form]:
    """Every form of a model that has these rewrites, whether it can exist here or not."""
    for runtime in RUNTIMES:
        for precision in PRECISIONS:
            for rewrite in [each for each in _WORTH[runtime] if each in rewrites] or rewrites[-1:]:
                yield Form(runtime, precision, rewrite)
