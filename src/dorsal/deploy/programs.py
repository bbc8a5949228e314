"""A model as a program of PyTorch that runs without its code: exported, compiled as a process starts, or compiled ahead
of time. Imports torch."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.export import Dim

from dorsal.deploy.export import Exportable
from dorsal.deploy.forms import Form
from dorsal.deploy.quiet import quietly
from dorsal.deploy.runtime import Aim, Outputs, Session

_FREEZING: dict[str, Any] = {"freezing": True}
"""Weights are constants to the compiler, so that it lays them out and folds norms once."""


class _Halved(nn.Module):
    """A model in bfloat16 that takes and gives float32."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model.bfloat16()

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images.bfloat16()).float()  # type: ignore[no-any-return]


def export_program(model: nn.Module, inputs: Sequence[Tensor], form: Form, path: Path) -> None:
    """Writes a model of one input in evaluation mode as an exported program, for any number of images of any size; for
    AOTInductor, of those of `inputs` alone. Raises OSError when a file cannot be written."""
    model = _Halved(model) if form.precision == "bfloat16" else model
    graph = Exportable(model).eval().to(memory_format=torch.channels_last)
    inputs = (inputs[0].contiguous(memory_format=torch.channels_last), *inputs[1:])
    free = None if form.runtime == "aoti" else ({0: Dim.DYNAMIC, 2: Dim.DYNAMIC, 3: Dim.DYNAMIC},)
    written = io.BytesIO()  # to a full disk PyTorch writes no file, but ends the process
    with torch.no_grad(), quietly():
        program = torch.export.export(graph, tuple(inputs), dynamic_shapes=(free,) if free else None)
        if form.runtime == "aoti":
            torch._inductor.aoti_compile_and_package(program, package_path=written, inductor_configs=_FREEZING)
        else:
            torch.export.save(program, written)
    path.write_bytes(written.getbuffer())


class ProgramSession(Session):
    """An exported program in PyTorch, on CPUs. It sets the number of threads of the whole process."""

    def __init__(self, path: Path, form: Form, threads: int, aim: Aim = "latency") -> None:
        """For throughput a call has one thread, and there are as many at once as threads.

        Raises whatever PyTorch does where the file is damaged.
        """
        self.at_once = threads if aim == "throughput" else 1
        self._threads = threads // self.at_once
        self.begin_thread()
        self._call: Any
        with quietly():
            if form.runtime == "aoti":
                self._call = torch._inductor.aoti_load_package(str(path))
            else:
                self._call = torch.export.load(path).module(check_guards=False)
        if form.runtime == "compile":
            logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # it misses GPUs aloud
            self._call = torch.compile(self._call, options=_FREEZING)

    def begin_thread(self) -> None:
        """See `Session`. OpenMP counts for each thread that calls it."""
        torch.set_num_threads(self._threads)

    def __call__(self, *inputs: npt.NDArray[Any]) -> Outputs:
        """See `Session`."""
        images, *rest = (torch.from_numpy(np.ascontiguousarray(each)) for each in inputs)
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the compiler, as it meets new sizes
            found = self._call(images.contiguous(memory_format=torch.channels_last), *rest)
        return tuple(each.numpy() for each in found)
