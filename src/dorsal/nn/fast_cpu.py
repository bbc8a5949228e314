"""Convolution and norm in forms that CPUs are faster at. The slow twin of all of them is
`normalize(norm, conv(x))`.

Three changes of form, none of result: a map that is larger than the weight is laid out channels last, which spares
oneDNN two reorderings; a 1x1 convolution in bfloat16 is a matrix product, whose weight gradient is up to ten times as
fast; where no gradient is wanted, batch norm is folded into the weight for this one call. Nothing is kept between
calls, because no key would be safe: batch norm in training and edits through `.data` leave a tensor's version as it is.
What each gains, and where it does not and is not taken, is in docs/log.md.
"""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dorsal.nn.norms import SyncBatchNorm, normalize
from dorsal.nn.plain import is_large, is_plain, runs_plainly


def convolve_and_norm(conv: nn.Module, norm: nn.Module, x: Tensor) -> Tensor:
    """normalize(norm, conv(x)): [N, C_in, H, W] → [N, C_out, H / stride, W / stride].

    On a CPU where that is faster the result may be channels_last, whatever the layout of `x`. Everywhere else, and
    wherever a user has changed what either call does or sees (nn/plain.py), the two modules are called.
    """
    if not (_may_gain(conv, norm, x) and runs_plainly(x) and is_plain(conv, nn.Conv2d)):
        return normalize(norm, conv(x))
    assert isinstance(conv, nn.Conv2d)
    if not (_is_ordinary(conv, x) and is_faster_here(_precision(conv.weight))):
        return normalize(norm, conv(x))
    if _should_multiply(conv):
        return normalize(norm, matrix_product(conv, x))
    x = _laid_out(x, conv.weight)
    if isinstance(norm, nn.BatchNorm2d) and _should_fold(conv, norm, x):
        return folded(conv, norm, x)
    return normalize(norm, conv(x))


@cache
def is_faster_here(precision: torch.dtype) -> bool:
    """Whether these forms gain anything here in `precision`: with oneDNN, on AVX-512 in float32 and bfloat16, on AVX2
    in float32 (docs/log.md). What was not measured takes the plain calls."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    gains = {"AVX512": (torch.float32, torch.bfloat16), "AVX2": (torch.float32,)}
    return precision in gains.get(torch.backends.cpu.get_cpu_capability(), ())


def matrix_product(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """conv(x) of an unpadded, ungrouped 1x1 convolution, channels last."""
    x = x.contiguous(memory_format=torch.channels_last)  # of other layouts the product is slow
    if conv.stride != (1, 1):
        x = F.avg_pool2d(x, 1, conv.stride)  # takes every stride-th position, with a quicker backward than slicing
    return F.linear(x.permute(0, 2, 3, 1), conv.weight.flatten(1), conv.bias).permute(0, 3, 1, 2)


def folded(conv: nn.Conv2d, norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
    """norm(conv(x)) by running statistics, as one convolution."""
    mean, var = norm.running_mean, norm.running_var
    assert mean is not None
    assert var is not None
    scale = norm.weight * torch.rsqrt(var + norm.eps)
    shift = -mean if conv.bias is None else conv.bias - mean
    weight, bias = conv.weight * scale.view(-1, 1, 1, 1), torch.addcmul(norm.bias, shift, scale)
    return F.conv2d(x, weight, bias, conv.stride, conv.padding, conv.dilation, conv.groups)


def _may_gain(conv: nn.Module, norm: nn.Module, x: Tensor) -> bool:
    """Whether any form can gain on a map and a weight of these sizes. It is asked first, and most calls on small maps
    end here: all the other questions take longer than such a call could gain."""
    if not (is_large(x) and x.is_cpu and x.ndim == 4 and type(conv) is nn.Conv2d):
        return False
    weight = conv._parameters.get("weight")
    if weight is None or weight.ndim != 4:
        return False
    if _better_layout(x, weight) is not None or _precision(weight) == torch.bfloat16:
        return True
    return not (torch.is_grad_enabled() or norm.training) and _outnumbers(conv, weight, x)


def _is_ordinary(conv: nn.Conv2d, x: Tensor) -> bool:
    """Whether the forms are written for this image and these values. The plain call takes more, and says better what
    is wrong."""
    weight = conv.weight
    return (
        conv.padding_mode == "zeros"
        and type(conv.stride) is tuple
        and type(weight) in (Tensor, nn.Parameter)
        and x.ndim == weight.ndim == 4
        and x.shape[1] == weight.shape[1] * conv.groups
        and x.is_floating_point()
        and (x.dtype == weight.dtype or torch.is_autocast_enabled("cpu"))
    )


def _laid_out(x: Tensor, weight: Tensor) -> Tensor:
    """The map in the layout that is faster: channels last, unless the weight is not and is much larger, since every
    call then reorders the weight. In between both are about as fast, and the map stays as it is."""
    layout = _better_layout(x, weight)
    return x if layout is None else x.contiguous(memory_format=layout)


def _better_layout(x: Tensor, weight: Tensor) -> torch.memory_format | None:
    """The layout that a map should change to."""
    last = x.stride(1) == 1
    if not last and x.numel() >= weight.numel():
        return torch.channels_last
    if last and 8 * x.numel() < weight.numel() and not weight.is_contiguous(memory_format=torch.channels_last):
        return torch.contiguous_format
    return None


def _precision(weight: Tensor) -> torch.dtype:
    """What a convolution of this weight computes in."""
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else weight.dtype


def _should_multiply(conv: nn.Conv2d) -> bool:
    """Whether the convolution is a matrix product, and in bfloat16. In float32 products can be half as fast."""
    return (
        conv.weight.shape[2:] == (1, 1)
        and conv.groups == 1
        and conv.padding == (0, 0)
        and _precision(conv.weight) == torch.bfloat16
    )


def _should_fold(conv: nn.Conv2d, norm: nn.BatchNorm2d, x: Tensor) -> bool:
    """Whether the norm can be folded, and the weight is much smaller than the map that is then not normalized."""
    if torch.is_grad_enabled() or norm.training or not is_plain(norm, nn.BatchNorm2d, SyncBatchNorm):
        return False
    weight = conv.weight
    # In half precision the product of two roundings would be one more error than the twin makes.
    if _precision(weight) not in (torch.float32, torch.float64):
        return False
    for value in (norm.running_mean, norm.running_var, norm.weight, norm.bias):
        if value is None or type(value) not in (Tensor, nn.Parameter) or value.dtype != weight.dtype:
            return False
    return _outnumbers(conv, weight, x)


def _outnumbers(conv: nn.Conv2d, weight: Tensor, x: Tensor) -> bool:
    """Whether there are four times as many outputs as weights."""
    if type(conv.stride) is not tuple:
        return False
    images, _, height, width = x.shape
    positions = images * height * width // (conv.stride[0] * conv.stride[1])
    return positions * weight.shape[0] >= 4 * weight.numel()
