"""A model as a file that a runtime reads. Imports torch."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim

IMAGES, SIZES = "images", "sizes"
"""The inputs of a graph: float32 [N, C, H, W], and for detectors int64 [N, 2], the height and width that are no
padding."""
OUTPUTS = {1: ("said",), 3: ("boxes", "scores", "labels"), 4: ("boxes", "scores", "labels", "masks")}
"""The outputs of a graph by their number: what the model says, or the parts of `dorsal.tasks.detect.detector.Found`."""


class Exportable(nn.Module):
    """A model of any task whose inputs and outputs are tensors and nothing else."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The parts of what the model says."""
        said = self.model(*inputs)
        return (said,) if isinstance(said, Tensor) else tuple(part for part in said if part is not None)


def export_onnx(model: nn.Module, inputs: Sequence[Tensor], path: Path, *, any_size: bool) -> None:
    """Writes a model in evaluation mode as ONNX, for `inputs` like these: of any number of images, and with `any_size`
    of any height and width; without it, of their shape and number.

    Constants are folded, weights too, which quantizers rely on.
    """
    free = {0: Dim.DYNAMIC, 2: Dim.DYNAMIC, 3: Dim.DYNAMIC}
    graph = Exportable(model).eval()
    with torch.no_grad(), _quietly():
        count = len(graph(*inputs))
        program = torch.onnx.export(
            graph,
            tuple(inputs),
            dynamo=True,
            input_names=[IMAGES, SIZES][: len(inputs)],
            output_names=list(OUTPUTS[count]),
            dynamic_shapes=((free,),) if any_size else None,
            verbose=False,
        )
    assert program is not None
    program.save(path)


def export_openvino(model: nn.Module, inputs: Sequence[Tensor], path: Path, *, any_size: bool) -> None:
    """Writes a model as OpenVINO's XML and weights in float32, as `export_onnx` does for ONNX.

    The graph comes from PyTorch and not through ONNX, whose weights of grouped convolutions OpenVINO does not take in
    int8. A detector's comes through ONNX, since OpenVINO cannot trace the suppression of boxes.
    """
    import openvino

    if len(inputs) > 1:
        with tempfile.TemporaryDirectory() as folder:
            through = Path(folder, "model.onnx")
            export_onnx(model, inputs, through, any_size=any_size)
            made = openvino.Core().read_model(through)
            openvino.save_model(made, path, compress_to_fp16=False)
        return
    shape = openvino.PartialShape([-1, inputs[0].shape[1], -1, -1] if any_size else list(inputs[0].shape))
    with torch.no_grad(), _quietly():
        made = openvino.convert_model(Exportable(model).eval(), example_input=tuple(inputs), input=[shape])
    for place, port in enumerate(made.outputs):
        port.get_tensor().set_names({OUTPUTS[len(made.outputs)][place]})
    openvino.save_model(made, path, compress_to_fp16=False)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without what exporters say about themselves."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", "torch.export")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
