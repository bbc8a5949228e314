"""A graph in int8: ranges of activations from calibration images, weights by output channel. No torch."""

from __future__ import annotations

import ast
import re
import tempfile
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from dorsal.deploy.quiet import quietly
from dorsal.deploy.room import save_openvino

Images = npt.NDArray[np.float32]
Inputs = Images | tuple[npt.NDArray[Any], ...]
Ranges = Literal["default", "minmax", "histogram"]
"""How the range of an activation comes from calibration images: as the runtime has it by default, from the least to the
largest value, or from a histogram of values: OpenVINO's has the least error, ONNX Runtime's leaves out one value in
100,000."""
Bias = Literal["none", "fast"]
"""Whether biases are moved so that the mean output of each layer is as before, by what NNCF calls fast."""
RANGES: dict[str, tuple[Ranges, ...]] = {
    "openvino": ("default", "minmax", "histogram"),
    "onnxruntime": ("minmax", "histogram"),
}
"""By runtime what can be tried. None is best for every network, so they are scored on images held out."""
BIASES: dict[str, tuple[Bias, ...]] = {"openvino": ("none", "fast"), "onnxruntime": ("none",)}
"""The same of biases. Moving them makes some networks worse, so it is scored too."""


class Quantization(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a form comes to be in int8.

    - `ranges`, `bias`: see there. `kept`: the blocks that stay in floating point, as `blocks_of` has them.
    - `images`: how many images ranges come from.
    """

    ranges: Ranges
    bias: Bias = "none"
    kept: tuple[str, ...] = ()
    images: int = 0


FEWEST = 16
"""Fewer calibration images leave ranges to chance."""
_SCOPES = "pkg.torch.onnx.name_scopes"
_MODULE = re.compile(r"(?:__module\.)?model(?:\.([\w.]+?))?(?:/|\.(?:weight|bias))")
_BLOCK = re.compile(r"(?:trunk\.)?(?:\w+\.)?stages\.\d+\.(?:(?:blocks|roots)\.)?\d+|(?:trunk\.)?\w+")
_SIGNED = {"Swish", "Mish"}
"""Activations that are below 0, but little."""


def check_calibration(count: int) -> None:
    """Raises ValueError for too few calibration images."""
    if count < FEWEST:
        few = f"{count} images for calibration are too few to know ranges by"
        raise ValueError(f"calibration={count}: {few}; nearest valid: {FEWEST}")


def module_of(name: str) -> str | None:
    """The module that an operator or a weight of a graph comes from, by its name: "stages.0.1.expand.conv", "" for the
    model itself; None where the name does not tell."""
    found = _MODULE.match(name)
    return found and (found[1] or "")


def block_of(module: str) -> str:
    """The block of the network that a module is part of: "stem", "stages.0.1", "fc", and of other tasks
    "trunk.stages.0.1", "neck", "head", …; "" for the model itself."""
    found = _BLOCK.match(module)
    return found[0] if found else ""


def blocks_of(graph: Path) -> dict[str, tuple[str, ...]]:
    """The operators of each block of the network by their names in the graph, in its order.

    Those of "" are the model's own, which belong to no block: a mean over places, and all that a detector does with
    boxes. An operator that no module asked for, but who wrote the graph, belongs to the one that reads it.
    """
    found: dict[str, list[str]] = {}
    for name, module in _onnx_operators(graph) if graph.suffix == ".onnx" else _openvino_operators(graph):
        if module is not None:
            found.setdefault(block_of(module), []).append(name)
    return {block: tuple(names) for block, names in found.items()}


def _onnx_operators(graph: Path) -> list[tuple[str, str | None]]:
    """The name of each operator, and the module that it comes from."""
    import onnx

    found: list[tuple[str, str | None]] = []
    reader: dict[str, str | None] = {}
    for node in reversed(onnx.load(graph).graph.node):
        module = next((reader[each] for each in node.output if each in reader), None)
        for said in node.metadata_props:
            if said.key == _SCOPES:  # ['', 'model', 'model.stem', 'model.stem.convs', …, its own name]
                scope = module_of(f"{ast.literal_eval(said.value)[-2]}/")
                module = module if scope is None else scope
        reader |= dict.fromkeys(node.input, module)
        found.append((node.name, module))
    return found[::-1]


def _openvino_operators(graph: Path) -> list[tuple[str, str | None]]:
    import openvino

    found: dict[str, str | None] = {}
    for operator in reversed(openvino.Core().read_model(graph).get_ordered_ops()):
        if operator.get_type_name() != "Constant":
            name = operator.get_friendly_name()
            module = module_of(name)
            if module is None:
                readers = [each.get_node() for port in operator.outputs() for each in port.get_target_inputs()]
                module = next((found[each.get_friendly_name()] for each in readers), None)
            found[name] = module
    return list(found.items())[::-1]


def quantize(runtime: str, source: Path, target: Path, images: Sequence[Inputs], recipe: Quantization) -> None:
    """Writes the graph `source` in int8 by a recipe. See `quantize_openvino` and `quantize_onnx`.

    Raises ValueError for a block that the graph does not have, and OSError when a file cannot be written.
    """
    blocks = blocks_of(source) if recipe.kept else {}
    for block in recipe.kept:
        if block not in blocks:
            near = get_close_matches(block, blocks, n=3, cutoff=0) or ["none"]
            raise ValueError(f"the graph has no block {block!r} to keep in floating point; near are {', '.join(near)}")
    kept = [name for block in recipe.kept for name in blocks[block]]
    if runtime == "openvino":
        quantize_openvino(source, target, images, recipe.ranges, kept, recipe.bias)
    else:
        quantize_onnx(source, target, images, recipe.ranges, kept)


def quantize_openvino(
    source: Path,
    target: Path,
    images: Sequence[Inputs],
    ranges: Ranges,
    kept: Sequence[str] = (),
    bias: Bias = "none",
) -> None:
    """Writes an OpenVINO graph in int8. `images` [N, C, H, W] are prepared as the model takes them, of detectors each
    with sizes; operators named in `kept` stay as they are, and those of no block.

    Constants are folded first: where a weight comes out of a computation, OpenVINO leaves its convolution in floating
    point and says nothing. Ranges have a zero point of their own where an activation is below 0 a little, which costs
    time elsewhere. The same images in the same order make the same file.

    Raises OSError when a file cannot be written.
    """
    import nncf
    import openvino
    from nncf.quantization.range_estimator import RangeEstimatorParameters, RangeEstimatorParametersSet
    from openvino.passes import ConstantFolding, Manager

    estimators = {
        "default": RangeEstimatorParameters(),
        "minmax": RangeEstimatorParametersSet.MINMAX,
        "histogram": RangeEstimatorParametersSet.HISTOGRAM,
    }
    model = openvino.Core().read_model(source)
    folding = Manager()
    folding.register_pass(ConstantFolding())
    folding.run_passes(model)
    operators = model.get_ops()
    signed = any(operator.get_type_name() in _SIGNED for operator in operators)
    ignored = {*kept, *blocks_of(source).get("", ())}
    with quietly():
        made = nncf.quantize(
            model,
            nncf.Dataset(list(images)),
            subset_size=len(images),
            preset=nncf.QuantizationPreset.MIXED if signed else nncf.QuantizationPreset.PERFORMANCE,
            ignored_scope=nncf.IgnoredScope(names=sorted(ignored), validate=False) if ignored else None,
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                activations_range_estimator_params=estimators[ranges],
                disable_bias_correction=bias == "none",
            ),
        )
    _number(made, {operator.get_friendly_name() for operator in operators})
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".") as folder:
        written = Path(folder, target.name)
        save_openvino(made, written)
        for suffix in (".bin", target.suffix):
            written.with_suffix(suffix).replace(target.with_suffix(suffix))


def _number(model: Any, known: set[str]) -> None:
    """Names the operators that were added by their place, and not by how many this process made before."""
    for place, operator in enumerate(model.get_ordered_ops()):
        name = operator.get_friendly_name()
        if name not in known and re.fullmatch(r"[A-Z][A-Za-z]*_\d+", name):
            operator.set_friendly_name(f"quantized_{place}")


def quantize_onnx(
    source: Path, target: Path, images: Sequence[Inputs], ranges: Ranges, kept: Sequence[str] = ()
) -> None:
    """The same of a graph for ONNX Runtime: quantizers before and after each operator, activations in uint8 and weights
    in int8, which is the pair that its kernels are written for.

    ONNX Runtime's ranges by entropy are not among those to try: with its own number of bins they are the least and the
    largest value.

    Raises ValueError for a histogram of a graph that has infinite values, as detectors' may.
    """
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    names = [each.name for each in onnx.load(source, load_external_data=False).graph.input]
    # One image at a time, or all maps of all images are kept.
    histogram = {"CalibPercentile": 99.999, "CalibTensorRangeSymmetric": False, "CalibStridedMinMax": 1}
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".") as folder, quietly():
        prepared, written = Path(folder, "prepared.onnx"), Path(folder, target.name)
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            prepared,
            written,
            _Reader(images, names),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=sorted({*kept, *blocks_of(source).get("", ())}),
            calibrate_method=CalibrationMethod.MinMax if ranges == "minmax" else CalibrationMethod.Percentile,
            extra_options={} if ranges == "minmax" else histogram,
        )
        written.replace(target)


class _Reader:
    """Calibration images one after another, as ONNX Runtime asks for them."""

    def __init__(self, images: Sequence[Inputs], names: Sequence[str]) -> None:
        self._images, self._names = images, names
        self.set_range(0, len(images))

    def __len__(self) -> int:
        return len(self._images)

    def set_range(self, start_index: int, end_index: int) -> None:
        """Goes on with these images."""
        self._rest = iter(self._images[start_index:end_index])

    def get_next(self) -> dict[str, Any] | None:
        """The next inputs by name."""
        found = next(self._rest, None)
        if found is None:
            return None
        return dict(zip(self._names, found if isinstance(found, tuple) else (found,), strict=True))
