"""Masks against detectron2's numbers, and pasting by hand."""

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from dorsal.nn.plain import LARGE
from dorsal.tasks.detect.heads import RoiTargets
from dorsal.tasks.detect.masks import MaskHead, mask_loss, mask_probabilities, mask_targets, paste
from dorsal.tasks.detect.pool import RoiPool
from tests.tasks.detect.golden import assert_gradient, assert_near, fill, gradients_of, in_double, read_golden
from tests.tasks.detect.test_heads import padded

NAMES = {f"convs.{2 * i}": f"mask_fcn{i + 1}" for i in range(4)} | {"deconv": "deconv", "predictor": "predictor"}
POOL = RoiPool((4, 8, 16, 32), 14, 56, samples=0)


@pytest.fixture
def golden(real_data):
    return read_golden(real_data, "det_mask_head")


@pytest.fixture
def maps(golden):
    return maps_of(golden)


def maps_of(golden):
    return [golden.inputs[f"p{level}"].requires_grad_() for level in range(2, 6)]


def stored_targets(golden):
    """Bitmaps of both images padded to one size, boxes with one that takes no part, and what they learn."""
    bitmaps = torch.zeros(2, 4, 150, 184, dtype=torch.uint8)
    bitmaps[0, :, :128], bitmaps[1, :, :, :120] = golden.out["bitmasks_0"], golden.out["bitmasks_1"]
    boxes, valid = padded([golden.inputs["roi_boxes_0"], golden.inputs["roi_boxes_1"]], 9)
    place, _ = padded([golden.inputs["roi_gt_0"], golden.inputs["roi_gt_1"]], 9)
    labels = torch.stack([golden.inputs["gt_classes_0"], golden.inputs["gt_classes_1"]])
    classes = torch.where(valid, labels.gather(1, place), 5)
    classes[1, -1] = -1
    return bitmaps, boxes, valid, RoiTargets(classes, place, boxes)


def test_targets_equal_detectron2(golden):
    bitmaps, boxes, valid, targets = stored_targets(golden)
    found = mask_targets(bitmaps, boxes, targets.place, 28).unflatten(0, (2, 9))
    for image in range(2):
        different = found[image][valid[image]] != golden.out[f"target.bitmask_{image}"].bool()
        assert different.float().mean() <= 1e-3


@pytest.mark.parametrize(("masks", "weights", "kind"), [(5, "w", "per_class"), (1, "w1", "agnostic")])
def test_loss_equals_detectron2(golden, masks, weights, kind):
    golden = in_double(golden)
    maps = maps_of(golden)
    head = MaskHead(16, 16, masks).double()
    fill(head, {name.removeprefix(f"{weights}."): value for name, value in golden.inputs.items()}, NAMES)
    bitmaps, boxes, _, targets = stored_targets(golden)
    if kind == "agnostic":  # one mask for every class: an object is class 0, all else takes no part
        targets = targets._replace(classes=torch.where((targets.classes >= 0) & (targets.classes < 5), 0, -1))
    loss = mask_loss(head(POOL(maps, boxes)), bitmaps, boxes, targets)
    assert loss.item() == pytest.approx(golden.values[f"loss_bitmask_{kind}"], rel=1e-5)
    if kind == "per_class":
        loss.backward()
        found = gradients_of(head, NAMES)
        assert len(found) == 12
        for name, gradient in found.items():
            assert_gradient(gradient, golden.out[f"grad.w.{name}"])
        for level in (3, 4):
            assert_gradient(maps[level - 2].grad, golden.out[f"grad.p{level}"])


def test_masks_equal_detectron2(golden, maps):
    head = MaskHead(16, 16, 5)
    fill(head, golden.weights, NAMES)
    boxes, labels = (torch.stack([golden.inputs[f"det_{name}_{i}"] for i in range(2)]) for name in ("boxes", "classes"))
    logits = head(POOL(maps, boxes))
    assert_near(logits, golden.out["logits"])
    found = mask_probabilities(logits, labels)
    for image in range(2):
        assert_near(found[image][:, None], golden.out[f"probabilities_{image}"])


@pytest.mark.parametrize("kind", ["pasted", "pasted_resized"])
def test_pasting_equals_detectron2(golden, kind):
    sizes = golden.config["image_sizes" if kind == "pasted" else "output_sizes"]
    for image, size in enumerate(sizes):
        boxes = golden.out[f"{kind}_boxes_{image}"]
        found = paste(golden.out[f"probabilities_{image}"][:, 0], boxes, tuple(size))
        stored = golden.out[f"{kind}_{image}"].bool()
        assert found.shape == stored.shape
        assert (found != stored).float().mean() <= 1e-3
        assert found.sum((1, 2)).tolist() == pytest.approx(golden.values[f"{kind}_area_{image}"], rel=1e-3)


