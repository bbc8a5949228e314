"""Images are normalized in the graph as before it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from dorsal.deploy.export import export_onnx, export_openvino
from dorsal.deploy.forms import FILES, Form, Runtime
from dorsal.deploy.pixels import Normalized, take_pixels
from dorsal.deploy.possible import why_not
from dorsal.deploy.runtime import OnnxSession, OpenVinoSession, Outputs, Session
from dorsal.spec.preprocessing import Normalization
from tests.deploy.disk import files_of_at_most

NORMALIZATIONS = {
    "rgb": Normalization(mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25)),
    "bgr": Normalization(mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25), color_order="bgr"),
}


def pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def prepared(images: np.ndarray, normalization: Normalization) -> np.ndarray:
    values = (images / 255 - np.array(normalization.mean)) / np.array(normalization.std)
    values = values[..., ::-1] if normalization.color_order == "bgr" else values
    return values.transpose(0, 3, 1, 2).astype(np.float32)


class Echo(Session):
    def __call__(self, *inputs: np.ndarray) -> Outputs:
        assert inputs[0].flags["C_CONTIGUOUS"]
        return inputs


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_pixels_are_normalized_before_a_graph_that_does_not(name: str) -> None:
    images = pixels(2, 5, 7, 3)
    (found,) = Normalized(Echo(), NORMALIZATIONS[name])(images)
    np.testing.assert_allclose(found, prepared(images, NORMALIZATIONS[name]), rtol=0, atol=1e-5)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_a_graph_that_takes_pixels_says_the_same(tmp_path: Path, runtime: Runtime, name: str) -> None:
    if reason := why_not(Form(runtime, "float32", "none")):
        pytest.skip(reason)
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)
    )
    source, target = tmp_path / FILES[runtime][0], tmp_path / "pixels" / FILES[runtime][0]
    target.parent.mkdir()
    export = export_openvino if runtime == "openvino" else export_onnx
    export(net.eval(), (torch.randn(2, 3, 32, 32),), source, any_size=True)
    take_pixels(runtime, source, target, NORMALIZATIONS[name])
    assert sorted(path.name for path in target.parent.iterdir()) == sorted(FILES[runtime])
    opened = OpenVinoSession(target, 1, "float32") if runtime == "openvino" else OnnxSession(target, 1)
    for shape in ((1, 32, 32, 3), (3, 41, 27, 3)):
        images = pixels(*shape)
        with torch.inference_mode():
            exact = net(torch.from_numpy(prepared(images, NORMALIZATIONS[name]))).numpy()
        np.testing.assert_allclose(opened(images)[0], exact, rtol=0, atol=1e-5)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_full_disk_leaves_nothing(tmp_path: Path, runtime: Runtime) -> None:
    if reason := why_not(Form(runtime, "float32", "none")):
        pytest.skip(reason)
    source, target = tmp_path / FILES[runtime][0], tmp_path / "pixels" / FILES[runtime][0]
    target.parent.mkdir()
    export = export_openvino if runtime == "openvino" else export_onnx
    export(nn.Conv2d(3, 64, 7).eval(), (torch.randn(2, 3, 32, 32),), source, any_size=True)
    with pytest.raises(OSError), files_of_at_most(2000):  # noqa: PT011
        take_pixels(runtime, source, target, NORMALIZATIONS["rgb"])
    assert not list(target.parent.iterdir())
