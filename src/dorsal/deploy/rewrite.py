"""Exact changes of form that runtimes like: norms folded, deformable convolutions sampled, split attention without maps
of five dimensions.

Each returns a rewritten copy in evaluation mode and leaves the model as it is, which is the slow twin of all of them.
No form is the fastest everywhere, so whoever deploys measures them.
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torchvision.ops import FrozenBatchNorm2d

from dorsal.deploy.forms import Rewrite
from dorsal.nn.layers import ConvNorm, DeformConv
from dorsal.nn.mixers import SelectiveKernelMixer
from dorsal.nn.split_attention import SplitAttentionMixer


def rewritten(model: nn.Module, rewrite: Rewrite) -> nn.Module:
    """A copy of the model in evaluation mode and in this form, which gives the same outputs but for rounding."""
    model = copy.deepcopy(model).eval()
    if rewrite == "none":
        return model
    for module in model.modules():
        _fold(module)
    for parent in list(model.modules()):
        for name, module in parent.named_children():
            if isinstance(module, DeformConv):
                setattr(parent, name, SampledDeformConv(module))
    if rewrite != "folded":
        _replace_split_attention(model, apart=rewrite == "apart")
    return model


def rewrites_of(model: nn.Module) -> tuple[Rewrite, ...]:
    """The forms of this model that differ from each other."""
    if any(isinstance(module, SplitAttentionMixer) for module in model.modules()):
        return ("none", "folded", "chunked", "apart")
    changes = any(_norm_of(module) or isinstance(module, DeformConv) for module in model.modules())
    return ("none", "folded") if changes else ("none",)


def _norm_of(module: nn.Module) -> nn.Module | None:
    """The batch norm of the module that follows a convolution of it at once; None where there is none."""
    match module:
        case ConvNorm() if not module.act_first and isinstance(module.conv, nn.Conv2d):
            norm = module.norm
        case SplitAttentionMixer() | SelectiveKernelMixer():
            norm = module.fc1_norm
        case _:
            return None
    return norm if isinstance(norm, nn.BatchNorm2d | FrozenBatchNorm2d) else None


def _fold(module: nn.Module) -> None:
    """Folds the batch norm of this module, not of those within, into its convolution."""
    norm = _norm_of(module)
    if norm is None:
        return
    if isinstance(module, ConvNorm):
        assert isinstance(module.conv, nn.Conv2d)
        module.conv, module.norm = _folded(module.conv, norm), nn.Identity()
    else:
        assert isinstance(module, SplitAttentionMixer | SelectiveKernelMixer)
        module.fc1, module.fc1_norm = _folded(module.fc1, norm), nn.Identity()


def _folded(conv: nn.Conv2d, norm: nn.Module) -> nn.Conv2d:
    assert isinstance(norm, nn.BatchNorm2d | FrozenBatchNorm2d)
    mean, var = norm.running_mean, norm.running_var
    assert mean is not None
    assert var is not None
    weight, bias = fuse_conv_bn_weights(conv.weight, conv.bias, mean, var, norm.eps, norm.weight, norm.bias)
    return _conv(conv, weight.detach(), bias.detach())


def _conv(like: nn.Conv2d, weight: Tensor, bias: Tensor | None, groups: int | None = None) -> nn.Conv2d:
    """A convolution of these weights, in all else as another one."""
    groups = like.groups if groups is None else groups
    made = nn.Conv2d(
        weight.shape[1] * groups,
        len(weight),
        like.kernel_size,  # type: ignore[arg-type]
        like.stride,  # type: ignore[arg-type]
        like.padding,  # type: ignore[arg-type]
        like.dilation,  # type: ignore[arg-type]
        groups,
        bias=bias is not None,
        device=weight.device,
        dtype=weight.dtype,
    )
    with torch.no_grad():
        made.weight.copy_(weight)
        if bias is not None and made.bias is not None:
            made.bias.copy_(bias)
    return made


def _replace_split_attention(model: nn.Module, apart: bool) -> None:
    for parent in list(model.modules()):
        for name, module in parent.named_children():
            if isinstance(module, SplitAttentionMixer):
                setattr(parent, name, ChunkedSplitAttention(module, apart))


class SampledDeformConv(nn.Module):
    """A deformable convolution in operators that every runtime has: the map is sampled at all taps of all places, and a
    1x1 convolution weighs the samples. The slow twin is `dorsal.nn.layers.DeformConv`."""

    def __init__(self, module: DeformConv) -> None:
        super().__init__()
        self.offset, self.sizes = module.offset, module.sizes
        self.offset_groups = module.sizes[1] // 9
        self.stride, self.padding, self.dilation = module.stride, module.padding, module.dilation
        self.groups = module.offset.in_channels // module.weight.shape[1]
        self.weight = nn.Parameter(module.weight.detach().flatten(1)[..., None, None])
        rows, columns = torch.meshgrid(torch.arange(3.0), torch.arange(3.0), indexing="ij")
        self.register_buffer("rows", rows.reshape(9, 1, 1) * module.dilation - module.padding, persistent=False)
        self.register_buffer("columns", columns.reshape(9, 1, 1) * module.dilation - module.padding, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C_in, H, W] → [N, C_out, H / stride, W / stride]."""
        said, (images, channels, height, width) = self.offset(x), x.shape
        offset, mask = said.split(self.sizes, 1)
        places = said.shape[2:]
        sets = images * self.offset_groups
        moves = offset.reshape(sets, 9, 2, *places)
        down = torch.arange(places[0], device=x.device, dtype=x.dtype)[:, None] * self.stride
        across = torch.arange(places[1], device=x.device, dtype=x.dtype) * self.stride
        # grid_sample has the centres of the first and the last pixel at -1 and 1.
        y = 2 * (moves[:, :, 0] + self.rows + down) / max(height - 1, 1) - 1
        x_ = 2 * (moves[:, :, 1] + self.columns + across) / max(width - 1, 1) - 1
        grid = torch.stack([x_, y], -1).flatten(1, 2)
        maps = x.reshape(sets, channels // self.offset_groups, height, width)
        taken = F.grid_sample(maps, grid, mode="bilinear", padding_mode="zeros", align_corners=True)
        taken = taken.reshape(sets, -1, 9, *places) * mask.sigmoid().reshape(sets, 1, 9, *places)
        return F.conv2d(taken.reshape(images, channels * 9, *places), self.weight, groups=self.groups)


class ChunkedSplitAttention(nn.Module):
    """Split attention whose maps have four dimensions throughout, so that no runtime changes their layout on the way.

    Each split is pooled by itself. With two of them the softmax is a sigmoid of the difference of its two inputs, which
    the second layer gives at once with half of the weights; with more, each split has a second layer of its own.

    `apart`: each split has a convolution of its own, where the norm is folded. The slow twin is
    `dorsal.nn.split_attention.SplitAttentionMixer`.
    """

    def __init__(self, module: SplitAttentionMixer, apart: bool) -> None:
        super().__init__()
        self.radix = module.radix
        whole = module.splits
        self.convs = nn.ModuleList(_split_convs(whole, self.radix) if apart and _is_folded(whole) else [whole])
        self.fc1, self.fc1_norm, self.fc1_act = module.fc1, module.fc1_norm, module.fc1_act
        self.fc2 = nn.ModuleList(_second_layers(module))

    def forward(self, x: Tensor) -> Tensor:
        """[N, C_in, H, W] → [N, C_out, H / stride, W / stride]."""
        parts = self._parts(x)
        pooled = parts[0].mean((2, 3), keepdim=True)
        for part in parts[1:]:
            pooled = pooled + part.mean((2, 3), keepdim=True)
        hidden = self.fc1_act(self.fc1_norm(self.fc1(pooled)))
        logits = [layer(hidden) for layer in self.fc2]
        if self.radix == 1:
            return parts[0] * torch.sigmoid(logits[0])
        if self.radix == 2:
            share = torch.sigmoid(logits[0])
            return parts[0] * share + parts[1] * (1 - share)
        total: Tensor | None = None
        for part, share in zip(parts, torch.stack(logits).softmax(0).unbind(0), strict=True):
            total = part * share if total is None else total + part * share
        assert total is not None
        return total

    def _parts(self, x: Tensor) -> tuple[Tensor, ...]:
        """The splits."""
        if len(self.convs) < self.radix:
            return self.convs[0](x).chunk(self.radix, 1)  # type: ignore[no-any-return]
        return tuple(conv(part) for conv, part in zip(self.convs, x.chunk(self.radix, 1), strict=True))


def _is_folded(splits: ConvNorm) -> bool:
    return type(splits.conv) is nn.Conv2d and isinstance(splits.norm, nn.Identity)


def _split_convs(splits: ConvNorm, radix: int) -> list[nn.Module]:
    """A convolution and its activation for each split: its own part of the inputs, weights and groups."""
    conv = splits.conv
    assert isinstance(conv, nn.Conv2d)
    assert conv.bias is not None
    parts = zip(conv.weight.chunk(radix), conv.bias.chunk(radix), strict=True)
    return [nn.Sequential(_conv(conv, *part, groups=conv.groups // radix), copy.deepcopy(splits.act)) for part in parts]


def _second_layers(module: SplitAttentionMixer) -> list[nn.Module]:
    """The second layer for each split; for two of them, one layer for the difference of the first from the second.

    The outputs of the layer are those of the first cardinal group for all splits, then those of the second, ….
    """
    layer, radix = module.fc2, module.radix
    assert layer.bias is not None
    weight = layer.weight.reshape(module.cardinality, radix, -1, *layer.weight.shape[1:])
    bias = layer.bias.reshape(module.cardinality, radix, -1)
    of_split = [(weight[:, i].flatten(0, 1), bias[:, i].flatten(0, 1)) for i in range(radix)]
    if radix == 2:
        (first, first_bias), (second, second_bias) = of_split
        of_split = [(first - second, first_bias - second_bias)]
    return [_conv(layer, *each) for each in of_split]
