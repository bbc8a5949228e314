"""What forms really compute in, layer by layer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import dorsal
from dorsal.deploy.executed import Executed, executed_by_onnx, executed_by_openvino
from dorsal.deploy.export import export_onnx, export_openvino
from dorsal.deploy.forms import Form, Runtime
from dorsal.deploy.possible import why_not
from dorsal.deploy.quantize import quantize_openvino
from dorsal.deploy.quiet import quietly
from dorsal.deploy.rewrite import rewritten
from dorsal.deploy.runtime import OnnxSession, OpenVinoSession
from dorsal.spec.cost import cost
from tests.deploy.models import randomised

TEXT = "resnest_small(depths=[1, 1], widths=[32, 64], strides=[1, 2], classes=10)"


def executed(runtime: Runtime, model: nn.Module, folder: Path, size: int) -> Executed:
    if reason := why_not(Form(runtime, "float32", "none")):
        pytest.skip(reason)
    example = (torch.randn(2, 3, size, size),)
    if runtime == "openvino":
        export_openvino(model, example, folder / "m.xml", any_size=True)
        return executed_by_openvino(OpenVinoSession(folder / "m.xml", 1, "float32", shape=(1, 3, size, size)))
    export_onnx(model, example, folder / "m.onnx", any_size=True)
    session = OnnxSession(folder / "m.onnx", 1, profile=folder / "p")
    return executed_by_onnx(session, np.zeros((1, 3, size, size), np.float32))


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_float_is_executed_in_float(tmp_path: Path, runtime: Runtime) -> None:
    done = executed(runtime, rewritten(dorsal.build(dorsal.network(TEXT)), "chunked"), tmp_path, 64)
    assert done.share("float32") == 1
    assert len(done.fallen("int8")) == len(done.layers)
    assert done.macs["float32"] == pytest.approx(cost(dorsal.network(TEXT), 64).macs, rel=0.05)
    assert list(tmp_path.glob("p*")) == [], "no profile is left"


class Layers(nn.Module):
    """One layer of each kind, each with a bias, by which ONNX Runtime names it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, padding=1)
        self.groups = nn.Conv2d(32, 64, 3, stride=2, padding=1, groups=2)
        self.back = nn.ConvTranspose2d(64, 16, 2, stride=2)
        self.fc = nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.back(self.groups(self.stem(x).relu()).relu()).relu().mean((2, 3)))


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_macs_of_every_kind_of_layer(tmp_path: Path, runtime: Runtime) -> None:
    torch.manual_seed(0)
    done = executed(runtime, Layers(), tmp_path, 16)
    assert {name: macs for name, _, macs in done.layers} == {
        "stem": 16 * 16 * 32 * 3 * 9,
        "groups": 8 * 8 * 64 * 16 * 9,
        "back": 8 * 8 * 64 * 16 * 4,
        "fc": 16 * 10,
    }


def test_convolutions_in_groups_that_fall_back_are_named(tmp_path: Path) -> None:
    """OpenVINO computes the shape of their weights when it reads ONNX. Quantized so, they stay in floating point."""
    if reason := why_not(Form("openvino", "int8", "folded")) or why_not(Form("onnxruntime", "int8", "folded")):
        pytest.skip(reason)
    import nncf
    import openvino

    text = "regnety_small(depths=[1, 1], widths=[16, 32], strides=[2, 2], classes=10)"
    model = rewritten(randomised(dorsal.build(dorsal.network(text))), "folded")
    example = (torch.randn(2, 3, 32, 32),)
    export_onnx(model, example, tmp_path / "m.onnx", any_size=True)
    export_openvino(model, example, tmp_path / "m.xml", any_size=True)
    random = np.random.default_rng(0)
    images = [random.normal(size=(1, 3, 32, 32)).astype(np.float32) for _ in range(16)]
    with quietly():
        made = nncf.quantize(openvino.Core().read_model(tmp_path / "m.onnx"), nncf.Dataset(images), subset_size=16)
    openvino.save_model(made, tmp_path / "broken.xml", compress_to_fp16=False)
    quantize_openvino(tmp_path / "m.onnx", tmp_path / "mended.xml", images, "minmax")
    quantize_openvino(tmp_path / "m.xml", tmp_path / "sound.xml", images, "minmax")
    broken, mended, sound = (
        executed_by_openvino(OpenVinoSession(tmp_path / f"{name}.xml", 1, "float32", shape=(1, 3, 32, 32)))
        for name in ("broken", "mended", "sound")
    )
    if sound.fallen("int8"):
        pytest.skip(f"on this processor a graph of PyTorch's stays in floating point too: {sound.fallen('int8')}")
    assert mended.fallen("int8") == ()
    in_groups = {16 // 2 * 16 // 2 * 16 * 8 * 9, 4 * 4 * 32 * 8 * 9}
    assert broken.fallen("int8") == tuple(name for name, _, macs in broken.layers if macs in in_groups)
    assert len(broken.fallen("int8")) == 2
    assert 0 < broken.share("float32") < 1
    assert sum(broken.macs.values()) == sum(sound.macs.values())


def test_shares_of_nothing_and_of_two() -> None:
    assert Executed(macs={}, layers=()).share("int8") == 0
    both = Executed(
        macs={"int8": 3, "float32": 2},
        layers=(("stem.convs.0", "int8", 3), ("stages.0.1.expand", "float32", 1), ("stages.1.0.expand", "float32", 1)),
    )
    assert both.share("int8") == 0.6
    assert both.fallen("int8") == ("stages.0.1.expand", "stages.1.0.expand")
    assert both.fallen("int8", kept=("stages.0.1",)) == ("stages.1.0.expand",)
