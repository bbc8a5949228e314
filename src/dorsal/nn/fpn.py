"""The feature pyramid network: maps of one width at every stride, each with what the coarser ones saw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from dorsal.nn.norms import group_norm
from dorsal.spec.layers import Feature

FpnNorm = Literal["none", "group"]
"""`none`: convolutions with a bias. `group`: group norm after each convolution, which then has no bias."""


class FeaturePyramid(nn.Module):
    """Feature pyramid network (arXiv 1612.03144) as detectron2 builds it.

    A 1x1 convolution takes each map to `channels`. From coarse to fine, the sum so far is upsampled (nearest) and added
    to the next finer map. A 3x3 convolution follows on each level. No activation anywhere. One more level comes after
    the coarsest: every second position of it.

    `info` describes the maps that `forward` returns. They are named p and the exponent of the stride: p2 has stride 4.

    Deviation: a map is upsampled to the size of the finer one, not by 2. The two are equal where the finer side is
    even; where it is odd, detectron2 fails.
    """

    def __init__(self, info: Sequence[Feature], channels: int, norm: FpnNorm = "none") -> None:
        """A pyramid on maps of `info`, fine to coarse. Raises ValueError unless the strides double."""
        super().__init__()
        strides = [feature.stride for feature in info]
        exponent = strides[0].bit_length() - 1 if strides else -1
        if not strides or strides != [2 ** (exponent + level) for level in range(len(strides))]:
            raise ValueError(
                f"a feature pyramid needs maps whose strides are powers of 2 and double, e.g. 4, 8, 16, 32; "
                f"this backbone has {', '.join(map(str, strides)) or 'no maps'}"
            )
        self.info = tuple(
            Feature(f"p{exponent + level}", channels, 2 ** (exponent + level)) for level in range(len(info) + 1)
        )
        self.laterals = nn.ModuleList(_conv_norm(feature.channels, channels, 1, norm) for feature in info)
        self.outputs = nn.ModuleList(_conv_norm(channels, channels, 3, norm) for _ in info)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Maps [N, C of the level, H, W] of the backbone, fine to coarse → the maps [N, channels, H, W] of `info`."""
        if len(maps) != len(self.laterals):
            raise ValueError(f"this feature pyramid takes {len(self.laterals)} maps, not {len(maps)}")
        sums: list[Tensor] = []  # coarse to fine
        for lateral, x in zip(reversed(self.laterals), reversed(maps), strict=True):
            own = lateral(x)
            sums.append(own + F.interpolate(sums[-1], own.shape[-2:], mode="nearest") if sums else own)
        levels = [output(total) for output, total in zip(self.outputs, reversed(sums), strict=True)]
        return *levels, F.max_pool2d(levels[-1], 1, 2)


def init_xavier(layer: nn.Conv2d | nn.Linear) -> None:
    """Caffe2's Xavier initialization, as in detectron2: weights uniform with variance 1 / inputs, bias 0."""
    nn.init.kaiming_uniform_(layer.weight, a=1)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def _conv_norm(in_channels: int, channels: int, kernel: int, norm: FpnNorm) -> nn.Module:
    conv = nn.Conv2d(in_channels, channels, kernel, padding=kernel // 2, bias=norm == "none")
    init_xavier(conv)
    return conv if norm == "none" else nn.Sequential(conv, group_norm(channels))
