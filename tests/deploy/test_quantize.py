"""Graphs in int8: close to the model, and shown to run in int8."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import dorsal
from dorsal.deploy.executed import Executed, executed_by_onnx, executed_by_openvino
from dorsal.deploy.export import export_onnx, export_openvino
from dorsal.deploy.forms import Form, Runtime, why_not
from dorsal.deploy.quantize import RANGES, check_calibration, quantize_onnx, quantize_openvino
from dorsal.deploy.rewrite import rewritten
from dorsal.deploy.runtime import OnnxSession, OpenVinoSession
from dorsal.spec.cost import cost

pytestmark = pytest.mark.slow  # a runtime has ended the process at times, which is not understood yet
TEXT = "resnest_small(depths=[1, 1], widths=[32, 64], strides=[1, 2], classes=10)"


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return rewritten(dorsal.build(dorsal.network(TEXT)), "chunked")


def images(count: int, seed: int) -> list[np.ndarray]:
    """Smooth images, since noise has no large and small values to tell apart."""
    random = np.random.default_rng(seed)
    small = random.normal(size=(count, 1, 3, 8, 8)).astype(np.float32)
    return [each.repeat(8, 2).repeat(8, 3) for each in small]


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_int8_is_close_and_is_executed(tmp_path: Path, network: torch.nn.Module, runtime: Runtime) -> None:
    if reason := why_not(Form(runtime, "int8", "chunked")):
        pytest.skip(reason)
    seen = np.concatenate(images(16, 1))
    with torch.inference_mode():
        exact = network(torch.from_numpy(seen)).numpy()
    example = (torch.randn(2, 3, 64, 64),)
    export = export_openvino if runtime == "openvino" else export_onnx
    export(network, example, tmp_path / ("m.xml" if runtime == "openvino" else "m.onnx"), any_size=True)
    errors = []
    for ranges in RANGES[runtime]:
        if runtime == "openvino":
            quantize_openvino(tmp_path / "m.xml", tmp_path / "q.xml", images(32, 0), ranges)
            session = OpenVinoSession(tmp_path / "q.xml", 1, "int8", shape=(16, 3, 64, 64))
            (said,), done = session(seen), executed_by_openvino(session)
        else:
            quantize_onnx(tmp_path / "m.onnx", tmp_path / "q.onnx", images(32, 0), ranges)
            (said,) = OnnxSession(tmp_path / "q.onnx", 1)(seen)
            done = executed_by_onnx(OnnxSession(tmp_path / "q.onnx", 1, profile=tmp_path / "p"), seen)
        errors.append(np.linalg.norm(said - exact) / np.linalg.norm(exact - exact.mean(0)))
        assert done.share("int8") > 0.99
        assert done.fallen("int8") == ()
        assert sum(done.macs.values()) == pytest.approx(16 * cost(dorsal.network(TEXT), 64).macs, rel=0.05)
    assert min(errors) < 0.15
    assert max(errors) < 0.5


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_float_is_executed_in_float(tmp_path: Path, network: torch.nn.Module, runtime: Runtime) -> None:
    if reason := why_not(Form(runtime, "float32", "chunked")):
        pytest.skip(reason)
    example, seen = (torch.randn(2, 3, 64, 64),), images(1, 0)[0]
    if runtime == "openvino":
        export_openvino(network, example, tmp_path / "m.xml", any_size=True)
        done = executed_by_openvino(OpenVinoSession(tmp_path / "m.xml", 1, "float32", shape=(1, 3, 64, 64)))
    else:
        export_onnx(network, example, tmp_path / "m.onnx", any_size=True)
        done = executed_by_onnx(OnnxSession(tmp_path / "m.onnx", 1, profile=tmp_path / "p"), seen)
    assert done.share("float32") == 1
    assert len(done.fallen("int8")) == len(done.layers)
    assert done.macs["float32"] == pytest.approx(cost(dorsal.network(TEXT), 64).macs, rel=0.05)
    assert list(tmp_path.glob("p*")) == [], "no profile is left"


def test_shares_of_nothing_and_of_two() -> None:
    assert Executed(macs={}, layers=()).share("int8") == 0
    both = Executed(macs={"int8": 3, "float32": 1}, layers=(("a", "int8", 3), ("b", "float32", 1)))
    assert (both.share("int8"), both.fallen("int8")) == (0.75, ("b",))


def test_too_few_images_to_calibrate_by() -> None:
    check_calibration(16)
    with pytest.raises(ValueError, match="10 images for calibration are too few to know ranges by; at least 16"):
        check_calibration(10)
