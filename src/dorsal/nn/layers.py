"""Single layers made from layer records: convolution, norm, activation, pool, and the pairs of them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import deform_conv2d

from dorsal.nn.fast_cpu import convolve_and_norm
from dorsal.nn.norms import NORMS, NormKind, make_norm, normalize
from dorsal.nn.plain import is_large, is_plain, runs_plainly
from dorsal.spec.block import Order
from dorsal.spec.layers import Layer
from dorsal.spec.stage import Activation

Records = Mapping[str, Layer]
"""Layer records of one block or stem by their names within it."""


def make_activation(kind: Activation) -> nn.Module:
    """A new activation module. Each call site owns one: quantisers cannot tell the uses of a shared one apart."""
    match kind:
        case "relu":
            return nn.ReLU()  # see `activate`
        case "mish":
            return nn.Mish()
        case "silu":
            return nn.SiLU()


def activate(act: nn.Module, x: Tensor, owned: bool) -> Tensor:
    """act(x), written over `x` where nobody sees `x` but this call: it is `owned`, and `act` is a plain ReLU.

    In evaluation this saves up to a tenth of the time on a CPU (docs/log.md). A module with `inplace=True` would also
    overwrite what a hook has kept, and autograd refuses it beside full backward hooks.
    """
    if owned and is_plain(act, nn.ReLU):
        return torch.relu_(x)
    return act(x)  # type: ignore[no-any-return]


def padded(images: Tensor, multiple: int) -> Tensor:
    """Images [N, C, H, W] with zeros at the right and bottom, so that `multiple` divides their sides."""
    height, width = images.shape[-2:]
    right, bottom = -width % multiple, -height % multiple
    # A pad by 0 is a copy. In graphs for images of any size the pad is a number that nobody knows yet.
    is_none = type(right) is type(bottom) is int and not (right or bottom)
    return images if is_none else F.pad(images, (0, right, 0, bottom))


class DeformConv(nn.Module):
    """Modulated deformable 3x3 convolution (DCNv2, arXiv 1811.11168) on torchvision's operator.

    The offset layer's channels are 18 offsets (y, x for each tap) in each offset group, then 9 masks in each, as in
    detectron2 and MMCV. It starts at zero, so the start is a plain convolution with every tap at half weight.
    """

    def __init__(self, layer: Layer, offset: Layer) -> None:
        super().__init__()
        self.offset: nn.Conv2d = make_conv(offset)
        self.weight = nn.Parameter(
            torch.empty(layer.out_channels, layer.in_channels // layer.groups, layer.kernel, layer.kernel)
        )
        self.stride, self.padding, self.dilation = layer.stride, layer.padding, layer.dilation
        self.sizes = [18 * layer.offset_groups, 9 * layer.offset_groups]

    def forward(self, x: Tensor) -> Tensor:
        """[N, C_in, H, W] → [N, C_out, H / stride, W / stride]."""
        parts = self.offset(x).split(self.sizes, 1)
        offset, mask = parts[0], parts[1]
        return deform_conv2d(  # type: ignore[no-any-return]
            x, offset, self.weight, None, self.stride, self.padding, self.dilation, torch.sigmoid(mask)
        )


def make_conv(layer: Layer) -> nn.Conv2d:
    """The convolution of a record."""
    return nn.Conv2d(
        layer.in_channels,
        layer.out_channels,
        layer.kernel,
        layer.stride,
        layer.padding,
        layer.dilation,
        layer.groups,
        bias=layer.bias,
    )


def make_pool(layer: Layer) -> nn.Module:
    """The pool of a record. Shortcut pools (`ceil`) do not count padding in their mean, the others do."""
    if layer.kind == "max_pool":
        return nn.MaxPool2d(layer.kernel, layer.stride, layer.padding, ceil_mode=layer.ceil)
    return nn.AvgPool2d(layer.kernel, layer.stride, layer.padding, layer.ceil, count_include_pad=not layer.ceil)


class ConvNorm(nn.Module):
    """Convolution and norm from the records `name`.conv and `name`.norm, [with an activation after or between]."""

    def __init__(
        self,
        records: Records,
        name: str,
        norm: NormKind,
        activation: Activation | None = None,
        order: Order = "norm_act",
    ) -> None:
        super().__init__()
        layer = records[f"{name}.conv"]
        if layer.kind == "deform_conv":
            self.conv: nn.Module = DeformConv(layer, records[f"{name}.offset"])
        else:
            self.conv = make_conv(layer)
        self.norm = make_norm(norm, records[f"{name}.norm"])
        self.act = nn.Identity() if activation is None else make_activation(activation)
        self.act_first = order == "act_norm"

    def forward(self, x: Tensor) -> Tensor:
        """[N, C_in, H, W] → [N, C_out, H / stride, W / stride]."""
        if self.act_first:
            y = self.conv(x)
            owned = is_large(y) and runs_plainly(y) and is_plain(self.conv, nn.Conv2d, DeformConv)
            return normalize(self.norm, activate(self.act, y, owned))
        mine: dict[str, nn.Module] = self.__dict__["_modules"]  # quicker than `self.conv`
        norm, act = mine["norm"], mine["act"]
        y = convolve_and_norm(mine["conv"], norm, x)
        owned = type(act) is nn.ReLU and is_large(y) and runs_plainly(y) and is_plain(norm, *NORMS)
        return activate(act, y, owned)
