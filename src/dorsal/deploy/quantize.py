"""A graph in int8: ranges of activations from calibration images, weights by output channel. No torch."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Images = npt.NDArray[np.float32]
Ranges = Literal["default", "minmax", "histogram"]
"""How the range of an activation comes from calibration images: as the runtime has it by default, from the least to the
largest value, or so that the error of a histogram of values is least."""
RANGES: dict[str, tuple[Ranges, ...]] = {
    "openvino": ("default", "minmax", "histogram"),
    "onnxruntime": ("minmax", "histogram"),
}
"""By runtime what can be tried. None is best for every network, so they are scored on images held out."""
_FEWEST = 16
"""Fewer calibration images leave ranges to chance."""


def check_calibration(count: int) -> None:
    """Raises ValueError for too few calibration images."""
    if count < _FEWEST:
        raise ValueError(f"{count} images for calibration are too few to know ranges by; at least {_FEWEST}")


def quantize_openvino(
    source: Path, target: Path, images: Sequence[Images], ranges: Ranges, kept: Sequence[str] = ()
) -> None:
    """Writes an OpenVINO graph in int8. `images` [N, C, H, W] are prepared as the model takes them; operators named in
    `kept` stay as they are.

    Constants are folded first: where a weight comes out of a computation, OpenVINO leaves its convolution in floating
    point and says nothing.
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
    with _quietly("nncf"):
        made = nncf.quantize(
            model,
            nncf.Dataset(list(images)),
            subset_size=len(images),
            fast_bias_correction=True,
            ignored_scope=nncf.IgnoredScope(names=list(kept), validate=False) if kept else None,
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                activations_range_estimator_params=estimators[ranges],
            ),
        )
    openvino.save_model(made, target, compress_to_fp16=False)


def quantize_onnx(
    source: Path, target: Path, images: Sequence[Images], ranges: Ranges, kept: Sequence[str] = ()
) -> None:
    """The same of a graph for ONNX Runtime: quantizers before and after each operator, activations in uint8 and weights
    in int8, which is the pair that its kernels are written for."""
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    methods = {"minmax": CalibrationMethod.MinMax, "histogram": CalibrationMethod.Entropy}
    with tempfile.TemporaryDirectory() as folder, _quietly("onnxruntime", "root"):
        prepared = Path(folder, "prepared.onnx")
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            prepared,
            target,
            _Reader(images),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=list(kept),
            calibrate_method=methods[ranges],
        )


class _Reader:
    """Calibration images one after another, as ONNX Runtime asks for them."""

    def __init__(self, images: Sequence[Images]) -> None:
        self._rest = iter(images)

    def get_next(self) -> dict[str, Any] | None:
        """The next inputs by name."""
        found = next(self._rest, None)
        return None if found is None else {"images": found}


@contextlib.contextmanager
def _quietly(*names: str) -> Iterator[None]:
    """Without progress bars, and what these loggers say below an error."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
