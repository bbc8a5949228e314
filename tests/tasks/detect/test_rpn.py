"""The region proposal network against detectron2's numbers, and its behaviour on sets that are not full."""

import math

import pytest
import torch
import torchvision
from torch.nn.functional import pad

from dorsal.tasks.detect.match import Sample, draw_numbers, sample
from dorsal.tasks.detect.nms import survivors, survivors_by_group
from dorsal.tasks.detect.rpn import RpnHead, RpnLevel, match_anchors, propose, rpn_losses
from tests.tasks.detect.golden import (
    assert_boxes,
    assert_gradient,
    assert_near,
    fill,
    gradients_of,
    in_double,
    read_golden,
)

NAMES = {"conv": "conv", "logits": "objectness_logits", "deltas": "anchor_deltas"}


@pytest.fixture
def golden(real_data):
    return read_golden(real_data, "det_rpn")


@pytest.fixture
def head(golden):
    head = RpnHead(16, golden.config["strides"], 4.0)
    fill(head, golden.weights, NAMES)
    return head


@pytest.fixture
def maps(golden):
    return maps_of(golden)


def maps_of(golden):
    return [golden.inputs[f"p{level}"].requires_grad_() for level in range(2, 7)]


def truth(golden, case, padding=1):
    """Boxes and labels of both images as sets of one size; in case b the second has none."""
    boxes = torch.zeros(2, 5 + padding, 4)
    labels = torch.full((2, 5 + padding), -1)
    for image in range(2 if case == "a" else 1):
        own = golden.inputs[f"gt_boxes_{image}"]
        boxes[image, : len(own)], labels[image, : len(own)] = own, 0
    return boxes, labels


def stored_sample(golden, case):
    rows = []
    for image in range(2):
        positive = golden.inputs[f"sample_pos_{case}_{image}"]
        place = torch.cat((positive, golden.inputs[f"sample_neg_{case}_{image}"]))
        rows.append((pad(place, (0, 3)), torch.arange(67) < 64, torch.arange(67) < len(positive)))
    return Sample(*(torch.stack(column) for column in zip(*rows, strict=True)))


def test_head_equals_detectron2(golden, head, maps):
    for level, (anchors, logits, deltas) in enumerate(head(maps)):
        stored = [golden.out[f"{kind}.p{level + 2}"] for kind in ("logits", "deltas")]
        assert_near(logits, stored[0].permute(0, 2, 3, 1).flatten(1))
        height, width = stored[1].shape[2:]
        assert_near(deltas, stored[1].view(2, 3, 4, height, width).permute(0, 3, 4, 1, 2).reshape(2, -1, 4))
        assert anchors.shape == deltas.shape[1:]


@pytest.mark.parametrize("mode", ["train", "test"])
def test_proposals_equal_detectron2(golden, head, maps, mode):
    place = golden.config["order_pre_post"].strip("[]").split(", ").index(mode)
    before, after = golden.config["pre_nms_topk"][place], golden.config["post_nms_topk"][place]
    found = propose(head(maps), torch.tensor(golden.config["image_sizes"]), before, after)
    assert found.valid.all()
    assert not found.boxes.requires_grad
    for image in range(2):
        assert_boxes(found.boxes[image], golden.out[f"{mode}.boxes_{image}"])
        assert_near(found.logits[image], golden.out[f"{mode}.logits_{image}"])


@pytest.mark.parametrize("case", ["a", "b"])
def test_losses_equal_detectron2(golden, head, case):
    golden = in_double(golden)
    maps = maps_of(golden)
    head.double()
    levels = head(maps)
    boxes, labels = truth(golden, case)
    matched = match_anchors(torch.cat([level.anchors for level in levels]), boxes, labels)
    for image in range(2):
        assert torch.equal(matched.label[image], golden.out[f"{case}.label_{image}"].long())
        assert torch.equal(matched.place[image], golden.out[f"{case}.matched_{image}"].long())
    losses = rpn_losses(levels, matched, stored_sample(golden, case), boxes, 64)
    stored = golden.values[case]
    assert losses["objectness"].item() == pytest.approx(stored["loss_rpn_cls"], rel=1e-5)
    assert losses["rpn box"].item() == pytest.approx(stored["loss_rpn_loc"], rel=1e-5)
    sum(losses.values()).backward()
    found = gradients_of(head, NAMES)
    assert len(found) == 6
    for name, gradient in found.items():
        assert_gradient(gradient, golden.out[f"{case}.grad.w.{name}"])
    for level in (4, 5, 6):
        assert_gradient(maps[level - 2].grad, golden.out[f"{case}.grad.p{level}"])


