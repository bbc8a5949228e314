"""Checkpoints of torchvision and detectron2: detectron2's stored numbers, torchvision's modules, what is refused."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import yaml
from msgspec.structs import replace
from torch import Tensor, nn
from torchvision.models.detection import (
    FasterRCNN,
    MaskRCNN,
    fasterrcnn_resnet50_fpn,
    fasterrcnn_resnet50_fpn_v2,
    keypointrcnn_resnet50_fpn,
    maskrcnn_resnet50_fpn,
    retinanet_resnet50_fpn,
)
from torchvision.models.detection.backbone_utils import BackboneWithFPN, resnet_fpn_backbone
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet
from torchvision.ops import roi_align
from torchvision.ops.poolers import LevelMapper

from dorsal.spec.layers import Feature
from dorsal.spec.preprocessing import IMAGENET
from dorsal.spec.task import Detect
from dorsal.tasks.detect.boxes import clip, iou
from dorsal.tasks.detect.checkpoint_names import PACKAGES
from dorsal.tasks.detect.checkpoints import Entry, head_entries, load_detector, read_detector, translate
from dorsal.tasks.detect.detector import Detector
from dorsal.tasks.detect.masks import paste
from dorsal.tasks.detect.pool import RoiPool
from dorsal.zoo import network
from tests.tasks.detect.golden import Golden, assert_boxes, assert_near, read_golden

TORCHVISION, DETECTRON2 = PACKAGES
CLASSES, CHANNELS, HIDDEN = 5, 32, 64
NETS = {BasicBlock: "resnet18(depths=[1, 1, 1, 1])", Bottleneck: "resnet50(depths=[1, 1, 1, 1])"}
CONFIG = {"MODEL": {"RESNETS": {"STRIDE_IN_1X1": False}}}
SIZE = (128, 192)


# detectron2's own numbers


class Body(nn.Module):
    """The trunk of the stored network."""

    def __init__(self) -> None:
        super().__init__()
        widths, strides = (3, 8, 12, 16, 24), (4, 2, 2, 2)
        self.convs = nn.ModuleList(nn.Conv2d(widths[i], widths[i + 1], 3, strides[i], 1) for i in range(4))
        self.info = tuple(Feature(f"c{i + 2}", widths[i + 1], 4 << i) for i in range(4))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        maps = []
        for conv in self.convs:
            x = F.relu(conv(x))
            maps.append(x)
        return tuple(maps)


@pytest.fixture
def golden(real_data) -> Golden:
    return read_golden(real_data, "e2e_panoptic_cascade")


@torch.no_grad()
def test_a_network_of_detectron2_says_what_detectron2_says(golden: Golden) -> None:
    rpn = golden.config["rpn"]
    task = Detect(
        head="cascade",
        masks=True,
        channels=16,
        hidden=32,
        anchor=rpn["anchor_sizes"][0][0] / rpn["strides"][0],
        proposals=rpn["post_nms_topk"][1],
        samples=512,
        detections=golden.config["topk"],
    )
    detector = Detector(Body(), golden.config["num_classes"], task)
    assert detector.mask_head is not None
    detector.mask_head.convs = detector.mask_head.convs[:4]  # the reference has two convolutions
    detector.pool, detector.mask_pool = (RoiPool((4, 8, 16, 32), size, 224, samples=0) for size in (7, 14))
    weights = {name: t for name, t in golden.weights.items() if not name.startswith("sem_seg_head.")}
    body = [
        Entry(f"trunk.convs.{i}.{part}", name := f"backbone.bottom_up.conv{i + 2}.{part}", weights[name].shape, _same)
        for i in range(4)
        for part in ("weight", "bias")
    ]
    detector.load_state_dict(translate(weights, [*body, *head_entries(detector, DETECTRON2)], "the stored network"))

    images = torch.zeros(2, 3, 160, 192)
    for index, (height, width) in enumerate(golden.config["image_sizes"]):
        mean = torch.tensor(golden.config["pixel_mean"])[:, None, None]
        images[index, :, :height, :width] = golden.inputs[f"image_{index}"].float() - mean
    found = detector.eval()(images, torch.tensor(golden.config["image_sizes"]))
    for image, (size, out) in enumerate(zip(golden.config["image_sizes"], golden.config["output_sizes"], strict=True)):
        scale = torch.tensor([out[1] / size[1], out[0] / size[0]]).repeat(2)
        boxes = clip((found.boxes[image] * scale)[None], torch.tensor([out]))[0]
        assert_boxes(boxes, golden.out[f"boxes_{image}"])
        assert_near(found.scores[image], golden.out[f"scores_{image}"])
        assert torch.equal(found.labels[image], golden.out[f"classes_{image}"])
        different = paste(found.masks[image], boxes, tuple(out)) != golden.out[f"masks_{image}"].bool()
        assert different.float().mean() <= 1e-3


def test_the_semantic_head_of_the_stored_network_is_refused_by_name(golden: Golden) -> None:
    with pytest.raises(
        ValueError, match=r"has the semantic head .* cannot be loaded: sem_seg_head\.p2\.0\.norm\.bias,"
    ):
        load_detector(golden.weights, network("resnet50"), CONFIG)


def _same(tensor: Tensor) -> Tensor:
    return tensor


# torchvision's modules


def torchvision_rcnn(block: type = Bottleneck, masks: bool = False, **settings: Any) -> FasterRCNN:
    """A small R-CNN of torchvision with random weights and statistics, far from the start, so that scores differ."""
    torch.manual_seed(0)
    widths = [64 * block.expansion << level for level in range(4)]
    body = BackboneWithFPN(ResNet(block, [1, 1, 1, 1]), {f"layer{i + 1}": str(i) for i in range(4)}, widths, CHANNELS)
    heads: dict[str, Any] = {
        "box_head": TwoMLPHead(CHANNELS * 49, HIDDEN),
        "box_predictor": FastRCNNPredictor(HIDDEN, CLASSES + 1),
    }
    if masks:
        heads["mask_head"] = MaskRCNNHeads(CHANNELS, [CHANNELS] * 4, 1)
        heads["mask_predictor"] = MaskRCNNPredictor(CHANNELS, CHANNELS, CLASSES + 1)
    return scrambled((MaskRCNN if masks else FasterRCNN)(body, min_size=SIZE[0], max_size=SIZE[1], **heads, **settings))


def scrambled(model: FasterRCNN) -> FasterRCNN:
    """The model in evaluation mode with random statistics, and heads that say different things of different boxes."""
    for name, module in model.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.0)
            nn.init.normal_(module.bias, std=0.1)
        elif name.startswith("rpn.head.") and isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=0.28 / module.in_channels**0.5)
    predictor = model.roi_heads.box_predictor
    nn.init.normal_(predictor.cls_score.weight, std=2.4 / predictor.cls_score.in_features**0.5)
    nn.init.normal_(predictor.cls_score.bias, std=0.5)
    nn.init.normal_(predictor.bbox_pred.weight, std=0.8 / predictor.bbox_pred.in_features**0.5)
    return model.eval()


class AlignedPool(nn.Module):
    """RoIAlign by torchvision's operator, aligned, on the level that torchvision chooses."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, maps: dict[str, Tensor], boxes: list[Tensor], _: Any) -> Tensor:
        level = LevelMapper(2, 5, 224, 4)(boxes)
        image = torch.cat([torch.full((len(own), 1), float(i)) for i, own in enumerate(boxes)])
        rois = torch.cat((image, torch.cat(boxes)), 1)
        found = torch.zeros(len(rois), maps["0"].shape[1], self.size, self.size)
        for place in range(4):
            here = level == place
            found[here] = roi_align(maps[str(place)], rois[here], self.size, 1 / (4 << place), 2, aligned=True)
        return found


