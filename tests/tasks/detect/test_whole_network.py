"""A whole Cascade Mask R-CNN put together from our parts, against detectron2's numbers."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dorsal.nn.fpn import FeaturePyramid
from dorsal.spec.layers import Feature
from dorsal.tasks.detect.boxes import clip
from dorsal.tasks.detect.cascade import CascadeHeads
from dorsal.tasks.detect.heads import LinearHead, detect, match_boxes, sample_boxes, with_objects
from dorsal.tasks.detect.masks import MaskHead, mask_loss, mask_probabilities, paste
from dorsal.tasks.detect.match import draw_numbers, sample
from dorsal.tasks.detect.pool import RoiPool
from dorsal.tasks.detect.rpn import RpnHead, match_anchors, propose, rpn_losses
from tests.tasks.detect.golden import assert_boxes, assert_gradient, assert_near, fill, in_double, read_golden
from tests.tasks.detect.test_cascade import NAMES as CASCADE
from tests.tasks.detect.test_rpn import NAMES as RPN

WIDTHS = (8, 12, 16, 24)
STRIDES = (4, 8, 16, 32)


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.ModuleList(
            nn.Conv2d(before, width, 3, stride, 1)
            for before, width, stride in zip((3, *WIDTHS), WIDTHS, (4, 2, 2, 2), strict=False)
        )
        self.neck = FeaturePyramid([Feature(f"c{s}", w, s) for s, w in zip(STRIDES, WIDTHS, strict=True)], 16)
        self.rpn = RpnHead(16, (*STRIDES, 64), 4.0)
        self.cascade = CascadeHeads([LinearHead(16, 32) for _ in range(3)], 32, 5)
        self.masks = MaskHead(16, 16, 5)
        self.masks.convs = self.masks.convs[:4]  # the reference has two convolutions

    def forward(self, x):
        maps = []
        for conv in self.body:
            x = F.relu(conv(x))
            maps.append(x)
        return self.neck(maps)


def names():
    found = {f"body.{i}": f"backbone.bottom_up.conv{i + 2}" for i in range(4)}
    found |= {
        f"neck.{ours}.{i}": f"backbone.fpn_{ours[:-1]}{i + 2}" for i in range(4) for ours in ("laterals", "outputs")
    }
    found |= {f"rpn.{ours}": f"proposal_generator.rpn_head.{theirs}" for ours, theirs in RPN.items()}
    found |= {f"cascade.{ours}": f"roi_heads.{theirs}" for ours, theirs in CASCADE.items()}
    heads = {"convs.0": "mask_fcn1", "convs.2": "mask_fcn2", "deconv": "deconv", "predictor": "predictor"}
    return found | {f"masks.{ours}": f"roi_heads.mask_head.{theirs}" for ours, theirs in heads.items()}


@pytest.fixture
def golden(real_data):
    return read_golden(real_data, "e2e_panoptic_cascade")


@pytest.fixture
def network(golden):
    network = Network()
    fill(network, golden.weights, names())
    return network


@pytest.fixture
def images(golden):
    """The two images with the mean subtracted, padded with zeros to 160 x 192."""
    batch = torch.zeros(2, 3, 160, 192)
    for index in range(2):
        image = golden.inputs[f"image_{index}"].float()
        mean = torch.tensor(golden.config["pixel_mean"])[:, None, None]
        batch[index, :, : image.shape[1], : image.shape[2]] = image - mean
    return batch


def pool(size):
    return RoiPool(STRIDES, size, 224, samples=0)


@torch.no_grad()
def test_detections_and_masks_equal_detectron2(golden, network, images):
    sizes = torch.tensor(golden.config["image_sizes"])
    maps = network(images)
    proposals = propose(network.rpn(maps), sizes, 40, 40)
    assert proposals.valid.all()
    probabilities, boxes, valid = network.cascade.predict(maps[:4], pool(7), proposals.boxes, proposals.valid, sizes)
    found = detect(probabilities, boxes, valid, golden.config["topk"])
    masks = mask_probabilities(network.masks(pool(14)(maps[:4], found.boxes)), found.labels)
    for image, out_size in enumerate(golden.config["output_sizes"]):
        assert_boxes(proposals.boxes[image], golden.out[f"proposals_{image}"])
        assert_near(probabilities[image], golden.out[f"mean_probabilities_{image}"])
        last = clip(golden.out[f"last_stage_boxes_{image}"][None], sizes[image : image + 1])[0]
        assert_boxes(boxes[image, :, 0], last)
        height, width = golden.config["image_sizes"][image]
        scale = torch.tensor([out_size[1] / width, out_size[0] / height]).repeat(2)
        at_output = clip((found.boxes[image] * scale)[None], torch.tensor([out_size]))[0]
        assert_boxes(at_output, golden.out[f"boxes_{image}"])
        assert_near(found.scores[image], golden.out[f"scores_{image}"])
        assert torch.equal(found.labels[image], golden.out[f"classes_{image}"])
        different = paste(masks[image], at_output, tuple(out_size)) != golden.out[f"masks_{image}"].bool()
        assert different.float().mean() <= 1e-3


def test_losses_equal_detectron2(golden, network, images):
    golden, network, images = in_double(golden), network.double(), images.double()
    sizes = torch.tensor(golden.config["image_sizes"])
    objects, labels = (
        torch.stack([golden.inputs[f"gt_{name}_{i}"] for i in range(2)]) for name in ("boxes", "classes")
    )
    bitmaps = torch.zeros(2, 4, 160, 192, dtype=torch.uint8)
    for index, (height, width) in enumerate(golden.config["image_sizes"]):
        bitmaps[index, :, :height, :width] = golden.inputs[f"gt_masks_{index}"]
    maps = network(images)
    levels = network.rpn(maps)
    anchors = torch.cat([level.anchors for level in levels])
    matched = match_anchors(anchors, objects, labels)
    # The samples are larger than what there is, so that all are taken and nothing is left to chance.
    chosen = sample(matched.label, draw_numbers(anchors.expand(2, -1, 4)), 8192, 0.5)
    losses = rpn_losses(levels, matched, chosen, objects, 8192)
    proposals = propose(levels, sizes, 60, 60)
    boxes, valid = with_objects(proposals.boxes, proposals.valid, objects, labels)
    targets = match_boxes(boxes, valid, objects, labels, 0.5, 5)
    boxes, targets = sample_boxes(boxes, targets, draw_numbers(boxes), 2000, 5)
    assert (targets.classes >= 0).sum(1).tolist() == golden.values["rois_per_stage"][0]
    losses |= network.cascade.losses(maps[:4], pool(7), boxes, targets, objects, labels, sizes)
    losses["mask"] = mask_loss(network.masks(pool(14)(maps[:4], boxes)), bitmaps, boxes, targets)
    stored = golden.values["losses"]
    expected = {"objectness": stored["loss_rpn_cls"], "rpn box": stored["loss_rpn_loc"], "mask": stored["loss_mask"]}
    for stage in range(3):
        expected[f"class {stage + 1}"] = stored[f"loss_cls_stage{stage}"]
        expected[f"box {stage + 1}"] = stored[f"loss_box_reg_stage{stage}"]
    assert {name: loss.item() for name, loss in losses.items()} == pytest.approx(expected, rel=1e-5)
    sum(losses.values()).backward()
    for part in ("weight", "bias"):
        gradient = network.masks.predictor.get_parameter(part).grad
        assert_gradient(gradient, golden.out[f"grad.w.roi_heads.mask_head.predictor.{part}"])
    norms = golden.values["gradient_norms"]
    for ours, theirs in names().items():
        if "backbone" not in theirs:  # that has the gradient of the semantic loss too
            for part, parameter in network.get_submodule(ours).named_parameters(recurse=False):
                assert parameter.grad.norm().item() == pytest.approx(norms[f"{theirs}.{part}"], rel=1e-4)


class Inference(nn.Module):
    """From an image to detections and their masks."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images):
        network = self.network
        sizes = torch.tensor([[96, 120]])
        maps = network(images)
        proposals = propose(network.rpn(maps), sizes, 60, 40)
        boxes = proposals.boxes, proposals.valid
        found = detect(*network.cascade.predict(maps[:4], RoiPool(STRIDES, 7, 56), *boxes, sizes), 20)
        logits = network.masks(RoiPool(STRIDES, 14, 56)(maps[:4], found.boxes))
        return *found, mask_probabilities(logits, found.labels)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.create_unbacked_symint. is deprecated:FutureWarning")  # torchvision's
def test_export_gives_what_the_modules_give():
    torch.manual_seed(0)
    inference = Inference(Network()).eval()
    for parameter in inference.parameters():
        nn.init.normal_(parameter, std=0.1)  # far from the start, so that boxes and scores differ
    images = torch.randn(1, 3, 96, 128)
    with torch.no_grad():
        program = torch.export.export(inference, (images,)).module()
        for x in (images, images.flip(3)):
            boxes, scores, labels, masks = inference(x)
            assert boxes.shape == (1, 20, 4)
            assert masks.shape == (1, 20, 28, 28)
            found = program(x)
            torch.testing.assert_close(found[0], boxes, rtol=0, atol=0.01)
            torch.testing.assert_close(found[1], scores, rtol=0, atol=1e-4)
            assert torch.equal(found[2], labels)
            torch.testing.assert_close(found[3], masks, rtol=0, atol=1e-4)
        assert (inference(images)[1] > 0).any()
