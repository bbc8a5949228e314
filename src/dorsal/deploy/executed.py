"""In which precision a form really computes, by what its runtime says of its own graph. No torch."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from dorsal.deploy.forms import Precision
from dorsal.deploy.quantize import block_of, module_of
from dorsal.deploy.runtime import OnnxSession, OpenVinoSession

_OPENVINO = {"f32": "float32", "bf16": "bfloat16", "u8": "int8", "i8": "int8"}
_ONNX_TYPES = {"float": "float32", "bfloat16": "bfloat16", "uint8": "int8", "int8": "int8"}


class Executed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What part of the multiplications of convolutions and matrix products is done in which precision.

    - `macs`: their number by precision, of all inputs together. `layers`: each, its precision and its MACs, most first.
      A layer is named by its module, or as the runtime has it where that does not tell.
    """

    macs: dict[str, int]
    layers: tuple[tuple[str, str, int], ...]

    def share(self, precision: Precision) -> float:
        """The part of the MACs that is in this precision, 0 to 1."""
        total = sum(self.macs.values())
        return self.macs.get(precision, 0) / total if total else 0.0

    def fallen(self, precision: Precision, kept: Collection[str] = ()) -> tuple[str, ...]:
        """The layers that were to be in this precision and are not. Those of blocks that are `kept` were not to be."""
        return tuple(name for name, own, _ in self.layers if own != precision and block_of(name) not in kept)


class _Layer(NamedTuple):
    name: str
    precision: str
    macs: int


def executed_by_openvino(session: OpenVinoSession) -> Executed:
    """By the graph that OpenVINO made. The session must have been opened for images of one shape.

    A layer whose size is not known before the graph has run, as of what is done to each box of a detector, counts with
    the most that it can have, and with nothing where there is no most.
    """
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
        kind = said["layerType"].astype(str)
        if kind in ("Convolution", "Deconvolution", "FullyConnected", "MatMul"):
            data, weight = (_sides(port.get_partial_shape()) for port in node.inputs()[:2])
            outputs = _sides(node.get_output_partial_shape(0))
            precision = said["runtimePrecision"].astype(str)
            names = said["originalLayersNames"].astype(str).split(",")
            yield _Layer(_named(names), _OPENVINO.get(precision, precision), _macs(kind, data, weight, outputs))


def _named(names: Sequence[str]) -> str:
    """The first module that names of operators or weights tell of, or the first name."""
    return next(filter(None, map(module_of, names)), names[0])


def _sides(shape: Any) -> tuple[int, ...]:
    """The most that each side can be, 0 where it has no end."""
    return tuple(max(side.get_max_length(), 0) for side in shape)


def _macs(kind: str, data: Sequence[int], weight: Sequence[int], outputs: Sequence[int]) -> int:
    """Weights are [out, in, …], of what undoes a convolution [in, out, …], with groups before them in OpenVINO."""
    if kind in ("Convolution", "Conv"):
        return prod(outputs) * prod(weight[len(weight) - len(outputs) + 1 :])
    if kind in ("Deconvolution", "ConvTranspose"):
        return prod(data) * prod(weight[len(weight) - len(data) + 1 :])
    return prod(outputs) * data[-1]


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
        if kind not in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
            continue
        ((precision, data),) = said["input_type_shape"][0].items()
        ((_, outputs),) = said["output_type_shape"][0].items()
        # A quantized operator has the scale and the zero of its input between that and its weight.
        names = nodes[name].input[3 if said["op_name"].startswith("Q") else 1 :]
        weight = weights.get(names[0], ())
        # A weight in another order has no name of its own, a bias has.
        layer = _named([name.removesuffix("_nchwc"), *names])
        yield _Layer(layer, _ONNX_TYPES.get(precision, precision), _macs(kind, data, weight, outputs))
