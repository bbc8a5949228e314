"""Box heads against detectron2's numbers, and detections on sets that are not full."""

import math

import pytest
import torch
import torchvision
from torch import nn
from torch.nn.functional import pad

from dorsal.tasks.detect import heads
from dorsal.tasks.detect.boxes import Coder, clip
from dorsal.tasks.detect.heads import (
    ConvHead,
    LinearHead,
    Predictor,
    RoiTargets,
    box_losses,
    detect,
    match_boxes,
    sample_boxes,
    with_objects,
)
from dorsal.tasks.detect.match import draw_numbers
from dorsal.tasks.detect.pool import RoiPool
from tests.tasks.detect.golden import (
    assert_boxes,
    assert_gradient,
    assert_near,
    fill,
    gradients_of,
    in_double,
    read_golden,
)

NAMES = {
    "0.fc1": "box_head.fc1",
    "0.fc2": "box_head.fc2",
    "1.classes": "box_predictor.cls_score",
    "1.deltas": "box_predictor.bbox_pred",
}
POOL = RoiPool((4, 8, 16, 32), 7, 56, samples=0)


@pytest.fixture
def golden(real_data):
    return read_golden(real_data, "det_fast_rcnn")


@pytest.fixture
def head(golden):
    head = nn.Sequential(LinearHead(16, 64), Predictor(64, 5, 5))
    fill(head, golden.weights, NAMES)
    return head


@pytest.fixture
def maps(golden):
    return maps_of(golden)


def maps_of(golden):
    return [golden.inputs[f"p{level}"].requires_grad_() for level in range(2, 6)]


def padded(rows, length, value=0):
    """Tensors of several lengths as one set, and which of its places are real."""
    valid = torch.stack([torch.arange(length) < len(row) for row in rows])
    return torch.stack([pad(row, (0, 0) * (row.ndim - 1) + (0, length - len(row)), value=value) for row in rows]), valid


def stored_boxes(golden):
    return padded([golden.inputs["proposals_0"], golden.inputs["proposals_1"]], 36)


def stored_objects(golden, case):
    """Objects and labels of both images; in case b the second has none."""
    some = slice(None) if case == "a" else slice(0)
    objects, _ = padded([golden.inputs["gt_boxes_0"], golden.inputs["gt_boxes_1"][some]], 6)
    labels, _ = padded([golden.inputs["gt_classes_0"], golden.inputs["gt_classes_1"][some]], 6, -1)
    return objects, labels


def test_predictions_equal_detectron2(golden, head, maps):
    boxes, valid = stored_boxes(golden)
    logits, deltas = head(POOL(maps, boxes))
    assert_near(logits[valid.flatten()], golden.out["class_logits"])
    assert_near(deltas[valid.flatten()].flatten(1), golden.out["deltas"])


@pytest.mark.parametrize("case", ["a", "b"])
def test_losses_equal_detectron2(golden, head, case):
    golden = in_double(golden)
    maps = maps_of(golden)
    head.double()
    objects, labels = stored_objects(golden, case)
    boxes, valid = with_objects(*stored_boxes(golden), objects, labels)
    targets = match_boxes(boxes, valid, objects, labels, golden.config["iou"], 5)
    places = []
    for image in range(2):
        own = valid[image].nonzero().flatten()  # the reference has no places without a box
        assert torch.equal(targets.classes[image][own], golden.out[f"{case}.all_classes_{image}"])
        assert torch.equal(targets.place[image][own], golden.out[f"{case}.all_matched_{image}"])
        places.append(own[golden.inputs[f"sample_{case}_{image}"]])
    unused = (~valid).byte().argmax(1, keepdim=True)  # one box more that takes no part
    place = torch.cat((torch.stack(places), unused), 1)
    chosen = boxes.gather(1, place[..., None].expand(-1, -1, 4))
    targets = match_boxes(chosen, valid.gather(1, place), objects, labels, golden.config["iou"], 5)
    losses = box_losses(*head(POOL(maps, chosen)), chosen, targets, Coder((10, 10, 5, 5)))
    assert losses["class"].item() == pytest.approx(golden.values[case]["loss_cls"], rel=1e-5)
    assert losses["box"].item() == pytest.approx(golden.values[case]["loss_box_reg"], rel=1e-5)
    sum(losses.values()).backward()
    found = {name: gradient for name, gradient in gradients_of(head, NAMES).items() if name != "box_head.fc1.weight"}
    assert len(found) == 7
    for name, gradient in found.items():
        assert_gradient(gradient, golden.out[f"{case}.grad.w.{name}"])
    for level in (3, 4, 5):
        assert_gradient(maps[level - 2].grad, golden.out[f"{case}.grad.p{level}"])