def align(model: FasterRCNN) -> FasterRCNN:
    """Puts aligned pooling and anchors that are not rounded into a model of torchvision."""
    model.roi_heads.box_roi_pool = AlignedPool(7)
    if model.roi_heads.has_mask():
        model.roi_heads.mask_roi_pool = AlignedPool(14)
    model.rpn.anchor_generator.cell_anchors = [
        torch.tensor([[-1 / r**0.5, -(r**0.5), 1 / r**0.5, r**0.5] for r in (0.5, 1.0, 2.0)]) * size / 2
        for size in (32, 64, 128, 256, 512)
    ]
    return model


def ask(model: FasterRCNN, detector: Detector, images: list[Tensor]) -> tuple[list[dict[str, Tensor]], Any]:
    """What both say of images in 0..1 whose sizes need no change."""
    mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGENET.mean, IMAGENET.std))
    batch = torch.zeros(len(images), 3, *SIZE)
    for index, image in enumerate(images):
        batch[index, :, : image.shape[1], : image.shape[2]] = (image - mean) / std
    # torchvision pastes masks, so its head is heard before that.
    masks: list[Tensor] = []
    if model.roi_heads.has_mask():
        model.roi_heads.mask_predictor.register_forward_hook(lambda _, __, logits: masks.append(logits.sigmoid()))
    with torch.no_grad():
        theirs = model(images)
        ours = detector(batch, torch.tensor([image.shape[1:] for image in images]))
    start = 0
    for said in theirs if masks else ():
        end = start + len(said["labels"])
        said["masks"] = masks[0][torch.arange(start, end), said["labels"]]
        start = end
    return theirs, ours


