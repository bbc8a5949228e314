"""A model as a file that a runtime reads. Imports torch."""

from __future__ import annotations

import ast
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim

from dorsal.deploy.quiet import quietly
from dorsal.deploy.room import save_openvino
from dorsal.tasks.detect import nms

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
    """Writes a model of any task in evaluation mode as ONNX. With `any_size` it takes any number of images, of any
    height and width; without it, those of the shape and number of `inputs` alone. Operators are named after their
    modules.

    Constants are folded, weights too, which quantizers rely on. A graph of any size takes longer to write, that of a
    detector up to a minute.
    """
    graph = Exportable(model).eval()
    free = ({0: Dim.DYNAMIC, 2: Dim.DYNAMIC, 3: Dim.DYNAMIC}, {0: Dim.DYNAMIC})[: len(inputs)]
    with torch.no_grad(), quietly():
        count = len(graph(*inputs))
        program = torch.onnx.export(
            graph,
            _general(inputs) if any_size else tuple(inputs),
            dynamo=True,
            input_names=[IMAGES, SIZES][: len(inputs)],
            output_names=list(OUTPUTS[count]),
            dynamic_shapes=(free,) if any_size else None,
            custom_translation_table={nms.OPERATOR: _suppression},
            verbose=False,
        )
    assert program is not None
    for node in program.model.graph:
        scopes = ast.literal_eval(node.metadata_props.get("pkg.torch.onnx.name_scopes", "[]"))
        if len(scopes) > 1:  # ["", "model", "model.stem", its own]: quantizers tell blocks by the module
            node.name = f"{scopes[-2]}/{node.name}"
    program.save(path)


def export_openvino(model: nn.Module, inputs: Sequence[Tensor], path: Path, *, any_size: bool) -> None:
    """Writes a model as OpenVINO's XML and weights in float32, as `export_onnx` does for ONNX.

    The graph comes from PyTorch and not through ONNX, whose weights of grouped convolutions OpenVINO does not take in
    int8. A detector's comes through ONNX, since OpenVINO cannot trace the suppression of boxes.

    Raises OSError when a file cannot be written.
    """
    import openvino

    if len(inputs) > 1:
        with tempfile.TemporaryDirectory() as folder:
            through = Path(folder, "model.onnx")
            export_onnx(model, inputs, through, any_size=any_size)
            made = openvino.Core().read_model(through)
            save_openvino(made, path)
        return
    shape = openvino.PartialShape([-1, inputs[0].shape[1], -1, -1] if any_size else list(inputs[0].shape))
    with torch.no_grad(), quietly():
        made = openvino.convert_model(Exportable(model).eval(), example_input=tuple(inputs), input=[shape])
    for place, port in enumerate(made.outputs):
        port.get_tensor().set_names({OUTPUTS[len(made.outputs)][place]})
    save_openvino(made, path)


def _general(inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """An example for a graph of any size: PyTorch takes a side or a number of 1 for a constant, and here no map of it
    has one, up to a stride of 64."""
    size = (320, 384)
    images = inputs[0].new_zeros(2, inputs[0].shape[1], *size)
    return (images, torch.tensor([size, size]))[: len(inputs)]


def _suppression(boxes: Any, scores: Any, threshold: float) -> Any:
    """`survivors_in_each` in operators of ONNX: what is kept, as places, and then a mask of these."""
    import onnx_ir
    from onnxscript import opset18 as op

    all_of_them, finite = op.Constant(value_ints=[2**31 - 1]), op.Constant(value_floats=[torch.finfo().min])
    kept = op.NonMaxSuppression(
        boxes, op.Unsqueeze(scores, [1]), all_of_them, op.Constant(value_floats=[threshold]), finite
    )
    places = op.Gather(kept, op.Constant(value_ints=[0, 2]), axis=1)
    no, yes = (op.Constant(value=onnx_ir.tensor([value])) for value in (False, True))
    none, some = op.Expand(no, op.Shape(scores)), op.Expand(yes, op.Shape(places, end=1))
    return op.ScatterND(none, places, some)
