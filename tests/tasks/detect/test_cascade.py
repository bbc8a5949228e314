"""The cascade against detectron2's numbers."""

import math

import pytest
import torch

from dorsal.tasks.detect.boxes import clip
from dorsal.tasks.detect.cascade import CODERS, THRESHOLDS, CascadeHeads
from dorsal.tasks.detect.heads import LinearHead, RoiTargets, detect, match_boxes, with_objects
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
from tests.tasks.detect.test_heads import padded, stored_objects

NAMES = {
    f"stages.{stage}.{ours}": f"{module}.{stage}.{theirs}"
    for stage in range(3)
    for ours, module, theirs in (
        ("0.fc1", "box_head", "fc1"),
        ("0.fc2", "box_head", "fc2"),
        ("1.classes", "box_predictor", "cls_score"),
        ("1.deltas", "box_predictor", "bbox_pred"),
    )
}


@pytest.fixture
def golden(real_data):
    return read_golden(real_data, "det_cascade")


@pytest.fixture
def cascade(golden):
    cascade = CascadeHeads([LinearHead(16, 64) for _ in range(3)], 64, 5)
    fill(cascade, golden.weights, NAMES)
    return cascade


@pytest.fixture
def maps(golden):
    return maps_of(golden)


def maps_of(golden):
    return [golden.inputs[f"p{level}"].requires_grad_() for level in range(2, 6)]


class Pool:
    """RoIAlign as detectron2 uses it, that remembers the boxes of each stage."""

    def __init__(self):
        self.seen = []

    def __call__(self, maps, boxes):
        self.seen.append(boxes)
        return RoiPool((4, 8, 16, 32), 7, 56, samples=0)(maps, boxes)

    def parts(self, maps, boxes):
        return [self(maps, boxes)]


def stored_boxes(golden):
    return padded([golden.inputs["proposals_0"], golden.inputs["proposals_1"]], 34)


def test_settings_are_detectron2s(golden):
    assert [list(coder.weights) for coder in CODERS] == golden.config["coder_weights"]
    assert list(THRESHOLDS) == golden.config["ious"]


def test_predictions_equal_detectron2(golden, cascade, maps):
    boxes, valid = stored_boxes(golden)
    sizes = torch.tensor(golden.config["image_sizes"])
    said, pool = [], Pool()
    for stage in cascade.stages:
        stage.register_forward_hook(lambda _module, _given, found: said.append(found))
    probabilities, found, still_valid = cascade.predict(maps, pool, boxes, valid, sizes)
    assert torch.equal(still_valid, valid)
    assert len(said) == len(pool.seen) == 3
    for stage, (logits, deltas) in enumerate(said):
        stored = {name: golden.out[f"test.stage{stage}.{name}"] for name in ("class_logits", "deltas")}
        assert_near(logits[valid.flatten()], stored["class_logits"])
        assert_near(deltas[valid.flatten()].flatten(1), stored["deltas"])
        for image in range(2):
            assert_boxes(pool.seen[stage][image][valid[image]], golden.out[f"test.stage{stage}.input_boxes_{image}"])
            own = logits.softmax(-1).unflatten(0, (2, -1))[image][valid[image]]
            assert_near(own, golden.out[f"test.stage{stage}.probabilities_{image}"])
    detections = detect(probabilities, found, valid, golden.config["topk"])
    for image in range(2):
        assert_near(probabilities[image][valid[image]], golden.out[f"test.mean_probabilities_{image}"])
        stored = clip(golden.out[f"test.final_decoded_{image}"][None], sizes[image : image + 1])[0]
        assert_boxes(found[image, :, 0][valid[image]], stored)
        count = golden.values["detections"][image]
        assert_boxes(detections.boxes[image, :count], golden.out[f"test.boxes_{image}"])
        assert_near(detections.scores[image, :count], golden.out[f"test.scores_{image}"])
        assert torch.equal(detections.labels[image, :count], golden.out[f"test.classes_{image}"])
        assert (detections.scores[image, count:] == -1).all()


def first_sample(golden, case):
    """The stored sample of the first stage with one place that takes no part, and the objects."""
    objects, labels = stored_objects(golden, case)
    boxes, valid = with_objects(*stored_boxes(golden), objects, labels)
    places = [valid[image].nonzero().flatten()[golden.inputs[f"sample_{case}_{image}"]] for image in range(2)]
    place = torch.cat((torch.stack(places), (~valid).byte().argmax(1, keepdim=True)), 1)
    chosen = boxes.gather(1, place[..., None].expand(-1, -1, 4))
    targets = match_boxes(chosen, valid.gather(1, place), objects, labels, 0.5, 5)
    return chosen, targets, objects, labels


