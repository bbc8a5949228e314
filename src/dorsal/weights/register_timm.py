"""Networks in timm: `timm.create_model("dorsal_resnest50", features_only=True)` after `dorsal.register_timm()`."""

from __future__ import annotations

from types import FunctionType
from typing import Any, cast

from timm.models import FeatureInfo, is_model, register_model
from torch import Tensor, nn

from dorsal.nn.backbone import Backbone, Classifier, set_checkpointing
from dorsal.weights.create import create
from dorsal.weights.published import find_published, published
from dorsal.zoo import NETWORKS

PREFIX = "dorsal_"


class TimmModel(nn.Module):
    """A backbone with the methods that timm's training and transfer code calls. State keys are ours, under `body.`"""

    def __init__(self, body: Classifier) -> None:
        super().__init__()
        self.body = body
        self.num_classes = body.network.head.classes
        self.num_features = self.head_hidden_size = body.network.head.width or body.network.stages[-1].width
        self.feature_info = _feature_info(body)
        self.pretrained_cfg: dict[str, Any] = {}
        self.default_cfg = self.pretrained_cfg

    def forward_features(self, x: Tensor) -> Tensor:
        """Images [N, in_channels, H, W] → the last map, before pooling."""
        x = self.body.features(x)[-1]
        return self.body.head(x)  # type: ignore[no-any-return]

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """The last map → logits [N, classes], or with `pre_logits` the pooled vectors."""
        x = self.body.dropout(x.mean((2, 3)))
        return x if pre_logits else self.body.fc(x)

    def forward(self, x: Tensor) -> Tensor:
        """Images [N, in_channels, H, W] → logits [N, classes]."""
        return self.forward_head(self.forward_features(x))

    def get_classifier(self) -> nn.Module:
        """The last linear layer."""
        return self.body.fc

    def reset_classifier(self, num_classes: int) -> None:
        """A new classifier, or none with 0."""
        self.num_classes = num_classes
        parameter = next(self.body.parameters())
        fc = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()
        self.body.fc = fc.to(parameter.device, parameter.dtype)

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Gradient checkpointing in every block."""
        set_checkpointing(self.body, enable)

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """How parameters fall into layers, for layer-wise learning rates."""
        block = r"^body\.stages\.(\d+)" if coarse else r"^body\.stages\.(\d+)\.(?:blocks\.)?(\d+)"
        return {"stem": r"^body\.stem", "blocks": block}


class TimmFeatures(nn.Module):
    """The pyramid as timm's `features_only` models give it: a list of maps, described by `feature_info`."""

    def __init__(self, body: Backbone, info: list[dict[str, Any]]) -> None:
        super().__init__()
        self.body = body
        self.feature_info = FeatureInfo(info, body.levels)
        self.pretrained_cfg: dict[str, Any] = {}
        self.default_cfg = self.pretrained_cfg

    def forward(self, x: Tensor) -> list[Tensor]:
        """Images [N, in_channels, H, W] → maps, fine to coarse."""
        return list(self.body(x))


def register_timm() -> list[str]:
    """Registers every named network with timm as `dorsal_NAME`, and returns the names that are new.

    `timm.create_model` then takes `num_classes`, `in_chans`, `drop_rate`, `drop_path_rate`, `output_stride`,
    `features_only`, `out_indices` and `pretrained`. The name's tag says which published checkpoint is meant
    (`dorsal_resnest50.timm_in1k`); without a tag it is the first in the table. A second call does nothing.
    """
    added = [name for name in NETWORKS if not is_model(PREFIX + name)]
    for name in added:
        register_model(_entry(name))
    return [PREFIX + name for name in added]


def _entry(name: str) -> FunctionType:
    """timm's entry point for one network. timm registers it under the function's name."""

    def entry(
        pretrained: bool = False,
        *,
        pretrained_cfg: str | None = None,
        pretrained_cfg_overlay: None = None,
        cache_dir: None = None,
        num_classes: int | None = None,
        in_chans: int | None = None,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        output_stride: int | None = None,
        features_only: bool = False,
        out_indices: tuple[int, ...] | None = None,
    ) -> nn.Module:
        if pretrained_cfg_overlay is not None or cache_dir is not None:
            raise ValueError("pretrained_cfg_overlay and cache_dir are not read here; see `dorsal weights pull`")
        body = create(
            name,
            weights=_weights(name, pretrained_cfg) if pretrained else None,
            classes=num_classes,
            in_channels=in_chans,
            output_stride=output_stride,
            dropout=drop_rate,
            drop_path=drop_path_rate,
        )
        assert isinstance(body, Classifier)
        if not features_only:
            return TimmModel(body)
        levels = range(len(body.info)) if out_indices is None else out_indices
        chosen = tuple(level % len(body.info) for level in levels)
        return TimmFeatures(body.pyramid(chosen), _feature_info(body))

    entry.__name__ = entry.__qualname__ = PREFIX + name
    return cast(FunctionType, entry)


def _weights(name: str, tag: str | None) -> str:
    """The id of the published checkpoint for timm's name and tag. ValueError if there is none."""
    if tag:
        return find_published(f"{name}.{tag}").id
    first = next((entry.id for entry in published() if entry.network == name), None)
    if first is None:
        raise ValueError(f"pretrained=True: no published weights of {name!r} are known; see `dorsal weights list`")
    return first


def _feature_info(body: Classifier) -> list[dict[str, Any]]:
    modules = ["body.stem.convs", *(f"body.stages.{index}" for index in range(len(body.stages)))]
    return [
        {"num_chs": level.channels, "reduction": level.stride, "module": module}
        for level, module in zip(body.info, modules, strict=True)
    ]
