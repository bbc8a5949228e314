"""Deployed forms, opened and run. No torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from dorsal.deploy.forms import Precision

Outputs = tuple[npt.NDArray[Any], ...]
Aim = Literal["latency", "throughput"]


class Session(Protocol):
    """An opened form."""

    def __call__(self, *inputs: npt.NDArray[Any]) -> Outputs:
        """What the model says of images float32 [N, C, H, W], and of their sizes where it asks for them."""


class OnnxSession:
    """A graph in ONNX Runtime, on CPUs."""

    def __init__(self, path: Path, threads: int, profile: Path | None = None) -> None:
        """With `profile`, the graph that is really run and what each operator does are written to files whose names
        begin so; see `profiled`.

        Raises whatever ONNX Runtime does where the file is damaged or has an operator that it lacks.
        """
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 3
        if profile is not None:
            options.enable_profiling, options.profile_file_prefix = True, str(profile)
            self._graph = profile.with_name(f"{profile.name}.onnx")
            options.optimized_model_filepath = str(self._graph)
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._names = [each.name for each in self._session.get_inputs()]

    def __call__(self, *inputs: npt.NDArray[Any]) -> Outputs:
        """See `Session`."""
        return tuple(self._session.run(None, dict(zip(self._names, inputs, strict=True))))

    def profiled(self) -> tuple[Path, Path]:
        """Ends the profile, and returns its file and that of the graph."""
        return Path(self._session.end_profiling()), self._graph


class OpenVinoSession:
    """A graph in OpenVINO, on CPUs."""

    def __init__(
        self,
        path: Path,
        threads: int,
        precision: Precision,
        aim: Aim = "latency",
        shape: tuple[int, ...] | None = None,
    ) -> None:
        """`precision` is what the graph computes in where it is not quantized; int8 leaves the rest to the processor's
        best. `shape` [N, C, H, W] is that of all images, None if they differ.

        Raises whatever OpenVINO does where the file is damaged or has an operator that it lacks.
        """
        import openvino

        hint = {"float32": "f32", "bfloat16": "bf16"}.get(precision)
        settings: dict[str, Any] = {
            "PERFORMANCE_HINT": aim.upper(),
            "INFERENCE_NUM_THREADS": threads,
            "PERF_COUNT": False,
        } | ({"INFERENCE_PRECISION_HINT": hint} if hint else {})
        core = openvino.Core()
        model = core.read_model(path)
        if shape is not None:
            model.reshape({model.inputs[0]: list(shape)})
        self.compiled = core.compile_model(model, "CPU", settings)
        self._request = self.compiled.create_infer_request()
        self._count = len(self.compiled.outputs)

    def __call__(self, *inputs: npt.NDArray[Any]) -> Outputs:
        """See `Session`."""
        found = self._request.infer([np.ascontiguousarray(each) for each in inputs])
        return tuple(found[place].copy() for place in range(self._count))