def test_our_sample_has_the_stored_numbers_of_each_kind(golden):
    for case in ("a", "b"):
        objects, labels = stored_objects(golden, case)
        boxes, valid = with_objects(*stored_boxes(golden), objects, labels)
        targets = match_boxes(boxes, valid, objects, labels, 0.5, 5)
        chosen, found = sample_boxes(boxes, targets, draw_numbers(boxes), 24, 5)
        assert chosen.shape == (2, 24, 4)
        assert (found.classes >= 0).all()
        positive = found.classes < 5
        assert positive.sum(1).tolist() == golden.values[case]["foreground"]
        assert not positive[:, 6:].any()
        again = match_boxes(chosen, found.classes >= 0, objects, labels, 0.5, 5)
        for ours, theirs in zip(found, again, strict=True):
            assert torch.equal(ours, theirs)


@pytest.mark.parametrize(("kind", "number"), [("detections", 100), ("top", 7)])
@pytest.mark.parametrize("candidates", [1000, 8])
def test_detections_equal_detectron2(golden, head, maps, kind, number, candidates, monkeypatch):
    monkeypatch.setattr(heads, "CANDIDATES", candidates)
    boxes, valid = stored_boxes(golden)
    logits, deltas = (x.unflatten(0, (2, -1)) for x in head(POOL(maps, boxes)))
    probabilities = logits.softmax(-1)
    decoded = Coder((10, 10, 5, 5)).decode(boxes[:, :, None], deltas)
    for image in range(2):
        assert_near(probabilities[image][valid[image]], golden.out[f"probabilities_{image}"])
        assert_boxes(decoded[image][valid[image]].flatten(1), golden.out[f"decoded_{image}"])
    found = detect(probabilities, clip(decoded, torch.tensor(golden.config["image_sizes"])), valid, number)
    assert found.boxes.shape == (2, number, 4)
    for image in range(2):
        count = len(golden.out[f"{kind}.scores_{image}"])
        assert_boxes(found.boxes[image, :count], golden.out[f"{kind}.boxes_{image}"])
        assert_near(found.scores[image, :count], golden.out[f"{kind}.scores_{image}"])
        assert torch.equal(found.labels[image, :count], golden.out[f"{kind}.classes_{image}"])
        assert (found.scores[image, count:] == -1).all()
        assert (found.labels[image, count:] == -1).all()


def test_head_of_convolutions_equals_detectron2(real_data):
    golden = read_golden(real_data, "det_box_head_4conv1fc")
    head = ConvHead(16, 32, 32)
    names = {f"convs.{i}.0": f"conv{i + 1}" for i in range(4)} | {"fc": "fc1"}
    fill(head, golden.weights, names | {f"convs.{i}.1": f"conv{i + 1}.norm" for i in range(4)})
    assert_near(head(golden.inputs["pooled"]), golden.out["features"])


def crowded(seed, classes=3):
    """Boxes in two places and 900 more, so that hundreds are suppressed before the hundredth survives."""
    random = torch.Generator().manual_seed(seed)
    corner = torch.cat(
        (torch.tensor([[10.0, 10], [50, 50]]).repeat(300, 1), 200 * torch.rand(900, 2, generator=random))
    )
    boxes = torch.cat((corner, corner + 20 + torch.rand(1500, 2, generator=random)), 1)
    probabilities = torch.rand(1500, classes + 1, generator=random)
    probabilities[:600] += 1
    return boxes[None, :, None], probabilities[None]


@pytest.mark.parametrize("number", [5, 100, 600])
def test_doubling_gives_what_all_candidates_give(number, monkeypatch):
    boxes, probabilities = crowded(0)
    every = torch.ones(1, 1500, dtype=torch.bool)
    found = detect(probabilities, boxes, every, number)
    monkeypatch.setattr(heads, "CANDIDATES", 10**6)
    expected = detect(probabilities, boxes, every, number)
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.equal(ours, theirs)
    flat, scores = boxes.expand(1, 1500, 3, 4).reshape(-1, 4), probabilities[..., :3].flatten()
    label = torch.arange(3).repeat(1500)
    kept = torchvision.ops.boxes._batched_nms_vanilla(flat, scores, label, 0.5)[:number]
    assert torch.equal(found.boxes[0, : len(kept)], flat[kept])
    assert torch.equal(found.labels[0, : len(kept)], label[kept])


def test_of_equal_scores_the_first_wins():
    boxes = torch.tensor([[[0.0, 0, 10, 10], [1, 0, 11, 10], [30, 30, 40, 40]]]).repeat(1, 700, 1)
    probabilities = torch.tensor([[[1.0, 0.0]]]).expand(1, 2100, 2)
    found = detect(probabilities, boxes[:, :, None], torch.ones(1, 2100, dtype=torch.bool), 3)
    assert found.boxes[0, :2].tolist() == [[0, 0, 10, 10], [30, 30, 40, 40]]
    assert found.scores.tolist() == [[1, 1, -1]]


