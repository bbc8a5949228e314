"""No output holds NaN or Infinity as JSON, which has neither."""

import ast
import re
from pathlib import Path

import msgspec
import numpy as np
import plotly.graph_objects as go
import pytest
import torch
from PIL import Image

import dorsal
from dorsal.nn.build import build
from dorsal.report.plot import View
from dorsal.report.shell import chart
from dorsal.spec.preprocessing import Preprocessing
from dorsal.weights.saved import make_card, save_model
from dorsal.zoo import network

SOURCES = sorted(Path(dorsal.__file__).parent.rglob("*.py"))


def calls_of(source, module, *names):
    text = source.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(text)) if f"{module}." in text else ():
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=owner), attr=name)) if owner == module and name in names:
                yield node


def test_pythons_encoder_is_always_told_to_refuse_what_is_not_finite():
    calls = [call for source in SOURCES for call in calls_of(source, "json", "dump", "dumps")]
    assert len(calls) > 5
    for call in calls:
        given = {keyword.arg: keyword.value for keyword in call.keywords}
        assert isinstance(given.get("allow_nan"), ast.Constant), ast.unparse(call)
        assert given["allow_nan"].value is False


def test_the_other_encoders_write_null():
    nothing = [float("nan"), float("inf"), -float("inf")]
    assert msgspec.json.encode(nothing) == b"[null,null,null]"
    page = chart("c", [View("v", go.Figure(go.Scatter(y=[*nothing, np.float64("nan")])))], "a caption")
    assert not re.search("NaN|Infinity", page)


@pytest.fixture
def overflowing(tmp_path):
    """A model with finite weights, and an image on which its outputs are not: only bright ones overflow."""
    net = network("resnet18(depths=[1], widths=[8], strides=[1], classes=2)")
    model = build(net).eval()
    torch.nn.init.constant_(model.fc.weight, 1e36)
    card = make_card(
        net,
        classes=("a", "b"),
        preprocessing=Preprocessing(image_size=32, resize=32, mean=(0, 0, 0), std=(1e-3, 1e-3, 1e-3)),
        metrics={},
        license="MIT",
        source="here",
        origin="a test",
    )
    save_model(tmp_path / "model", model, card)
    for name in ("a", "b"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for index in range(4):
            Image.new("RGB", (32, 32), (255, 255, 255)).save(tmp_path / "images" / name / f"{index}.png")
    return tmp_path


def test_outputs_that_are_not_finite_are_refused(dorsal, overflowing):
    model, images = overflowing / "model", overflowing / "images"
    code, out, err = dorsal("evaluate", model, "--data", images, "--split", "all", "--json")
    assert (code, out) == (2, "")
    assert "so its outputs mean nothing" in err
    code, out, err = dorsal("predict", images / "a" / "0.png", "--model", model, "--json")
    assert (code, out) == (2, "")
    assert "are not finite, so they name no class" in err
