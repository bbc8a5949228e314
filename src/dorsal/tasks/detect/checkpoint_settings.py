"""What the tensors of a detector do not say: torchvision's defaults, and the config of detectron2."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml
from torch import Tensor

from dorsal.spec.preprocessing import IMAGENET, Normalization


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of a detector; the defaults are torchvision's.

    - `proposals`, `samples`, `detections`, `least_score`: as in `spec.task.Detect`.
    - `normalization`: of RGB images. `bgr`: whether the weights take them as blue, green, red.
    - `size`: the short side in pixels to which images are resized; 0 if they are not.
    - `notes`: what differs here.
    """

    proposals: int = 1000
    samples: int = 512
    detections: int = 100
    least_score: float = 0.05
    normalization: Normalization = IMAGENET
    bgr: bool = False
    size: int = 800
    notes: tuple[str, ...] = ()


_STRIDE = "MODEL.RESNETS.STRIDE_IN_1X1"
_SAMPLES = "MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO"
_BEFORE, _AFTER = "MODEL.RPN.PRE_NMS_TOPK_TEST", "MODEL.RPN.POST_NMS_TOPK_TEST"

_DEFAULTS: dict[str, Any] = {
    "INPUT.FORMAT": "BGR",
    "INPUT.MIN_SIZE_TEST": 800,
    "MODEL.PIXEL_MEAN": [103.53, 116.28, 123.675],
    "MODEL.PIXEL_STD": [1.0, 1.0, 1.0],
    "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE": 512,
    "MODEL.ROI_HEADS.SCORE_THRESH_TEST": 0.05,
    "TEST.DETECTIONS_PER_IMAGE": 100,
    _BEFORE: 1000,
    _AFTER: 1000,
    _SAMPLES: 0,
    _STRIDE: True,
}
"""Settings that are read, with the values of detectron2's configs/Base-RCNN-FPN.yaml."""

_ONLY: dict[str, Any] = {
    "MODEL.FPN.FUSE_TYPE": "sum",
    "MODEL.ANCHOR_GENERATOR.SIZES": [[32], [64], [128], [256], [512]],
    "MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS": [[0.5, 1.0, 2.0]],
    "MODEL.ANCHOR_GENERATOR.OFFSET": 0.0,
    "MODEL.RPN.BBOX_REG_WEIGHTS": [1.0, 1.0, 1.0, 1.0],
    "MODEL.RPN.NMS_THRESH": 0.7,
    "MODEL.ROI_HEADS.NMS_THRESH_TEST": 0.5,
    "MODEL.ROI_BOX_HEAD.BBOX_REG_WEIGHTS": [10.0, 10.0, 5.0, 5.0],
    "MODEL.ROI_BOX_HEAD.POOLER_TYPE": "ROIAlignV2",
    "MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION": 7,
    "MODEL.ROI_BOX_CASCADE_HEAD.BBOX_REG_WEIGHTS": [[10, 10, 5, 5], [20, 20, 10, 10], [30, 30, 15, 15]],
    "MODEL.ROI_MASK_HEAD.POOLER_TYPE": "ROIAlignV2",
    "MODEL.ROI_MASK_HEAD.POOLER_RESOLUTION": 14,
}
"""Settings that change what a detector says, with the only value that they have here."""


def read_config(path: Path) -> Mapping[str, Any]:
    """The config.yaml that detectron2 writes beside its checkpoints. Raises ValueError for any other file."""
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ValueError(f"{path} cannot be read as YAML: {error}") from None
    if not isinstance(config, Mapping) or "MODEL" not in config or "_BASE_" in config:
        raise ValueError(f"{path} is no whole config of detectron2, as the config.yaml in its OUTPUT_DIR is")
    return config


def settings_of(config: Mapping[str, Any] | None, state: Mapping[str, Tensor], may_stride_early: bool) -> Settings:
    """The settings in a config of detectron2, nested as in its files; those that it lacks have detectron2's defaults.

    Pixel means and deviations in `state` are taken before those of the config: older checkpoints have them.
    `may_stride_early`: whether the trunk is one whose place of stride the config says.

    Raises ValueError, naming the setting, for a value that no detector here has.
    """
    said = {name: _plain(_look_up(config or {}, name, default)) for name, default in (_DEFAULTS | _ONLY).items()}
    if may_stride_early and said[_STRIDE]:
        why = "" if config else ", which is detectron2's default and no config is given,"
        raise ValueError(f"{_STRIDE}=true{why} has bottlenecks stride in their first 1x1 convolution; none here does")
    for name, only in _ONLY.items():
        if said[name] != only:
            raise ValueError(f"{name}={said[name]} in the config is {only} in detectors here")
    order = said["INPUT.FORMAT"]
    if order not in ("BGR", "RGB"):
        raise ValueError(f"INPUT.FORMAT={order} in the config is neither BGR nor RGB")
    for name, buffer in (("MODEL.PIXEL_MEAN", "pixel_mean"), ("MODEL.PIXEL_STD", "pixel_std")):
        values = state[buffer].flatten().tolist() if buffer in state else said[name]
        said[name] = tuple(value / 255 for value in (reversed(values) if order == "BGR" else values))
    return Settings(
        proposals=said[_AFTER],
        samples=said["MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE"],
        detections=said["TEST.DETECTIONS_PER_IMAGE"],
        least_score=said["MODEL.ROI_HEADS.SCORE_THRESH_TEST"],
        normalization=Normalization(mean=said["MODEL.PIXEL_MEAN"], std=said["MODEL.PIXEL_STD"]),
        bgr=order == "BGR",
        size=said["INPUT.MIN_SIZE_TEST"],
        notes=tuple(_notes(said, config is not None)),
    )


def _notes(said: Mapping[str, Any], is_given: bool) -> list[str]:
    notes = []
    if not is_given:
        notes.append("no config is given, so all settings are detectron2's defaults: BGR images, their mean, …")
    if said[_SAMPLES] != 2:
        notes.append(f"RoIAlign takes 2 x 2 samples a bin here, and in detectron2 as {_SAMPLES}={said[_SAMPLES]} says")
    if said[_BEFORE] != said[_AFTER]:
        notes.append(f"{_BEFORE}={said[_BEFORE]} is {said[_AFTER]} here, the number of proposals after suppression")
    return notes


def _look_up(config: Mapping[str, Any], name: str, default: Any) -> Any:
    """The value at `A.B.C` in nested mappings."""
    for part in name.split("."):
        if not isinstance(config, Mapping) or part not in config:
            return default
        config = config[part]
    return config


def _plain(value: Any) -> Any:
    """Tuples as lists."""
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value
