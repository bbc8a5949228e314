"""Exported models, opened in every runtime that is installed, say what the model says."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest
import torch

import dorsal
from dorsal.annotations.labels import Labels
from dorsal.deploy.export import export_onnx, export_openvino
from dorsal.deploy.forms import FILES, Form, Runtime
from dorsal.deploy.possible import why_not
from dorsal.deploy.programs import export_program
from dorsal.deploy.proof import agreement, agreement_of_found
from dorsal.deploy.rewrite import rewritten
from dorsal.deploy.room import lacks_room, save_openvino
from dorsal.deploy.runtime import OnnxSession, OpenVinoSession, Session
from dorsal.recipes.recipe import Recipe
from dorsal.spec.task import at, parse_task
from dorsal.tasks.detect.detector import Detector
from dorsal.tasks.method import method_of
from tests.deploy.disk import files_of_at_most
from tests.deploy.models import randomised

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


SHAPES = ((1, 64, 96), (3, 96, 64), (2, 75, 61))


def task_model(text: str, network: str) -> torch.nn.Module:
    task = at(parse_task(text), 64)
    made = method_of(task, Labels(classes=tuple("abcde"))).build(dorsal.network(network), Recipe(), None)
    return randomised(made)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("text", ["semantic", "semantic(head=deeplabv3)", "semantic(head=deeplabv3+)"])
def test_a_segmenter_of_any_batch_and_size(tmp_path: Path, runtime: Runtime, text: str) -> None:
    model = task_model(text, "small(depths=[1, 1, 1], widths=[16, 32, 64])")
    session = opened(runtime, rewritten(model, "folded"), (torch.randn(2, 3, 64, 96),), tmp_path, True)
    said, exact = [], []
    for count, height, width in SHAPES:
        images = torch.randn(count, 3, height, width)
        with torch.inference_mode():
            exact += list(model(images).numpy())
        said += list(session(images.numpy())[0])
    assert agreement(said, exact).outcome == "right"


@pytest.mark.slow  # half a minute each
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("text", ["detect", "detect(box_head=conv)", "instance", "cascade(masks=true)"])
def test_a_detector_of_any_batch_and_size(tmp_path: Path, runtime: Runtime, text: str) -> None:
    """Within a hundredth of a pixel and 1e-4 of a score, without what hangs on a rounding; see `agreement_of_found`."""
    model = task_model(text, "small(depths=[1, 1, 1], widths=[16, 32, 64])")
    assert isinstance(model, Detector)
    inputs = (torch.randn(2, 3, 64, 96), torch.tensor([[64, 96], [60, 90]]))
    session = opened(runtime, rewritten(model, "folded"), inputs, tmp_path, True)
    said, exact = [], []
    for count, height, width in SHAPES:
        images, sizes = torch.randn(count, 3, height, width), torch.tensor([[height, width - 2]] * count)
        with torch.inference_mode():
            found = model(images, sizes)
        assert (found.scores > 0).any(), "something is found"
        boxes, scores, labels, *masks = session(images.numpy(), sizes.numpy())
        said.append((boxes, scores, labels))
        exact.append((found.boxes.numpy(), found.scores.numpy(), found.labels.numpy()))
        if masks:
            same = (np.abs(boxes - found.boxes.numpy()).max(-1) < 0.01) & (labels == found.labels.numpy())
            assert same.mean() > 0.9
            np.testing.assert_allclose(masks[0][same], found.masks.numpy()[same], rtol=0, atol=1e-3)
    assert agreement_of_found(said, exact, model.task.least_score).outcome == "right"


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize(
    "text",
    ["resnest_small(mixer=split_attention(deformable=true)", "small(mixer=conv(deformable=true)"],
    ids=["split attention", "plain"],
)
def test_deformable_convolutions(tmp_path: Path, runtime: Runtime, text: str) -> None:
    net = randomised(dorsal.build(dorsal.network(f"{text}, depths=[1, 1], widths=[16, 32], strides=[1, 2])")))
    session = opened(runtime, rewritten(net, "folded"), (torch.randn(2, 3, 64, 64),), tmp_path, True)
    said, exact = [], []
    for shape in ((3, 3, 64, 64), (2, 3, 75, 61)):
        images = torch.randn(shape)
        with torch.inference_mode():
            exact += list(net(images).numpy())
        said += list(session(images.numpy())[0])
    assert agreement(said, exact).outcome == "right"


@pytest.mark.parametrize("runtime", ["torch", "onnxruntime", "openvino"])
def test_a_full_disk_is_told_as_such(tmp_path: Path, runtime: Runtime) -> None:
    """PyTorch's own writer would end the process."""
    if reason := why_not(form := Form(runtime, "float32", "none")):
        pytest.skip(reason)
    net, inputs = torch.nn.Conv2d(3, 64, 7).eval(), (torch.randn(2, 3, 64, 64),)
    path = tmp_path / FILES[runtime][0]
    export = {
        "torch": lambda: export_program(net, inputs, form, path),
        "onnxruntime": lambda: export_onnx(net, inputs, path, any_size=True),
        "openvino": lambda: export_openvino(net, inputs, path, any_size=True),
    }[runtime]
    with pytest.raises(OSError), files_of_at_most(2000):  # noqa: PT011
        export()


def test_a_package_goes_to_the_disk_whole_or_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def package(_: object, *, package_path: object, inductor_configs: object) -> None:
        assert not isinstance(package_path, str), "PyTorch's own writer would end the process"
        package_path.write(bytes(5000))  # type: ignore[attr-defined]

    monkeypatch.setattr(torch._inductor, "aoti_compile_and_package", package)
    net, form, path = torch.nn.Conv2d(3, 4, 3), Form("aoti", "float32", "none"), tmp_path / "model.pt2"
    with pytest.raises(OSError), files_of_at_most(2000):  # noqa: PT011
        export_program(net, (torch.randn(2, 3, 8, 8),), form, path)
    export_program(net, (torch.randn(2, 3, 8, 8),), form, path)
    assert path.stat().st_size == 5000


def test_openvino_that_cannot_write_lacks_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    openvino = pytest.importorskip("openvino")

    def full(*_: object, **__: object) -> None:
        raise RuntimeError("basic_ios::clear: iostream error")

    monkeypatch.setattr(openvino, "save_model", full)
    with pytest.raises(OSError, match=r"OpenVINO cannot write .*model\.xml: basic_ios") as raised:
        save_openvino(None, tmp_path / "model.xml")
    assert lacks_room(raised.value)
    assert lacks_room(OSError(errno.ENOSPC, "No space left on device"))
    assert not lacks_room(FileNotFoundError(errno.ENOENT, "No such file"))
    assert not lacks_room(RuntimeError("cannot write this operator"))
