"""The detector as a whole: it learns, finds what it learnt, and takes whatever images and trunks there are."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from msgspec.structs import replace
from torch import Tensor, nn

from dorsal.nn.build import build
from dorsal.spec.layers import Feature
from dorsal.spec.task import Detect, at, parse_task
from dorsal.tasks.detect.boxes import iou
from dorsal.tasks.detect.detector import Detector, Found, Truth
from dorsal.tasks.maps import pyramid_maps
from dorsal.zoo import network

TASKS = ("detect", "instance(box_head=conv)", "cascade(masks=true)")
TINY = {
    "resnet": "small(depths=[1, 1, 1], widths=[32, 64, 96])",
    "res2net": "small(depths=[1, 1, 1], widths=[32, 64, 96], mixer=multi_scale(scales=4, width=8))",
    "resnest": "small(depths=[1, 1, 1], widths=[32, 64, 96], mixer=split_attention)",
    "regnet": "small(depths=[1, 1, 1], widths=[32, 64, 96], mixer=conv(group_width=8), attention=squeeze_excite)",
}


def detector(text: str, net: str = TINY["resnet"], size: int = 64, classes: int = 2) -> Detector:
    task = parse_task(text)
    assert isinstance(task, Detect)
    torch.manual_seed(0)
    task = at(replace(task, channels=32), size)
    return Detector(pyramid_maps(build(network(net))), classes, task)  # type: ignore[arg-type]


def squares(images: int, size: int = 64) -> tuple[Tensor, Truth]:
    """Images with a light square of class 0 and a dark one of class 1, of which every third has the first alone."""
    random = torch.Generator().manual_seed(0)
    pixels = torch.zeros(images, 3, size, size)
    boxes, labels = torch.zeros(images, 2, 4), torch.full((images, 2), -1)
    masks = torch.zeros(images, 2, size, size, dtype=torch.bool)
    for image in range(images):
        for label in range(1 if image % 3 == 2 else 2):
            side = int(torch.randint(14, 28, (), generator=random))
            x = int(torch.randint(0, size // 2 - side + 1, (), generator=random)) + label * size // 2
            y = int(torch.randint(0, size - side + 1, (), generator=random))
            pixels[image, :, y : y + side, x : x + side] = 1.0 - 2.0 * label
            boxes[image, label] = torch.tensor([x, y, x + side, y + side])
            labels[image, label] = label
            masks[image, label, y : y + side, x : x + side] = True
    return pixels, Truth(boxes, labels, masks)


def total(model: Detector, images: Tensor, truth: Truth, **sizes: Any) -> Tensor:
    whole = torch.tensor(images.shape[2:]).expand(len(images), 2)
    losses = model(images, sizes.get("sizes", whole), truth)
    assert isinstance(losses, dict)
    return torch.stack(list(losses.values())).sum()


@pytest.mark.parametrize("text", TASKS)
def test_a_batch_is_learnt_by_heart_and_found_again(text: str) -> None:
    model, (images, truth) = detector(text), squares(6)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = total(model, images, truth)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])
    assert all(parameter.grad is not None for parameter in model.parameters())
    model.eval()
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.train()  # statistics of so few steps are far behind
    with torch.no_grad():
        found = model(images, torch.full((6, 2), 64))
    assert isinstance(found, Found)
    assert found.boxes.shape == (6, 100, 4)
    assert (found.masks is None) == (not model.task.masks)
    right = [
        bool((iou(truth.boxes[i], found.boxes[i])[g][found.labels[i] == truth.labels[i, g]][:3] > 0.5).any())
        for i in range(6)
        for g in range(2)
        if truth.labels[i, g] >= 0
    ]
    assert sum(right) >= 0.8 * len(right)


@pytest.mark.parametrize("family", TINY)
def test_every_family_gives_each_parameter_a_gradient_on_odd_images(family: str) -> None:
    model, (images, truth) = detector("cascade(masks=true)", TINY[family]), squares(2)
    images, masks = images[..., :45, :61], truth.masks
    assert masks is not None
    boxes = truth.boxes.clamp(max=44)
    fits = (boxes[..., 2:] - boxes[..., :2] > 0).all(-1)
    truth = Truth(boxes, torch.where(fits, truth.labels, -1), masks[..., :45, :61])
    total(model, images, truth, sizes=torch.tensor([[45, 61], [40, 50]])).backward()
    idle = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert idle == []


def test_a_network_of_timm_is_a_trunk() -> None:
    timm = pytest.importorskip("timm")
    from dorsal.nn.timm import build_timm
    from dorsal.spec.timm import TimmNetwork

    assert "resnet10t" in timm.list_models()
    model = Detector(pyramid_maps(build_timm(TimmNetwork("resnet10t", classes=10))), 2, at(Detect(channels=16), 64))
    images, truth = squares(1)
    assert total(model, images, truth).isfinite()


@pytest.mark.parametrize("text", ["instance", "cascade(masks=true)"])
def test_images_without_objects_train_and_may_have_nothing_found(text: str) -> None:
    model, (images, _) = detector(text), squares(2)
    nothing = Truth(torch.zeros(2, 1, 4), torch.full((2, 1), -1), torch.zeros(2, 1, 64, 64, dtype=torch.bool))
    loss = total(model, images, nothing)
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    with torch.no_grad():
        found = model.eval()(images, torch.full((2, 2), 64))
    assert isinstance(found, Found)
    empty = found.scores < 0
    assert (found.labels[empty] == -1).all()
    assert (found.boxes[~empty] >= 0).all()
    assert (found.boxes <= 64).all()


def test_padding_holds_no_objects() -> None:
    model, (images, _) = detector("detect"), squares(1)
    with torch.no_grad():
        found = model.eval()(images, torch.tensor([[20, 30]]))
    assert isinstance(found, Found)
    assert (found.boxes[..., 0::2] <= 30).all()
    assert (found.boxes[..., 1::2] <= 20).all()


def test_draws_are_those_of_torchs_generator() -> None:
    model, (images, truth) = detector("detect"), squares(3)
    model.eval()  # so that batch norm does not move
    losses = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        losses.append(float(total(model, images, truth).detach()))
    assert losses[0] == losses[1] != losses[2]


class Strange(nn.Module):
    def __init__(self, *strides: int) -> None:
        super().__init__()
        self.info = tuple(Feature(f"c{stride}", 8, stride) for stride in strides)


def test_what_cannot_be_a_detector_is_refused() -> None:
    with pytest.raises(ValueError, match="this backbone has 4, 16, 32"):
        Detector(Strange(4, 16, 32), 2, at(Detect(), 64))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^detect leaves numbers open; `spec.task.at` fills them in"):
        Detector(Strange(4, 8), 2, Detect())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"maps of strides 4, 8 and so on, .*; those of this network are 2, 8, 16"):
        pyramid_maps(build(network("resnet18(depths=[1, 1], widths=[8, 16], strides=[2, 2])")))  # type: ignore[arg-type]
    model, (images, truth) = detector("instance"), squares(1)
    with pytest.raises(ValueError, match="truth has no masks"):
        total(model, images, truth._replace(masks=None))


@pytest.mark.parametrize("text", ["instance", "cascade(masks=true)"])
def test_fast_forms_equal_their_slow_twins(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All boxes through the mask head, on torchvision's RoIAlign: losses, gradients and what is found."""
    images, truth = squares(3)
    results = []
    for slow in (False, True):
        if slow:
            monkeypatch.setattr("dorsal.tasks.detect.detector.rows_needed", lambda _: None)
            monkeypatch.setattr("dorsal.tasks.detect.pool.is_eager", lambda _: False)
        model = detector(text).to(memory_format=torch.channels_last)
        loss = total(model, images, truth)
        loss.backward()
        with torch.no_grad():
            found = model.eval()(images, torch.full((3, 2), 64))
        assert isinstance(found, Found)
        results.append((loss, [p.grad for p in model.parameters()], found))
    (loss, gradients, found), (slow_loss, slow_gradients, slow_found) = results
    torch.testing.assert_close(loss, slow_loss, rtol=1e-5, atol=1e-5)
    for own, expected in zip(gradients, slow_gradients, strict=True):
        torch.testing.assert_close(own, expected, rtol=0, atol=1e-4 * float(expected.abs().max()))
    assert (found.scores >= 0).any()
    torch.testing.assert_close(found.boxes, slow_found.boxes, rtol=0, atol=1e-3)
    assert torch.equal(found.labels, slow_found.labels)
    real = found.labels >= 0
    assert found.masks is not None
    torch.testing.assert_close(found.masks[real], slow_found.masks[real], rtol=0, atol=1e-5)