def images_of(*sizes: tuple[int, int]) -> list[Tensor]:
    random = torch.Generator().manual_seed(1)
    return [torch.rand(3, *size, generator=random) for size in sizes]


def few(block: type, masks: bool) -> tuple[FasterRCNN, Detector]:
    """A model of torchvision with few proposals and detections, and ours."""
    model = torchvision_rcnn(block, masks, rpn_post_nms_top_n_test=60, box_detections_per_img=30)
    model.rpn._pre_nms_top_n["testing"] = 60
    found = load_detector(model.state_dict(), network(NETS[block]))
    assert found.classes == CLASSES
    assert [note.split()[0] for note in found.notes] == ["labels", "RoIAlign", "anchors", "the"]
    return model, replace(found, task=replace(found.task, proposals=60, detections=30)).build()


@pytest.mark.parametrize(("block", "masks"), [(BasicBlock, False), (Bottleneck, True)])
def test_torchvision_says_the_same_once_it_is_aligned(block: type, masks: bool) -> None:
    model, detector = few(block, masks)
    images = images_of(SIZE, (128, 160))
    assert_not_far(*ask(model, detector, images))
    assert_same(*ask(align(model), detector, images))


def assert_same(theirs: list[dict[str, Tensor]], ours: Any) -> None:
    for image, said in enumerate(theirs):
        count = len(said["scores"])
        assert count > 10
        assert (ours.scores[image, count:] == -1).all()
        assert_boxes(ours.boxes[image, :count], said["boxes"])
        torch.testing.assert_close(ours.scores[image, :count], said["scores"], rtol=0, atol=1e-5)
        assert torch.equal(ours.labels[image, :count], said["labels"] - 1)
        if "masks" in said:
            torch.testing.assert_close(ours.masks[image, :count], said["masks"], rtol=0, atol=1e-5)


def assert_not_far(theirs: list[dict[str, Tensor]], ours: Any) -> None:
    """Most of torchvision's detections have one of the same class here that overlaps them, but not the same one."""
    overlaps, scores = [], []
    for image, said in enumerate(theirs):
        same = said["labels"][:, None] - 1 == ours.labels[image]
        best, place = torch.where(same, iou(said["boxes"], ours.boxes[image]), 0).max(1)
        overlaps.append(best)
        scores.append((said["scores"] - ours.scores[image][place]).abs()[best > 0.5])
    overlap, score = torch.cat(overlaps), torch.cat(scores)
    print(
        f"{len(overlap)} detections of torchvision as it comes: {(overlap > 0.5).float().mean():.0%} are found at IoU "
        f"0.5, {(overlap > 0.9).float().mean():.0%} at 0.9, median IoU {overlap.median():.3f}, scores differ by "
        f"{score.median():.4f} in the median and {score.max():.4f} at most"
    )
    assert (overlap > 0.5).float().mean() > 0.6
    assert overlap.median() < 1 - 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("make", [fasterrcnn_resnet50_fpn, maskrcnn_resnet50_fpn])
