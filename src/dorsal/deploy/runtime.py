"""Deployed forms, opened and run. No torch."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from dorsal.deploy.forms import Precision

Outputs = tuple[npt.NDArray[Any], ...]
Aim = Literal["latency", "throughput"]
_SHAPES = 4
"""For so many shapes of images a graph is kept compiled, where each has to be."""


class Session(ABC):
    """An opened form. `at_once`: how many calls it is to be given at once, from as many threads."""

    at_once = 1

    @abstractmethod
    def __call__(self, *inputs: npt.NDArray[Any]) -> Outputs:
        """What the model says of images float32 [N, C, H, W], and of their sizes where it asks for them."""

    def timed(self, inputs: Sequence[npt.NDArray[Any]], calls: int) -> list[float]:
        """Milliseconds of each of these calls. Where several run at once, there are so many times as many, and all time
        is shared out among them."""
        if self.at_once > 1:
            return self._timed_at_once(inputs, calls * self.at_once)
        took = []
        for _ in range(calls):
            began = time.perf_counter()
            self(*inputs)
            took.append(1e3 * (time.perf_counter() - began))
        return took

    def _timed_at_once(self, inputs: Sequence[npt.NDArray[Any]], calls: int) -> list[float]:
        with ThreadPoolExecutor(self.at_once, initializer=self.begin_thread) as pool:

            def call(times: int) -> None:
                list(pool.map(lambda _: self(*inputs), range(times)))

            call(self.at_once)  # threads start
            began = time.perf_counter()
            call(calls)
            return [1e3 * (time.perf_counter() - began) / calls]

    def begin_thread(self) -> None:  # noqa: B027 - most runtimes need nothing
        """Called first in each thread that calls this session beside others."""


class OnnxSession(Session):
    """A graph in ONNX Runtime, on CPUs."""

    def __init__(self, path: Path, threads: int, aim: Aim = "latency", *, profile: Path | None = None) -> None:
        """For throughput a call has one thread, and there are as many at once as threads. With `profile`, the graph
        that is really run and what each operator does are written to files whose names begin so; see `profiled`.

        Raises whatever ONNX Runtime does where the file is damaged or has an operator that it lacks.
        """
        import onnxruntime

        options = onnxruntime.SessionOptions()
        self.at_once = threads if aim == "throughput" else 1
        options.intra_op_num_threads = threads // self.at_once
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


class OpenVinoSession(Session):
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
        best. `shape` [N, C, H, W] is that of all images, None if they differ. A graph in int8 is then compiled for each
        shape: compiled for any, OpenVINO 2026.4.1 writes zeros where a range below 0 belongs to no operator before it.

        Raises whatever OpenVINO does where the file is damaged or has an operator that it lacks.
        """
        import openvino

        hint = {"float32": "f32", "bfloat16": "bf16"}.get(precision)
        settings: dict[str, Any] = {
            "PERFORMANCE_HINT": aim.upper(),
            "INFERENCE_NUM_THREADS": threads,
            "PERF_COUNT": False,
        } | ({"INFERENCE_PRECISION_HINT": hint} if hint else {})
        self._core, self._settings = openvino.Core(), settings
        self._model = self._core.read_model(path)
        self._by_shape = precision in ("int8", "mixed") and shape is None
        self._own = threading.local()
        if not self._by_shape:
            self.compiled = self._compile(shape)
            if aim == "throughput":
                self.at_once = self.compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
            self.begin_thread()
        self._requests: OrderedDict[tuple[int, ...], Any] = OrderedDict()

    def _compile(self, shape: tuple[int, ...] | None) -> Any:
        if shape is not None:
            self._model.reshape({self._model.inputs[0]: list(shape)})
        return self._core.compile_model(self._model, "CPU", self._settings)

    def __call__(self, *inputs: npt.NDArray[Any]) -> Outputs:
        """See `Session`."""
        request = self._request_for(inputs[0].shape) if self._by_shape else self._own.request
        found = request.infer([np.ascontiguousarray(each) for each in inputs])
        return tuple(found[place].copy() for place in range(len(self._model.outputs)))

    def _request_for(self, shape: tuple[int, ...]) -> Any:
        """A request for images of one shape; the last few are kept."""
        if shape not in self._requests:
            self._requests[shape] = self._compile(shape).create_infer_request()
            if len(self._requests) > _SHAPES:
                self._requests.popitem(last=False)
        self._requests.move_to_end(shape)
        return self._requests[shape]

    def begin_thread(self) -> None:
        """See `Session`. A request is of one thread."""
        self._own.request = self.compiled.create_infer_request()
