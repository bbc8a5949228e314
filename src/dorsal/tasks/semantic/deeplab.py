"""DeepLabV3 and V3+ on a dilated trunk, and the auxiliary head for the level before the last."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dorsal.nn.build import initialise
from dorsal.nn.layers import ConvNorm
from dorsal.nn.norms import normalize
from dorsal.nn.plain import is_plain, runs_plainly
from dorsal.spec.layers import Feature, Layer
from dorsal.tasks.semantic.fpn import enlarged

RATES = {16: (6, 12, 18), 8: (12, 24, 36)}
"""Dilations of the three 3x3 convolutions by output stride (arXiv 1706.05587 section 3.3)."""

FINE_STRIDE = 4
"""Of the maps that V3+ takes in beside the last ones."""


class Aspp(nn.Module):
    """Atrous spatial pyramid pooling (arXiv 1706.05587 section 3.3): a 1x1 convolution, three dilated 3x3 ones and the
    mean of the whole map, side by side; then a 1x1 convolution and dropout.

    As in detectron2, the branch of the mean has a bias and no norm. With one value for each channel of an image, batch
    norm could not train at batch 1.
    """

    def __init__(self, in_channels: int, channels: int, rates: tuple[int, int, int], dropout: float) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [_conv(in_channels, channels), *(_conv(in_channels, channels, 3, rate) for rate in rates)]
        )
        self.pooled = nn.Sequential(nn.Conv2d(in_channels, channels, 1), nn.ReLU())
        self.project = _conv(5 * channels, channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, h, w] → [N, channels, h, w]."""
        pooled = self.pooled(x.mean((2, 3), keepdim=True)).expand(-1, -1, *x.shape[-2:])
        joined = torch.cat([*(_seen(branch, x) for branch in self.branches), pooled], 1)
        return self.dropout(self.project(joined))  # type: ignore[no-any-return]


class DeepLabHead(nn.Module):
    """DeepLabV3 (arXiv 1706.05587), or V3+ (arXiv 1802.02611) if `fine`, as detectron2 has them.

    V3: ASPP on the last maps and a 1x1 convolution; logits have the stride of the last maps. V3+: ASPP, upsampled, is
    joined with the maps of stride 4, which a 1x1 convolution has brought to `fine_channels`; two 3x3 convolutions and
    the 1x1 follow; logits have stride 4. Norms are batch norms, upsampling is bilinear with align_corners False.

    Deviations from detectron2: convolutions start as those of `nn.build`, the last one from std 0.01. The form with
    separable convolutions is not here.
    """

    def __init__(
        self,
        info: Sequence[Feature],
        classes: int,
        channels: int = 256,
        fine: bool = True,
        fine_channels: int = 48,
        dropout: float = 0.1,
    ) -> None:
        """`info` describes the trunk's maps from fine to coarse, the last at output stride 8 or 16.

        Raises ValueError, naming the strides, for another output stride, or for V3+ without a map of stride 4.
        """
        super().__init__()
        strides = [level.stride for level in info]
        found = f"a pyramid of strides {', '.join(map(str, strides)) or 'none'}"
        if not strides or strides[-1] not in RATES:
            raise ValueError(
                f"{found}: head deeplab needs the last to be 8 or 16; build the trunk with output_stride=16"
            )
        if fine and FINE_STRIDE not in strides:
            raise ValueError(f"{found}: the finer form of head deeplab needs a map of stride 4; take head=deeplabv3")
        self.stride = FINE_STRIDE if fine else strides[-1]
        self.aspp = Aspp(info[-1].channels, channels, RATES[strides[-1]], dropout)
        # If a stem has this stride too, the stage after it is meant.
        self.fine_level = len(strides) - 1 - strides[::-1].index(FINE_STRIDE) if fine else None
        if self.fine_level is not None:
            self.fine_project = _conv(info[self.fine_level].channels, fine_channels)
            self.fuse = nn.Sequential(_conv(fine_channels + channels, channels, 3), _conv(channels, channels, 3))
        self.predictor = nn.Conv2d(channels, classes, 1)
        initialise(self)
        nn.init.normal_(self.predictor.weight, std=0.01)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """The trunk's maps [N, C, h, w], fine to coarse → logits [N, classes, H / stride, W / stride]."""
        x = self.aspp(maps[-1])
        if self.fine_level is not None:
            fine = self.fine_project(maps[self.fine_level])
            x = self.fuse(torch.cat([fine, enlarged(x, fine)], 1))
        return self.predictor(x)  # type: ignore[no-any-return]


class FcnHead(nn.Module):
    """The auxiliary head of deep supervision (arXiv 1612.01105 section 3.2), for training only: 3x3 convolution to a
    quarter of the channels, batch norm, ReLU, dropout, 1x1 convolution, as torchvision's and MMSegmentation's.

    It takes the level before the last: C4, of stride 16 unless it is dilated.
    """

    def __init__(self, info: Sequence[Feature], classes: int, dropout: float = 0.1) -> None:
        """`info` describes the trunk's maps from fine to coarse. Raises ValueError for fewer than two."""
        super().__init__()
        if len(info) < 2:
            raise ValueError(f"a pyramid of {len(info)} levels: the auxiliary head needs one before the last")
        channels = info[-2].channels
        hidden = max(channels // 4, 1)
        self.conv = _conv(channels, hidden, 3)
        self.dropout = nn.Dropout(dropout)
        self.predictor = nn.Conv2d(hidden, classes, 1)
        initialise(self)
        nn.init.normal_(self.predictor.weight, std=0.01)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """The trunk's maps → logits [N, classes, h, w] at the size of the level before the last."""
        return self.predictor(self.dropout(self.conv(maps[-2])))  # type: ignore[no-any-return]


def _seen(branch: nn.Module, x: Tensor) -> Tensor:
    """branch(x) without the outer taps of a dilated convolution where they meet nothing but padding, as in all three
    on a map of 4 x 4. Their gradient is 0, and takes as long to compute as any other."""
    if not (is_plain(branch, ConvNorm) and runs_plainly(x) and x.ndim == 4):
        return branch(x)  # type: ignore[no-any-return]
    assert isinstance(branch, ConvNorm)
    conv = branch.conv
    if not (is_plain(conv, nn.Conv2d) and isinstance(conv, nn.Conv2d) and conv.kernel_size == (3, 3)):
        return branch(x)  # type: ignore[no-any-return]
    rate = conv.dilation[0]
    rows, columns = (slice(1, 2) if rate >= side else slice(0, 3) for side in x.shape[2:])
    weight = conv.weight[:, :, rows, columns]
    if weight.shape == conv.weight.shape:
        return branch(x)  # type: ignore[no-any-return]
    padding = [rate * (side // 2) for side in weight.shape[2:]]
    y = F.conv2d(x, weight, conv.bias, padding=padding, dilation=rate)
    return branch.act(normalize(branch.norm, y))  # type: ignore[no-any-return]


def _conv(in_channels: int, channels: int, kernel: int = 1, dilation: int = 1) -> ConvNorm:
    """Convolution, batch norm, ReLU at stride 1, on maps of any size."""
    conv = Layer("conv", "conv", in_channels, channels, 0, 0, kernel, dilation=dilation)
    return ConvNorm({"_.conv": conv, "_.norm": conv}, "_", "batch", "relu")