def test_torchvisions_own_models_with_default_settings(make: Callable[..., FasterRCNN]) -> None:
    torch.manual_seed(0)
    sizes = {"min_size": SIZE[0], "max_size": SIZE[1]}
    model = scrambled(make(weights=None, weights_backbone=None, num_classes=CLASSES + 1, **sizes))
    detector = load_detector(model.state_dict(), network("resnet50")).build()
    images = images_of(SIZE, (128, 160))
    assert_not_far(*ask(model, detector, images))
    assert_same(*ask(align(model), detector, images))


OLD = [(r"(blocks\.\d)\.0\.", r"\1."), (r"head\.conv\.0\.0\.", "head.conv.")]
OLD += [(rf"mask_head\.{place}\.0\.", f"mask_head.mask_fcn{place + 1}.") for place in range(4)]


def rename(name: str, rules: Sequence[tuple[str, str]]) -> str:
    for pattern, new in rules:
        name = re.sub(pattern, new, name)
    return name


def test_names_before_torchvision_0_13_are_read() -> None:
    state = torchvision_state(masks=True)
    old = {rename(name, OLD): tensor for name, tensor in state.items()}
    assert sum(name not in state for name in old) == 8 * 2 + 2 + 4 * 2
    net = network(NETS[Bottleneck])
    assert_equal(load_detector(old, net).state, load_detector(state, net).state)


def assert_equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


# detectron2's names, from torchvision's weights


RULES = [
    (r"backbone\.body\.(?!layer)", "backbone.bottom_up.stem."),
    *((rf"backbone\.body\.layer{level}", f"backbone.bottom_up.res{level + 1}") for level in (1, 2, 3, 4)),
    (r"bn(\d)", r"conv\1.norm"),
    (r"downsample\.0", "shortcut"),
    (r"downsample\.1", "shortcut.norm"),
    *((rf"fpn\.inner_blocks\.{place}\.0", f"fpn_lateral{place + 2}") for place in range(4)),
    *((rf"fpn\.layer_blocks\.{place}\.0", f"fpn_output{place + 2}") for place in range(4)),
    (r"rpn\.head\.conv\.0\.0", "proposal_generator.rpn_head.conv"),
    (r"rpn\.head\.cls_logits", "proposal_generator.rpn_head.objectness_logits"),
    (r"rpn\.head\.bbox_pred", "proposal_generator.rpn_head.anchor_deltas"),
    (r"box_head\.fc6", "box_head.fc1"),
    (r"box_head\.fc7", "box_head.fc2"),
    *((rf"mask_head\.{place}\.0", f"mask_head.mask_fcn{place + 1}") for place in range(4)),
    (r"mask_predictor\.conv5_mask", "mask_head.deconv"),
    (r"mask_predictor\.mask_fcn_logits", "mask_head.predictor"),
]
"""Those of the trunk are what detectron2's tools/convert-torchvision-to-d2.py does."""
CHANGES: dict[str, Callable[[Tensor], Tensor]] = {
    "roi_heads.box_predictor.cls_score": lambda tensor: torch.cat((tensor[1:], tensor[:1])),
    "roi_heads.box_predictor.bbox_pred": lambda tensor: tensor[4:],
    "roi_heads.mask_head.predictor": lambda tensor: tensor[1:],
    "backbone.bottom_up.stem.conv1": lambda tensor: tensor.flip(1),
}


@cache
def torchvision_state(block: type = Bottleneck, masks: bool = False) -> dict[str, Tensor]:
    return torchvision_rcnn(block, masks).state_dict()


@cache
def detectron2_state(block: type = Bottleneck, masks: bool = False) -> dict[str, Tensor]:
    """What a model of torchvision would be in detectron2, with frozen norms and for BGR images."""
    state = torchvision_state(block, masks)
    named = {rename(name, RULES): t for name, t in state.items() if not name.endswith("num_batches_tracked")}
    return {name: CHANGES.get(name.rpartition(".")[0], _same)(tensor) for name, tensor in named.items()}