@pytest.mark.parametrize("case", ["a", "b"])
def test_losses_equal_detectron2(golden, cascade, case, monkeypatch):
    golden = in_double(golden)
    maps = maps_of(golden)
    cascade.double()
    boxes, first, objects, labels = first_sample(golden, case)
    seen, pool = [first], Pool()

    def matching(*given):
        seen.append(match_boxes(*given))
        return seen[-1]

    monkeypatch.setattr("dorsal.tasks.detect.cascade.match_boxes", matching)
    sizes = torch.tensor(golden.config["image_sizes"])
    losses = cascade.losses(maps, pool, boxes, first, objects, labels, sizes)
    stored = golden.values[case]
    for stage in range(3):
        assert losses[f"class {stage + 1}"].item() == pytest.approx(stored[f"loss_cls_stage{stage}"], rel=1e-5)
        assert losses[f"box {stage + 1}"].item() == pytest.approx(stored[f"loss_box_reg_stage{stage}"], rel=1e-5)
        for image in range(2):
            part = seen[stage].classes[image] >= 0
            assert int(part.sum()) == stored["rois"][stage][image]
            assert_boxes(pool.seen[stage][image][part], golden.out[f"{case}.stage{stage}.boxes_{image}"])
            assert torch.equal(seen[stage].classes[image][part], golden.out[f"{case}.stage{stage}.classes_{image}"])
            if f"{case}.stage{stage}.gt_boxes_{image}" in golden.out and (labels[image] >= 0).any():
                assert_boxes(seen[stage].boxes[image][part], golden.out[f"{case}.stage{stage}.gt_boxes_{image}"])
    sum(losses.values()).backward()
    found = {name: own for name, own in gradients_of(cascade, NAMES).items() if "fc1.weight" not in name}
    assert len(found) == 21
    for name, gradient in found.items():
        assert_gradient(gradient, golden.out[f"{case}.grad.w.{name}"])
    for level in (2, 3, 4, 5) if case == "a" else (3, 4, 5):
        assert_gradient(maps[level - 2].grad, golden.out[f"{case}.grad.p{level}"])
    if case == "a":
        norms = golden.values["feature_gradient_norm"]
        for level in (2, 3, 4, 5):
            assert maps[level - 2].grad.norm().item() == pytest.approx(norms[f"p{level}"]["with_scale"], rel=1e-4)
        for stage, norm in enumerate(golden.values["fc1_weight_gradient_norm"]):
            gradient = cascade.stages[stage][0].fc1.weight.grad
            assert gradient.norm().item() == pytest.approx(norm["with_scale"], rel=1e-4)


def test_what_is_not_finite_is_not_detected_and_does_no_harm():
    torch.manual_seed(0)
    cascade = CascadeHeads([LinearHead(2, 4) for _ in range(3)], 4, 3)
    maps = [torch.rand(1, 2, 16 // s, 16 // s) for s in (1, 2, 4, 8)]
    boxes = torch.tensor([[[0.0, 0, 30, 30], [5, 5, 9, 9]]])
    pool = RoiPool((4, 8, 16, 32), 7, 56)
    with torch.no_grad():
        cascade.stages[1][1].deltas.bias[0] = math.nan
    everything = torch.ones(1, 2, dtype=torch.bool)
    _, found, valid = cascade.predict(maps, pool, boxes, everything, torch.tensor([[64, 64]]))
    assert not valid.any()
    assert not found.any()
    targets = RoiTargets(torch.tensor([[0, 3]]), torch.zeros(1, 2).long(), boxes)
    labels = torch.tensor([[0]])
    losses = cascade.losses(maps, pool, boxes, targets, boxes[:, :1], labels, torch.tensor([[64, 64]]))
    assert math.isfinite(losses["box 1"].item())
    assert math.isnan(losses["box 2"].item())  # so that the loop hears of it
    assert losses["class 3"] == 0


def test_another_number_of_heads_is_refused():
    with pytest.raises(ValueError, match="a cascade has 3 heads, not 2"):
        CascadeHeads([LinearHead(2, 4)] * 2, 4, 3)