@pytest.mark.parametrize("text", TASKS)
def test_bfloat16_and_channels_last(text: str) -> None:
    model, (images, truth) = detector(text).to(memory_format=torch.channels_last), squares(1)
    images = images.to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        loss = total(model, images, truth)
        loss.backward()
        with torch.no_grad():
            found = model.eval()(images, torch.full((1, 2), 64))
    assert loss.isfinite()
    assert isinstance(found, Found)
    assert found.boxes.dtype == found.scores.dtype == torch.float32
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    with torch.no_grad():
        maps = model.neck(model.trunk(images))
    assert all(x.is_contiguous(memory_format=torch.channels_last) for x in maps)


@pytest.mark.parametrize("text", TASKS)
def test_anchors_larger_than_the_image_and_boxes_that_all_degenerate(text: str) -> None:
    task = parse_task(text)
    assert isinstance(task, Detect)
    task = at(replace(task, channels=16, anchor=8.0, proposals=50, samples=16), 64)
    torch.manual_seed(0)
    model, (images, truth) = Detector(pyramid_maps(build(network(TINY["resnet"]))), 2, task), squares(2)  # type: ignore[arg-type]
    assert total(model, images, truth).isfinite()
    nn.init.constant_(model.rpn.deltas.bias, 1e4)  # type: ignore[arg-type] # every proposal flies out of the image
    model.zero_grad()
    loss = total(model, images, truth)
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    with torch.no_grad():
        found = model.eval()(images, torch.full((2, 2), 64))
    assert isinstance(found, Found)
    assert (found.labels == -1).all()
    assert (found.scores == -1).all()