@pytest.mark.parametrize("block", NETS)
def test_the_same_weights_are_the_same_detector_from_either_package(block: type) -> None:
    ours = load_detector(torchvision_state(block, masks=True), network(NETS[block]))
    theirs = load_detector(detectron2_state(block, masks=True), network(NETS[block]), CONFIG)
    assert_equal(ours.state, theirs.state)
    assert (
        ours.task
        == theirs.task
        == Detect(masks=True, channels=CHANNELS, hidden=HIDDEN, anchor=8.0, proposals=1000, samples=512)
    )
    assert theirs.build().state_dict().keys() == theirs.state.keys()


def test_cascades_and_convolutions_are_read_as_detectron2_names_them() -> None:
    body = {name: t for name, t in detectron2_state().items() if "roi_heads" not in name}
    heads = {}
    for stage in range(3):
        head, predictor = f"roi_heads.box_head.{stage}", f"roi_heads.box_predictor.{stage}"
        for place in range(1, 5):
            heads[f"{head}.conv{place}.weight"] = torch.randn(CHANNELS, CHANNELS, 3, 3)
            heads[f"{head}.conv{place}.norm.weight"] = torch.randn(CHANNELS)
            heads[f"{head}.conv{place}.norm.bias"] = torch.randn(CHANNELS)
        heads |= {f"{head}.fc1.weight": torch.randn(HIDDEN, CHANNELS * 49), f"{head}.fc1.bias": torch.randn(HIDDEN)}
        for name, rows in (("cls_score", CLASSES + 1), ("bbox_pred", 4)):
            heads[f"{predictor}.{name}.weight"] = torch.randn(rows, HIDDEN)
            heads[f"{predictor}.{name}.bias"] = torch.randn(rows)
    found = load_detector(body | heads, network(NETS[Bottleneck]), CONFIG)
    assert (found.task.head, found.task.box_head, found.task.masks) == ("cascade", "conv", False)
    for ours, theirs in {
        "stages.2.0.convs.3.0.weight": "box_head.2.conv4.weight",
        "stages.1.0.convs.0.1.bias": "box_head.1.conv1.norm.bias",
        "stages.0.0.fc.weight": "box_head.0.fc1.weight",
        "stages.2.1.deltas.weight": "box_predictor.2.bbox_pred.weight",
    }.items():
        assert torch.equal(found.state[f"box_head.{ours}"], heads[f"roi_heads.{theirs}"])


def test_images_are_prepared_as_in_detectron2() -> None:
    state = detectron2_state()
    found = load_detector(state, network(NETS[Bottleneck]), CONFIG)
    assert found.normalization.color_order == "rgb"  # the first convolution is turned
    assert found.normalization.mean == pytest.approx(IMAGENET.mean)
    assert found.normalization.std == pytest.approx([1 / 255] * 3)
    assert found.size == 800
    rgb = {
        "MODEL": CONFIG["MODEL"] | {"PIXEL_MEAN": (123.675, 116.28, 103.53), "PIXEL_STD": (58.395, 57.12, 57.375)},
        "INPUT": {"FORMAT": "RGB", "MIN_SIZE_TEST": 640},
        "TEST": {"DETECTIONS_PER_IMAGE": 300},
    }
    kept = load_detector(state, network(NETS[Bottleneck]), rgb)
    assert kept.normalization.mean == pytest.approx(IMAGENET.mean)
    assert kept.normalization.std == pytest.approx(IMAGENET.std)
    assert (kept.size, kept.task.detections) == (640, 300)
    first = "trunk.stem.convs.0.conv.weight"
    assert torch.equal(kept.state[first], found.state[first].flip(1))
    old = state | {"pixel_mean": torch.tensor([10.0, 20.0, 30.0]).view(3, 1, 1), "pixel_std": torch.ones(3, 1, 1)}
    assert load_detector(old, network(NETS[Bottleneck]), CONFIG).normalization.mean == pytest.approx(
        [30 / 255, 20 / 255, 10 / 255]
    )