def test_pasting_by_hand():
    full, left = torch.ones(4, 4), torch.tensor([[1.0, 1, 0, 0]] * 4)
    boxes = torch.tensor([[2.0, 1, 10, 5], [2, 1, 10, 5], [-4, -4, 4, 4], [3, 3, 3, 9], [50, 50, 60, 60]])
    found = paste(torch.stack((full, left, full, full, full)), boxes, (6, 12))
    for mask, (top, bottom, start, end) in zip(found, [(1, 5, 2, 10), (1, 5, 2, 6), (0, 4, 0, 4)], strict=False):
        expected = torch.zeros(6, 12, dtype=torch.bool)
        expected[top:bottom, start:end] = True
        assert torch.equal(mask, expected)
    assert not found[3:].any()
    assert paste(torch.zeros(0, 4, 4), torch.zeros(0, 4), (6, 12)).shape == (0, 6, 12)


def test_a_mask_of_a_box_that_shows_all_of_it_comes_back():
    bitmap = torch.zeros(1, 1, 28, 28, dtype=torch.bool)
    bitmap[0, 0, 4:9, 3:20] = True
    box = torch.tensor([[[0.0, 0, 28, 28]]])
    target = mask_targets(bitmap, box, torch.zeros(1, 1).long(), 28)
    assert torch.equal(target, bitmap[0])
    assert torch.equal(paste(target.float(), box[0], (28, 28)), bitmap[0])


def test_loss_by_hand_and_without_objects():
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 4, 4, requires_grad=True)
    bitmaps = torch.ones(1, 1, 8, 8, dtype=torch.bool)
    boxes = torch.tensor([[[0.0, 0, 8, 8], [0, 0, 8, 8]]])
    place = torch.zeros(1, 2).long()
    loss = mask_loss(logits, bitmaps, boxes, RoiTargets(torch.tensor([[2, 3]]), place, boxes))
    assert torch.allclose(loss, binary_cross_entropy_with_logits(logits[0, 2], torch.ones(4, 4)))
    nothing = mask_loss(logits, bitmaps, boxes, RoiTargets(torch.tensor([[3, -1]]), place, boxes))
    nothing.backward()
    assert nothing == 0
    assert not logits.grad.any()


def test_weights_start_as_in_detectron2():
    torch.manual_seed(0)
    head = MaskHead(8, 64, 50)
    assert head.convs[2].weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.05)
    assert head.predictor.weight.std().item() == pytest.approx(0.001, rel=0.05)
    assert not any(bias.any() for name, bias in head.named_parameters() if name.endswith("bias"))


def random_targets() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, RoiTargets]:
    """Logits and bitmaps of two images with three boxes each, of which the second has none of an object."""
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 2, 28, 28, generator=random, dtype=torch.double)
    bitmaps = torch.rand(2, 4, 40, 50, generator=random) > 0.5
    boxes = torch.tensor([[1.0, 2, 30, 38], [5, 5, 48, 20], [0, 0, 50, 40]]).double().expand(2, 3, 4)
    classes = torch.tensor([[0, 1, 2], [2, -1, 2]])
    return logits, bitmaps, boxes, RoiTargets(classes, torch.tensor([[3, 1, 0], [0, 0, 0]]), boxes)


def test_the_rows_of_objects_are_enough_for_the_loss() -> None:
    logits, bitmaps, boxes, targets = random_targets()
    logits.requires_grad_()
    rows = torch.tensor([0, 1])
    losses = [
        mask_loss(logits, bitmaps, boxes, targets),
        mask_loss(logits[rows], bitmaps, boxes, targets, rows),
    ]
    assert losses[0] == losses[1] > 0
    whole, few = (torch.autograd.grad(loss, logits)[0] for loss in losses)
    assert torch.equal(whole, few)
    nothing = mask_loss(logits[:0], bitmaps, boxes, targets._replace(classes=-targets.classes * 0 - 1), rows[:0])
    nothing.backward()
    assert nothing == 0


def test_the_rows_that_are_found_are_enough_for_masks() -> None:
    logits, *_ = random_targets()
    labels = torch.tensor([[1, 0, -1], [-1, -1, -1]])
    rows = torch.tensor([0, 1])
    whole, few = mask_probabilities(logits, labels), mask_probabilities(logits[rows], labels, rows)
    assert torch.equal(whole[0, :2], few[0, :2])
    assert whole.shape == few.shape
    assert mask_probabilities(logits[:0], labels, rows[:0]).shape == whole.shape


def test_the_head_writes_over_nothing_that_somebody_sees() -> None:
    torch.manual_seed(0)
    head, x = MaskHead(8, 8, 3).double(), torch.randn(40, 8, 14, 14).double()
    assert x.numel() > LARGE
    plain = head.predictor(torch.relu(head.deconv(head.convs(x)))).float()
    before = x.clone()
    found = head(x)
    torch.testing.assert_close(found, plain)
    assert torch.equal(x, before)
    kept = []
    hooks = [
        layer.register_forward_hook(lambda *given: kept.append(given[-1])) for layer in (head.convs[0], head.deconv)
    ]
    torch.testing.assert_close(head(x), plain)
    assert all(bool((each < 0).any()) for each in kept)
    for hook in hooks:
        hook.remove()
    gradients = [torch.autograd.grad(y.square().sum(), list(head.parameters())) for y in (found, plain)]
    for own, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(own, expected, rtol=1e-5, atol=1e-5)
