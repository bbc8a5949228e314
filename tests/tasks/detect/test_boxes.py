"""Anchors and boxes against detectron2's numbers, and what must hold of any boxes."""

import math

import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st

from dorsal.tasks.detect.anchors import make_anchors
from dorsal.tasks.detect.boxes import LARGEST_GROWTH, Coder, area, clip, has_area, iou
from tests.tasks.detect.golden import assert_boxes, assert_near, read_golden

INF, NAN = math.inf, math.nan


def random_boxes(*shape, seed=0):
    corners = 100 * torch.rand(*shape, 2, 2, generator=torch.Generator().manual_seed(seed))
    return torch.cat((corners.amin(-2), corners.amax(-2)), -1)


def test_anchors_equal_detectron2(real_data):
    golden = read_golden(real_data, "det_anchors")
    for level, (stride, grid, (side,)) in enumerate(
        zip(golden.config["strides"], golden.config["grids"], golden.config["sizes"], strict=True)
    ):
        assert_boxes(make_anchors(tuple(grid), stride, side / stride), golden.out[f"fpn.p{level + 2}"])


def test_anchors_by_hand():
    found = make_anchors((2, 3), 4, 2.0)
    assert found.shape == (18, 4)
    wide, tall = 8 * math.sqrt(2), 4 * math.sqrt(2)
    assert torch.allclose(found[0], torch.tensor([-wide / 2, -tall / 2, wide / 2, tall / 2]))
    assert found[1].tolist() == [-4, -4, 4, 4]
    assert found[4].tolist() == [0, -4, 8, 4]  # one position to the right
    assert found[10].tolist() == [-4, 0, 4, 8]  # one down
    assert torch.allclose(area(found), torch.tensor(64.0))


def test_coder_equals_detectron2(real_data):
    golden = read_golden(real_data, "det_box_coder")
    boxes, targets = golden.inputs["boxes"], golden.inputs["targets"]
    for turn, weights in enumerate(golden.config["weights"]):
        coder = Coder(tuple(weights))
        assert_near(coder.encode(boxes, targets), golden.out[f"encoded_{turn}"])
        assert_boxes(coder.decode(boxes, golden.inputs["deltas"]), golden.out[f"decoded_{turn}"])
        per_class = coder.decode(boxes[:, None], golden.inputs["deltas_per_class"].view(30, 5, 4))
        assert_boxes(per_class.flatten(1), golden.out[f"decoded_per_class_{turn}"])
        assert_boxes(coder.decode(boxes, coder.encode(boxes, targets)), golden.out[f"roundtrip_{turn}"])
    assert pytest.approx(golden.config["scale_clamp"]) == LARGEST_GROWTH


SIDE = st.floats(0.5, 500)
WEIGHT = st.floats(0.5, 30)


@settings(max_examples=40)
@given(st.tuples(*[st.floats(-300, 300)] * 4), st.tuples(*[SIDE] * 4), st.tuples(*[WEIGHT] * 4))
def test_decoding_undoes_encoding(corners, sides, weights):
    x, y, to_x, to_y = corners
    box = torch.tensor([x, y, x + sides[0], y + sides[1]], dtype=torch.float64)
    target = torch.tensor(
        [to_x, to_y, to_x + min(sides[2], 60 * sides[0]), to_y + min(sides[3], 60 * sides[1])]
    ).double()
    coder = Coder(weights)
    assert torch.allclose(coder.decode(box, coder.encode(box, target)), target, atol=1e-6)


def test_overlaps_equal_torchvision():
    first, second = random_boxes(3, 20), random_boxes(3, 7, seed=1)
    first[0, :2] = torch.tensor([[5.0, 5, 5, 9], [0, 0, 0, 0]])  # without area
    expected = torch.stack([torchvision.ops.box_iou(a, b) for a, b in zip(first, second, strict=True)])
    assert torch.allclose(iou(first, second), expected)
    assert float(iou(first[:1, 1:2], first[:1, 1:2])) == 0


def test_overlaps_equal_detectron2(real_data):
    golden = read_golden(real_data, "det_matcher")
    assert_near(iou(golden.inputs["gt_boxes"], golden.inputs["boxes"]), golden.out["iou"])


def test_clipping_moves_corners_into_the_image_of_each():
    boxes = torch.tensor([[-3.0, 2, 300, 50], [20, 30, 40, 60], [-9, -9, -1, -1]])
    found = clip(torch.stack((boxes, boxes)), torch.tensor([[40, 100], [200, 10]]))
    assert found[0].tolist() == [[0, 2, 100, 40], [20, 30, 40, 40], [0, 0, 0, 0]]
    assert found[1].tolist() == [[0, 2, 10, 50], [10, 30, 10, 60], [0, 0, 0, 0]]
    per_class = clip(boxes.expand(2, 5, 3, 4), torch.tensor([[40, 100], [200, 10]]))
    assert torch.equal(per_class[:, 4], found)


def test_boxes_with_area():
    boxes = torch.tensor([[0.0, 0, 1, 1], [0, 0, 0, 1], [0, 0, 1, 0], [2, 0, 1, 1], [0, 0, INF, 1], [NAN, 0, 1, 1]])
    assert has_area(boxes).tolist() == [True, False, False, False, False, False]
