"""The semantic head on a feature pyramid."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from dorsal.nn.build import initialise
from dorsal.nn.norms import group_norm
from dorsal.spec.layers import Feature


class FpnHead(nn.Module):
    """Semantic segmentation on a pyramid of equal channels (Panoptic FPN, arXiv 1901.02446 section 3), as detectron2
    has it.

    Every level has a branch of 3x3 convolution, group norm and ReLU, each followed by a bilinear upsampling by 2, down
    to the finest stride. So levels of stride 4, 8, 16 and 32 have 1, 1, 2 and 3 convolutions and 0, 1, 2 and 3
    upsamplings. The branches are added, and a 1x1 convolution gives the logits at `stride`, the finest of the pyramid.

    All convolutions begin as detectron2's do: a last one that begins as small as a classifier, with std 0.01, learns
    slowly by AdamW, whose steps are of a fixed size.
    """

    def __init__(self, info: Sequence[Feature], classes: int, channels: int = 128) -> None:
        """`info` describes the maps from fine to coarse; three levels will do, and so will one.

        Raises ValueError, naming strides or channels, unless the strides double and the channels are equal.
        """
        super().__init__()
        strides, widths = [level.stride for level in info], [level.channels for level in info]
        if not info or any(coarse != 2 * fine for fine, coarse in pairwise(strides)):
            raise ValueError(
                f"a pyramid of strides {', '.join(map(str, strides)) or 'none'}: head fpn needs strides that double, "
                f"e.g. 4, 8, 16, 32"
            )
        if len(set(widths)) > 1:
            raise ValueError(
                f"a pyramid of {', '.join(map(str, widths))} channels: head fpn needs equal ones, as a neck gives"
            )
        self.stride = strides[0]
        self.branches = nn.ModuleList(
            nn.ModuleList(_conv(widths[0] if step == 0 else channels, channels) for step in range(max(level, 1)))
            for level in range(len(info))
        )
        self.predictor = nn.Conv2d(channels, classes, 1)
        initialise(self)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Maps [N, C, h, w], fine to coarse → logits [N, classes, h, w] at the size of the finest.

        Maps beyond those of `info`, such as P6 of a detector's pyramid, are not used.
        """
        total: Tensor | float = 0.0
        for level, branch in enumerate(self.branches):
            x = maps[level]
            for step, conv in enumerate(branch.children()):
                x = enlarged(conv(x), maps[level - step - 1]) if level else conv(x)
            total = total + x
        return self.predictor(total)  # type: ignore[no-any-return]


def enlarged(x: Tensor, like: Tensor) -> Tensor:
    """`x` [N, C, h, w] resized to the height and width of `like`: bilinear, with align_corners False."""
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)


def _conv(in_channels: int, channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, channels, 3, padding=1, bias=False),
        group_norm(channels),
        nn.ReLU(),
    )