def test_a_file_is_read_with_what_stands_beside_the_weights(tmp_path) -> None:
    state = detectron2_state()
    wrapped = {
        "model": {f"module.{name}": tensor.half() for name, tensor in state.items()},
        "optimizer": {"state": {0: {"momentum_buffer": torch.zeros(3)}}, "param_groups": [{"lr": 0.1}]},
        "iteration": 7,
    }
    torch.save(wrapped, tmp_path / "model_final.pth")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    found = read_detector(tmp_path / "model_final.pth", network(NETS[Bottleneck]), tmp_path / "config.yaml")
    expected = load_detector({name: t.half() for name, t in state.items()}, network(NETS[Bottleneck]), CONFIG)
    assert_equal(found.state, expected.state)
    assert all(t.dtype in (torch.float32, torch.int64) for t in found.state.values())
    for text in ("_BASE_: base.yaml\nMODEL: {}", "- 1", "a: [", "model: {}"):
        (tmp_path / "other.yaml").write_text(text)
        with pytest.raises(ValueError, match=r"other\.yaml (is no whole config of detectron2|cannot be read as YAML)"):
            read_detector(tmp_path / "model_final.pth", network(NETS[Bottleneck]), tmp_path / "other.yaml")


def test_anchors_in_a_file_are_those_of_the_detector() -> None:
    name = "proposal_generator.anchor_generator.cell_anchors.1"
    side = 32 * math.sqrt(2)
    wide, square = [-side, -side / 2, side, side / 2], [-32.0, -32.0, 32.0, 32.0]
    anchors = torch.tensor([wide, square, [-side / 2, -side, side / 2, side]])
    state = detectron2_state() | {name: anchors}
    load_detector(state, network(NETS[Bottleneck]), CONFIG)
    with pytest.raises(ValueError, match=rf"the anchors {name} are .*; here they are \[\[-45\.25"):
        load_detector(state | {name: anchors / 2}, network(NETS[Bottleneck]), CONFIG)


# What is refused


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            keypointrcnn_resnet50_fpn,
            r"has a keypoint head, which cannot be loaded: roi_heads\.keypoint_head\.0\.weight",
        ),
        (retinanet_resnet50_fpn, r"head of a detector without proposals, such as RetinaNet, .*: head\.classification"),
        (
            fasterrcnn_resnet50_fpn_v2,
            r"has norms in the feature pyramid, .*: backbone\.fpn\.inner_blocks\.0\.1\.weight",
        ),
    ],
)
def test_other_models_of_torchvision_are_refused_by_name(make: Callable[..., nn.Module], sentence: str) -> None:
    with torch.device("meta"):
        state = make(weights=None, weights_backbone=None).state_dict()
    with pytest.raises(ValueError, match=sentence):
        load_detector(state, network("resnet50"))


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("rpn.head.conv.1.0.weight", "several convolutions before its proposals"),
        ("proposal_generator.rpn_head.conv.conv0.weight", "several convolutions before its proposals"),
        ("backbone.fpn_lateral2.norm.weight", "norms in the feature pyramid"),
        ("roi_heads.box_head.conv1.norm.running_mean", "batch norms in the box head"),
        ("roi_heads.box_head.0.1.weight", "a box head of convolutions as torchvision names it"),
        ("roi_heads.mask_head.mask_fcn1.norm.weight", "norms in the mask head"),
        ("roi_heads.mask_head.0.1.weight", "norms in the mask head"),
        ("roi_heads.res5.0.conv1.weight", "a stage of the trunk as its box head"),
        ("backbone.bottom_up.res4.0.conv2_offset.weight", "deformable convolutions"),
        ("roi_head.bbox_head.shared_fcs.0.weight", "the names of MMDetection"),
        ("head.cls_score.weight", "the head of a detector without proposals"),
    ],
)
def test_parts_that_no_detector_has_are_refused_by_name(name: str, what: str) -> None:
    with pytest.raises(ValueError, match=f"has {what}.* cannot be loaded: {re.escape(name)}$"):
        load_detector({name: torch.zeros(1)}, network("resnet50"))


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("MODEL.RESNETS.STRIDE_IN_1X1", True, "=true has bottlenecks stride in their first 1x1 convolution; none here"),
        ("MODEL.ROI_BOX_HEAD.POOLER_TYPE", "ROIAlign", "=ROIAlign in the config is ROIAlignV2 in detectors here"),
        ("MODEL.ANCHOR_GENERATOR.OFFSET", 0.5, "=0.5 in the config is 0.0 in detectors here"),
        ("MODEL.ANCHOR_GENERATOR.SIZES", [[32, 64]], "=[[32, 64]] in the config is [[32], [64], [128], [256], [512]]"),
        ("MODEL.FPN.FUSE_TYPE", "avg", "=avg in the config is sum in detectors here"),
        ("INPUT.FORMAT", "L", "=L in the config is neither BGR nor RGB"),
    ],
)
def test_settings_that_no_detector_has_are_refused_by_name(name: str, value: Any, sentence: str) -> None:
    config: dict[str, Any] = {"MODEL": {"RESNETS": {"STRIDE_IN_1X1": False}}}
    inner, (*parts, last) = config, name.split(".")
    for part in parts:
        inner = inner.setdefault(part, {})
    inner[last] = value
    with pytest.raises(ValueError, match=re.escape(name + sentence)):
        load_detector(detectron2_state(), network(NETS[Bottleneck]), config)


