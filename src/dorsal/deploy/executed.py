"""In which precision a form really computes, by what its runtime says of its own graph. No torch."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from dorsal.deploy.forms import Precision
from dorsal.deploy.runtime import OnnxSession, OpenVinoSession

_OPENVINO = {"f32": "float32", "bf16": "bfloat16", "u8": "int8", "i8": "int8"}
_ONNX_TYPES = {"float": "float32", "bfloat16": "bfloat16", "uint8": "int8", "int8": "int8"}


class Executed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What part of the multiplications of convolutions and matrix products is done in which precision.

    - `macs`: their number by precision, of all inputs together. `layers`: the name of each, its precision and its MACs,
      most first.
    """

    macs: dict[str, int]
    layers: tuple[tuple[str, str, int], ...]

    def share(self, precision: Precision) -> float:
        """The part of the MACs that is in this precision, 0 to 1."""
        total = sum(self.macs.values())
        return self.macs.get(precision, 0) / total if total else 0.0

    def fallen(self, precision: Precision) -> tuple[str, ...]:
        """The layers that were to be in this precision and are not."""
        return tuple(name for name, own, _ in self.layers if own != precision)


class _Layer(NamedTuple):
    name: str
    precision: str
    macs: int


def executed_by_openvino(session: OpenVinoSession) -> Executed:
    """By the graph that OpenVINO made. The session must have been opened for images of one shape."""
    return _executed(_of_openvino(session))


def executed_by_onnx(session: OnnxSession, *inputs: Any) -> Executed:
    """By a profile of one call; the session must have been opened with one, which ends here."""
    session(*inputs)
    profile, graph = session.profiled()
    try:
        return _executed(_of_onnx(profile, graph))
    finally:
        profile.unlink()
        graph.unlink()


def _executed(layers: Iterable[_Layer]) -> Executed:
    found = sorted(layers, key=lambda layer: -layer.macs)
    macs = Counter[str]()
    for layer in found:
        macs[layer.precision] += layer.macs
    return Executed(macs=dict(macs), layers=tuple((name, precision, macs) for name, precision, macs in found))


def _of_openvino(session: OpenVinoSession) -> Iterator[_Layer]:
    for node in session.compiled.get_runtime_model().get_ops():
        said = node.get_rt_info()
        if said["layerType"].astype(str) in ("Convolution", "FullyConnected", "MatMul", "Deconvolution"):
            weight = tuple(node.inputs()[1].get_partial_shape().to_shape())
            outputs = prod(node.get_output_partial_shape(0).to_shape())
            precision = said["runtimePrecision"].astype(str)
            name = said["originalLayersNames"].astype(str).partition(",")[0]
            yield _Layer(
                name, _OPENVINO.get(precision, precision), outputs * _products(weight, node.get_friendly_name())
            )


def _products(weight: tuple[int, ...], name: str) -> int:
    """The products of one output: weights are [out, in, ...], with groups before them, or the second matrix."""
    return prod(weight[2:] if "GroupConvolution" in name else weight[1:])


def _of_onnx(profile: Path, graph: Path) -> Iterator[_Layer]:
    import onnx

    model = onnx.load(graph).graph
    weights = {each.name: tuple(each.dims) for each in model.initializer}
    nodes = {node.name: node for node in model.node}
    for event in json.loads(profile.read_bytes()):
        name = event["name"].removesuffix("_kernel_time")
        if event.get("cat") != "Node" or name == event["name"]:
            continue
        said = event["args"]
        kind = said["op_name"].removeprefix("QLinear").removeprefix("Fused").removeprefix("Q")
        if kind not in ("Conv", "Gemm", "MatMul"):
            continue
        ((precision, shape),) = said["input_type_shape"][0].items()
        ((_, outputs),) = said["output_type_shape"][0].items()
        # A quantized operator has the scale and the zero of its input between that and its weight.
        weight = weights.get(nodes[name].input[3 if said["op_name"].startswith("Q") else 1])
        products = prod(weight[1:]) if kind == "Conv" and weight else shape[-1]
        yield _Layer(name, _ONNX_TYPES.get(precision, precision), prod(outputs) * products)