def test_our_sample_has_the_stored_numbers_of_each_kind(golden, head, maps):
    for case in ("a", "b"):
        boxes, labels = truth(golden, case)
        levels = head(maps)
        anchors = torch.cat([level.anchors for level in levels])
        matched = match_anchors(anchors, boxes, labels)
        chosen = sample(matched.label, draw_numbers(anchors.expand(2, -1, 4)), 64, 0.5)
        assert chosen.valid.all()
        assert chosen.positive.sum(1).tolist() == golden.values[case]["positive"]


def tiny():
    """A level of two positions for one image of 20 x 30 pixels, with some logits."""
    head = RpnHead(4, (8,), 2.0)
    (level,) = head([torch.rand(1, 4, 1, 2)])
    return level.anchors, torch.tensor([[3.0, 2, 1, 0, -1, -2]]), torch.zeros(1, 6, 4)


def test_what_is_unfit_is_not_valid():
    anchors, logits, deltas = tiny()
    deltas[0, 0, 0] = -100  # far outside: nothing is left after clipping
    deltas[0, 1, 2] = math.nan
    logits[0, 2] = math.inf
    found = propose([RpnLevel(anchors, logits, deltas)], torch.tensor([[20, 30]]), 6, 10, threshold=1.0)
    assert found.boxes.shape == (1, 6, 4)
    assert found.valid.tolist() == [[True, True, True, False, False, False]]
    assert found.logits.tolist() == [[0, -1, -2, 0, 0, 0]]
    assert not found.boxes[0, 3:].any()
    fewer = propose([RpnLevel(anchors, logits, deltas)], torch.tensor([[20, 30]]), 4, 10, threshold=1.0)
    assert fewer.valid.tolist() == [[True, False, False, False]]


def test_levels_do_not_suppress_each_other():
    anchors, logits, deltas = tiny()
    levels = [RpnLevel(anchors, logits, deltas), RpnLevel(anchors, logits - 0.5, deltas)]
    sizes = torch.tensor([[20, 30]])
    alone = propose(levels[:1], sizes, 6, 6, threshold=0.3)
    both = propose(levels, sizes, 6, 12, threshold=0.3)
    assert 0 < int(alone.valid.sum()) < 6
    assert int(both.valid.sum()) == 2 * int(alone.valid.sum())


def test_without_objects_there_is_a_loss_of_background_alone():
    anchors, logits, deltas = tiny()
    logits.requires_grad_()
    deltas.requires_grad_()
    boxes, labels = torch.zeros(1, 1, 4), torch.full((1, 1), -1)
    matched = match_anchors(anchors, boxes, labels)
    chosen = sample(matched.label, draw_numbers(deltas), 4, 0.5)
    losses = rpn_losses([RpnLevel(anchors, logits, deltas)], matched, chosen, boxes, 4)
    expected = torch.nn.functional.softplus(logits[0, chosen.place[0]]).sum() / 4
    assert torch.allclose(losses["objectness"], expected)
    assert losses["rpn box"] == 0
    sum(losses.values()).backward()
    assert torch.isfinite(logits.grad).all()
    assert not deltas.grad.any()


@pytest.mark.parametrize("seed", range(3))
def test_suppression_equals_torchvision(seed):
    random = torch.Generator().manual_seed(seed)
    corners = 100 * torch.rand(300, 2, 2, generator=random)
    boxes = torch.cat((corners.amin(1), corners.amax(1)), 1)
    boxes[::50, 2] = boxes[::50, 0]  # without area
    scores, groups = torch.rand(300, generator=random), torch.randint(4, (300,), generator=random)
    kept = torchvision.ops.nms(boxes, scores, 0.4)
    assert survivors(boxes, scores, 0.4).nonzero().flatten().tolist() == sorted(kept.tolist())
    kept = torchvision.ops.boxes._batched_nms_vanilla(boxes - 30, scores, groups, 0.4)  # a group after another
    assert survivors_by_group(boxes - 30, scores, groups, 0.4).nonzero().flatten().tolist() == sorted(kept.tolist())
    assert survivors_by_group(boxes[:0], scores[:0], groups[:0], 0.4).tolist() == []