def test_detectron2_strides_in_the_first_convolution_of_a_bottleneck_unless_told_otherwise() -> None:
    with pytest.raises(
        ValueError, match="=true, which is detectron2's default and no config is given, has bottlenecks"
    ):
        load_detector(detectron2_state(), network(NETS[Bottleneck]))
    found = load_detector(detectron2_state(BasicBlock), network(NETS[BasicBlock]))
    assert "no config is given" in found.notes[0]
    assert "2 x 2 samples a bin" in found.notes[1]


def test_what_does_not_fit_is_named() -> None:
    state = detectron2_state()
    net = network(NETS[Bottleneck])

    def refused(sentence: str, state: dict[str, Tensor], on: Any = net, config: Any = CONFIG) -> None:
        with pytest.raises(ValueError, match=sentence):
            load_detector(state, on, config)

    refused(
        r"^the checkpoint is not detect\(.*\) on resnet50 with the names of detectron2: missing .*res2\.1\.conv1",
        state,
        network("resnet50"),
    )
    agnostic = state | {
        f"roi_heads.box_predictor.bbox_pred.{p}": torch.zeros(s) for p, s in (("weight", (4, HIDDEN)), ("bias", 4))
    }
    refused(r"wrong shape roi_heads\.box_predictor\.bbox_pred\.weight \[4, 64\] instead of \[20, 64\]", agnostic)
    refused(r"surplus roi_heads\.iou_head\.weight$", state | {"roi_heads.iou_head.weight": torch.zeros(1)})
    without = {name: tensor for name, tensor in state.items() if "lateral2" not in name}
    refused(r"no R-CNN on maps of strides 4, 8 and so on: missing backbone\.fpn_lateral2\.weight$", without)
    refused(
        r"names of no Faster, Mask or Cascade R-CNN of torchvision or detectron2: conv1\.weight$",
        {"conv1.weight": torch.zeros(1)},
    )
    refused(r"format 'detectron2' has no network with shortcut=average_pool", state, network("resnet50d(stem=conv7x7)"))
    refused(r"torchvision's, and a config is detectron2's; leave it out", torchvision_state(masks=True))


def test_a_detector_on_another_trunk_is_told_its_own() -> None:
    trunk = resnet_fpn_backbone(backbone_name="resnet18", weights=None)
    state = FasterRCNN(trunk, num_classes=3).state_dict()
    with pytest.raises(ValueError, match=r"^its trunk looks like resnet18\(classes=0\): the checkpoint is not detect"):
        load_detector(state, network("resnet34"))