def test_what_is_unfit_is_not_detected():
    probabilities = torch.tensor([[[0.9, 0.05, 0.05], [0.8, 0.1, 0.1], [math.nan, 0.2, 0.1], [0.7, 0.2, 0.1]]])
    boxes = torch.tensor([[[0.0, 0, 9, 9], [20, 20, 30, 30], [40, 40, 50, 50], [60, 60, 70, math.inf]]])[:, :, None]
    found = detect(probabilities, boxes, torch.tensor([[True, False, True, True]]), 3)
    assert found.scores.tolist() == [pytest.approx([0.9, 0.2, -1])]
    assert found.labels.tolist() == [[0, 1, -1]]
    nothing = detect(probabilities, boxes, torch.zeros(1, 4, dtype=torch.bool), 3)
    assert nothing.scores.tolist() == [[-1, -1, -1]]
    assert not nothing.boxes.any()
    none = detect(probabilities[:, :0], boxes[:, :0], torch.zeros(1, 0, dtype=torch.bool), 3)
    assert none.scores.tolist() == [[-1, -1, -1]]


def test_boxes_for_all_classes_learn_as_one_group():
    torch.manual_seed(0)
    logits, deltas = torch.randn(3, 4), torch.randn(3, 1, 4)
    boxes = torch.tensor([[[0.0, 0, 10, 10], [5, 5, 20, 20], [1, 1, 1, 1]]])
    targets = RoiTargets(torch.tensor([[2, 3, -1]]), torch.zeros(1, 3).long(), boxes + 1)
    coder = Coder((10, 10, 5, 5))
    losses = box_losses(logits, deltas, boxes, targets, coder)
    assert torch.allclose(losses["class"], nn.functional.cross_entropy(logits[:2], torch.tensor([2, 3])))
    wanted = coder.encode(boxes[0, :1], boxes[0, :1] + 1)
    assert torch.allclose(losses["box"], (deltas[0] - wanted).abs().sum() / 2)


def test_no_box_takes_part():
    logits, deltas = torch.randn(2, 4, requires_grad=True), torch.randn(2, 3, 4, requires_grad=True)
    boxes = torch.zeros(1, 2, 4)
    targets = RoiTargets(torch.full((1, 2), -1), torch.zeros(1, 2).long(), boxes)
    losses = box_losses(logits, deltas, boxes, targets, Coder((10, 10, 5, 5)))
    sum(losses.values()).backward()
    assert sum(losses.values()) == 0
    assert not logits.grad.any()
    assert not deltas.grad.any()


def test_weights_start_as_in_detectron2():
    torch.manual_seed(0)
    predictor = Predictor(200, 20, 20)
    assert predictor.classes.weight.std().item() == pytest.approx(0.01, rel=0.05)
    assert predictor.deltas.weight.std().item() == pytest.approx(0.001, rel=0.05)
    conv = ConvHead(64, 64, 128).convs[0][0]
    assert conv.weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.05)
    assert LinearHead(64, 100).fc1.weight.std().item() == pytest.approx((1 / (64 * 49)) ** 0.5, rel=0.05)


class Detecting(nn.Module):
    def forward(self, probabilities, boxes, valid):
        return tuple(detect(probabilities, boxes, valid, 100))


@pytest.mark.filterwarnings("ignore:.create_unbacked_symint. is deprecated:FutureWarning")  # torchvision's
def test_exports_with_a_fixed_size():
    boxes, probabilities = crowded(1)
    inputs = (probabilities[:, 550:700].clone(), boxes[:, 550:700].clone(), torch.ones(1, 150, dtype=torch.bool))
    program = torch.export.export(Detecting(), inputs)
    other = (probabilities[:, 1000:1150], boxes[:, 1000:1150], torch.arange(150)[None] < 90)
    for given in (inputs, other):
        for found, expected in zip(program.module()(*given), Detecting()(*given), strict=True):
            torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("make", [lambda: LinearHead(4, 6, 7), lambda: ConvHead(4, 4, 6, 7)])
def test_maps_of_either_layout_are_flattened_alike(make):
    torch.manual_seed(0)
    head, x = make().double(), torch.randn(20, 4, 7, 7).double()
    assert x.numel() > 4 * 49 * 6  # so that the weight is laid out anew
    last = x.to(memory_format=torch.channels_last)
    results = [head(x), head(last)]
    torch.testing.assert_close(*results)
    gradients = [torch.autograd.grad(y.square().sum(), list(head.parameters())) for y in results]
    for contiguous, other in zip(*gradients, strict=True):
        torch.testing.assert_close(contiguous, other)
    seen = []
    layer = head.fc1 if isinstance(head, LinearHead) else head.fc
    layer.register_forward_hook(lambda *given: seen.append(given[1][0].shape))
    torch.testing.assert_close(head(last), results[0])
    assert seen == [(20, 196)]
