"""Exported models, opened in every runtime that is installed, say what the model says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import dorsal
from dorsal.annotations.labels import Labels
from dorsal.deploy.export import export_onnx, export_openvino
from dorsal.deploy.forms import Form, Runtime
from dorsal.deploy.possible import why_not
from dorsal.deploy.proof import agreement
from dorsal.deploy.rewrite import rewritten
from dorsal.deploy.runtime import OnnxSession, OpenVinoSession, Session
from dorsal.recipes.recipe import Recipe
from dorsal.spec.task import at, parse_task
from dorsal.tasks.method import method_of
from tests.deploy.models import randomised

pytestmark = pytest.mark.slow  # a runtime has ended the process at times, which is not understood yet
TINY = "resnest_small(depths=[1, 1], widths=[16, 32], strides=[1, 2])"


def opened(
    runtime: Runtime, model: torch.nn.Module, inputs: tuple[torch.Tensor, ...], folder: Path, any_size: bool
) -> Session:
    if reason := why_not(Form(runtime, "float32", "none")):
        pytest.skip(reason)
    if runtime == "onnxruntime":
        export_onnx(model, inputs, folder / "model.onnx", any_size=any_size)
        return OnnxSession(folder / "model.onnx", 1)
    export_openvino(model, inputs, folder / "model.xml", any_size=any_size)
    return OpenVinoSession(folder / "model.xml", 1, "float32")


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("rewrite", ["none", "apart"])
def test_a_classifier_of_any_batch_and_size(tmp_path: Path, runtime: Runtime, rewrite) -> None:
    net = randomised(dorsal.build(dorsal.network(TINY)))
    session = opened(runtime, rewritten(net, rewrite), (torch.randn(2, 3, 64, 64),), tmp_path, True)
    for shape in ((4, 3, 64, 64), (1, 3, 75, 61), (3, 3, 96, 50)):
        images = torch.randn(shape)
        with torch.inference_mode():
            exact = net(images).numpy()
        (said,) = session(images.numpy())
        assert said.shape == exact.shape
        np.testing.assert_allclose(said, exact, rtol=0, atol=1e-5 * np.abs(exact).max())
        if len(exact) > 1:
            assert agreement(list(said), list(exact)).outcome == "right"


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("text", ["semantic", "cascade(masks=true)"])
def test_every_task_of_its_size(tmp_path: Path, runtime: Runtime, text: str) -> None:
    task = at(parse_task(text), 64)
    network = dorsal.network("small(depths=[1, 1, 1], widths=[16, 32, 64])")
    model = method_of(task, Labels(classes=tuple("abcde"))).build(network, Recipe(), None)
    model = randomised(model)
    images, sizes = torch.randn(2, 3, 64, 96), torch.tensor([[64, 96], [60, 90]])
    inputs = (images,) if text == "semantic" else (images, sizes)
    session = opened(runtime, rewritten(model, "folded"), inputs, tmp_path, False)
    with torch.inference_mode():
        exact = model(*inputs)
    exact = (exact,) if isinstance(exact, torch.Tensor) else tuple(part for part in exact if part is not None)
    said = session(*(each.numpy() for each in inputs))
    assert [each.shape for each in said] == [each.shape for each in exact]
    for ours, theirs in zip(said, exact, strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-4, atol=1e-3)
    if text != "semantic":
        assert (exact[1] > 0).any(), "something is found"
