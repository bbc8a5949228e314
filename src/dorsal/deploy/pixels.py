"""A graph that takes pixels and normalizes them itself. No torch."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dorsal.deploy.forms import Runtime
from dorsal.deploy.room import save_openvino
from dorsal.deploy.runtime import Outputs, Session
from dorsal.spec.preprocessing import Normalization


def take_pixels(runtime: Runtime, source: Path, target: Path, normalization: Normalization) -> None:
    """Writes the graph `source` of float32 [N, C, H, W], normalized, as one of uint8 [N, H, W, C], red before blue.

    Raises OSError when a file cannot be written.
    """
    write = _openvino if runtime == "openvino" else _onnx
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".") as folder:
        written = Path(folder, target.name)
        write(source, written, normalization)
        for path in sorted(Path(folder).iterdir()):
            path.replace(target.parent / path.name)


def _openvino(source: Path, target: Path, normalization: Normalization) -> None:
    import openvino
    from openvino import Layout, Type
    from openvino.preprocess import PrePostProcessor

    steps = PrePostProcessor(openvino.Core().read_model(source))
    taken = steps.input(0)
    taken.tensor().set_element_type(Type.u8).set_layout(Layout("NHWC"))
    taken.model().set_layout(Layout("NCHW"))
    doing = taken.preprocess().convert_element_type(Type.f32)
    doing.mean([255 * each for each in normalization.mean]).scale([255 * each for each in normalization.std])
    if normalization.color_order == "bgr":
        doing.reverse_channels()
    save_openvino(steps.build(), target)


def _onnx(source: Path, target: Path, normalization: Normalization) -> None:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(source)
    graph = model.graph
    first = graph.input[0]
    name, channels = first.name, len(normalization.mean)
    scale, shift = _affine(normalization)
    order = np.arange(channels)[:: -1 if normalization.color_order == "bgr" else 1].copy()
    graph.initializer.extend(
        [
            numpy_helper.from_array(scale, "pixels_scale"),
            numpy_helper.from_array(shift, "pixels_shift"),
            numpy_helper.from_array(order, "pixels_order"),
        ]
    )
    nodes = [
        helper.make_node("Cast", ["pixels"], ["pixels_float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["pixels_float", "pixels_scale"], ["pixels_scaled"]),
        helper.make_node("Add", ["pixels_scaled", "pixels_shift"], ["pixels_shifted"]),
        helper.make_node("Gather", ["pixels_shifted", "pixels_order"], ["pixels_ordered"], axis=3),
        helper.make_node("Transpose", ["pixels_ordered"], [name], perm=[0, 3, 1, 2]),
    ]
    batch, _, height, width = first.type.tensor_type.shape.dim
    sides = [each.dim_param or each.dim_value for each in (batch, height, width)]
    pixels = helper.make_tensor_value_info("pixels", TensorProto.UINT8, [*sides, channels])
    rest = [*graph.input[1:]]
    del graph.input[:]
    graph.input.extend([pixels, *rest])
    old = [*graph.node]
    del graph.node[:]
    graph.node.extend([*nodes, *old])
    onnx.save(model, target)


def _affine(normalization: Normalization) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """(x / 255 - mean) / std as a product and a sum."""
    mean, std = np.array(normalization.mean), np.array(normalization.std)
    return (1 / (255 * std)).astype(np.float32), (-mean / std).astype(np.float32)


class Normalized(Session):
    """A form that takes pixels although its graph does not: they are normalized before each call."""

    def __init__(self, session: Session, normalization: Normalization) -> None:
        self._session = session
        self.at_once, self.begin_thread = session.at_once, session.begin_thread  # type: ignore[method-assign]
        self._scale, self._shift = _affine(normalization)
        self._step = -1 if normalization.color_order == "bgr" else 1

    def __call__(self, *inputs: npt.NDArray[Any]) -> Outputs:
        """What the model says of pixels uint8 [N, H, W, C]."""
        values = inputs[0] * self._scale
        values += self._shift
        return self._session(np.ascontiguousarray(values[..., :: self._step].transpose(0, 3, 1, 2)))
