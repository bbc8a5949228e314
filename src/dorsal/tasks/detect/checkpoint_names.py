"""Names in the detectors of torchvision and detectron2, and those by which other detectors are known.

They are those of torchvision 0.29 and of facebookresearch/detectron2@02b5c4e.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

import msgspec

from dorsal.spec.block import Basic
from dorsal.spec.network import Network
from dorsal.spec.stage import Stage
from dorsal.spec.stem import Conv7x7
from dorsal.weights.formats import resnet
from dorsal.weights.formats.naming import Modules, Naming, chain, check_kinds
from dorsal.weights.formats.packages import naming_of

Value = TypeVar("Value")


class Package(msgspec.Struct, frozen=True):
    """How a package names its detectors. `modules`: our modules of neck and heads → its own. `trunk`: how the names of
    the trunk begin."""

    name: str
    trunk: str
    modules: Modules


def _torchvision() -> Modules:
    modules = {
        "rpn.conv": "rpn.head.conv.0.0",
        "rpn.logits": "rpn.head.cls_logits",
        "rpn.deltas": "rpn.head.bbox_pred",
        "box_head.0.fc1": "roi_heads.box_head.fc6",
        "box_head.0.fc2": "roi_heads.box_head.fc7",
        "box_head.1.classes": "roi_heads.box_predictor.cls_score",
        "box_head.1.deltas": "roi_heads.box_predictor.bbox_pred",
        "mask_head.deconv": "roi_heads.mask_predictor.conv5_mask",
        "mask_head.predictor": "roi_heads.mask_predictor.mask_fcn_logits",
    }
    for i in range(4):
        modules[f"neck.laterals.{i}"] = f"backbone.fpn.inner_blocks.{i}.0"
        modules[f"neck.outputs.{i}"] = f"backbone.fpn.layer_blocks.{i}.0"
        modules[f"mask_head.convs.{2 * i}"] = f"roi_heads.mask_head.{i}.0"
    return modules


def _detectron2() -> Modules:
    modules = {
        "rpn.conv": "proposal_generator.rpn_head.conv",
        "rpn.logits": "proposal_generator.rpn_head.objectness_logits",
        "rpn.deltas": "proposal_generator.rpn_head.anchor_deltas",
        "mask_head.deconv": "roi_heads.mask_head.deconv",
        "mask_head.predictor": "roi_heads.mask_head.predictor",
    }
    for i in range(4):
        modules[f"neck.laterals.{i}"] = f"backbone.fpn_lateral{i + 2}"
        modules[f"neck.outputs.{i}"] = f"backbone.fpn_output{i + 2}"
        modules[f"mask_head.convs.{2 * i}"] = f"roi_heads.mask_head.mask_fcn{i + 1}"
    for ours, stage in (("box_head", ""), *((f"box_head.stages.{i}", f".{i}") for i in range(3))):
        head, predictor = f"roi_heads.box_head{stage}", f"roi_heads.box_predictor{stage}"
        modules |= {f"{ours}.0.fc1": f"{head}.fc1", f"{ours}.0.fc2": f"{head}.fc2", f"{ours}.0.fc": f"{head}.fc1"}
        modules |= {f"{ours}.0.convs.{i}.0": f"{head}.conv{i + 1}" for i in range(4)}
        modules |= {f"{ours}.0.convs.{i}.1": f"{head}.conv{i + 1}.norm" for i in range(4)}
        modules |= {f"{ours}.1.classes": f"{predictor}.cls_score", f"{ours}.1.deltas": f"{predictor}.bbox_pred"}
    return modules


PACKAGES = (
    Package("torchvision", "backbone.body.", _torchvision()),
    Package("detectron2", "backbone.bottom_up.", _detectron2()),
)
"""Names of modules that a detector lacks do no harm."""


def has_plain_resnet(network: Network) -> bool:
    """Whether the trunk is what detectron2 calls a ResNet."""
    return isinstance(network.stem, Conv7x7)


def naming_of_trunk(package: Package, network: Network, bgr: bool) -> Naming:
    """The names of a trunk that takes its images as `bgr` says, without `package.trunk`.

    Raises ValueError if the package has no network like this one.
    """
    if package.name == "detectron2" and has_plain_resnet(network):
        check_kinds("detectron2", network, resnet.TORCHVISION)
        modules = chain(
            network,
            stem=("stem.conv1", "stem.conv1.norm"),
            at=lambda stage, position: f"res{stage + 2}.{position}.",
            block=_detectron2_block,
            head={},
        )
        return Naming(modules=modules, bgr=bgr)
    return msgspec.structs.replace(naming_of(package.name, network), bgr=bgr)


def _detectron2_block(stage: Stage) -> Modules:
    convs = ("mixer", "expand") if isinstance(stage.block, Basic) else ("reduce", "mixer", "expand")
    names = {ours: f"conv{place}" for place, ours in enumerate(convs, 1)} | {"shortcut": "shortcut"}
    return {f"{ours}.conv": name for ours, name in names.items()} | {
        f"{ours}.norm": f"{name}.norm" for ours, name in names.items()
    }


_BEFORE_0_13 = (
    (r"^(backbone\.fpn\.(?:inner|layer)_blocks\.\d)\.(weight|bias)$", r"\1.0.\2"),
    (r"^(rpn\.head\.conv)\.(weight|bias)$", r"\1.0.0.\2"),
    *((rf"^(roi_heads\.mask_head)\.mask_fcn{i + 1}\.(weight|bias)$", rf"\1.{i}.0.\2") for i in range(4)),
)
"""torchvision's names before version 0.13, which its published files have, and what they are now."""


def with_names_of_today(named: Mapping[str, Value]) -> dict[str, Value]:
    """The values of a torchvision detector by the names that its modules have now."""
    return {_today(name): value for name, value in named.items()}


def _today(name: str) -> str:
    for old, new in _BEFORE_0_13:
        name = re.sub(old, new, name)
    return name


DEFORMABLE = "deformable convolutions"
OTHERS = (
    (r"^(rpn_head\.rpn_|roi_head\.|bbox_head\.|neck\.)", "the names of MMDetection"),
    (r"^roi_heads\.keypoint_", "a keypoint head"),
    (r"^sem_seg_head\.", "the semantic head of a panoptic network"),
    (r"^head\.", "the head of a detector without proposals, such as RetinaNet, FCOS or SSD"),
    (r"^roi_heads\.res5\.", "a stage of the trunk as its box head, which is detectron2's C4"),
    (r"^backbone\.(fpn_\w+\d\.norm|fpn\.\w+_blocks\.\d\.1)\.", "norms in the feature pyramid"),
    (r"rpn[._]head\.conv\.(conv\d|[1-9])\.", "several convolutions before its proposals"),
    (r"^roi_heads\.box_head\.(\d\.)?conv\d\.norm\.running_mean$", "batch norms in the box head"),
    (r"^roi_heads\.box_head\.\d\.[01]\.\w+$", "a box head of convolutions as torchvision names it"),
    (r"^roi_heads\.mask_head\.(mask_fcn\d\.norm|\d\.1)\.", "norms in the mask head"),
    (r"\.conv2_offset\.", DEFORMABLE),
)
"""Names of detectors that none here can be, and what these have."""
