"""Convolution and norm in the forms a CPU is fastest at. The slow twin of all of them is
`normalize(norm, conv(x))`.

Three changes of form, none of result: a map is laid out channels last, which spares oneDNN two reorderings a
convolution; a 1x1 convolution is a matrix product, whose weight gradient is up to twice as fast; where no gradient is
wanted, batch norm is folded into the weight for this one call. Nothing is kept between calls, because no key would
be safe: batch norm in training and edits through `.data` leave a tensor's version as it is.
"""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dorsal.nn.norms import SyncBatchNorm, normalize
from dorsal.nn.plain import is_plain, runs_plainly


def convolve_and_norm(conv: nn.Module, norm: nn.Module, x: Tensor) -> Tensor:
    """normalize(norm, conv(x)): [N, C_in, H, W] → [N, C_out, H / stride, W / stride].

    On a CPU where this is faster the result is channels_last, whatever the layout of `x`. Everywhere else, and wherever
    a user has changed what either call does or sees (nn/plain.py), the two modules are called.
    """
    if not (runs_plainly(x) and x.is_cpu and is_faster_here() and is_plain(conv, nn.Conv2d)):
        return normalize(norm, conv(x))
    assert isinstance(conv, nn.Conv2d)
    if not _is_ordinary(conv, x):
        return normalize(norm, conv(x))
    if x.stride(1) != 1:
        x = x.contiguous(memory_format=torch.channels_last)
    if isinstance(norm, nn.BatchNorm2d) and _should_fold(conv, norm, x):
        return _convolve(conv, x, *_folded(conv, norm))
    return normalize(norm, _convolve(conv, x, conv.weight, conv.bias))


@cache
def is_faster_here() -> bool:
    """Whether these forms gain anything on this processor: with AVX-512 and oneDNN they do, with AVX2 alone they cost
    as much as they save, and in bfloat16 more (docs/log.md). Others were not measured and take the plain calls."""
    mkldnn = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return mkldnn and torch.backends.cpu.get_cpu_capability() == "AVX512"


def _is_ordinary(conv: nn.Conv2d, x: Tensor) -> bool:
    """Whether the forms below are written for this image and these values. The plain call takes more, and says better
    what is wrong."""
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


def _convolve(conv: nn.Conv2d, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    if weight.shape[2:] == (1, 1) and conv.groups == 1 and conv.padding == (0, 0) and _is_as_precise():
        if conv.stride != (1, 1):
            x = F.avg_pool2d(x, 1, conv.stride)  # takes every stride-th position, with a quicker backward than slicing
        return F.linear(x.permute(0, 2, 3, 1), weight.flatten(1), bias).permute(0, 3, 1, 2)
    return F.conv2d(x, weight, bias, conv.stride, conv.padding, conv.dilation, conv.groups)


def _is_as_precise() -> bool:
    """Whether products of matrices may round as convolutions may (`torch.set_float32_matmul_precision` parts them)."""
    mkldnn = torch.backends.mkldnn
    return bool(mkldnn.matmul.fp32_precision == mkldnn.conv.fp32_precision)  # type: ignore[attr-defined]


def _should_fold(conv: nn.Conv2d, norm: nn.BatchNorm2d, x: Tensor) -> bool:
    """Whether the norm can be folded, and the weight is smaller than the map that is then not normalized."""
    if torch.is_grad_enabled() or norm.training or not is_plain(norm, nn.BatchNorm2d, SyncBatchNorm):
        return False
    weight = conv.weight
    # The product of two half-precision roundings would be one more error than the twin makes.
    if weight.dtype not in (torch.float32, torch.float64):
        return False
    for value in (norm.running_mean, norm.running_var, norm.weight, norm.bias):
        if value is None or type(value) not in (Tensor, nn.Parameter) or value.dtype != weight.dtype:
            return False
    positions = x.shape[0] * x.shape[2] * x.shape[3] // (conv.stride[0] * conv.stride[1])
    return positions * weight.shape[0] >= weight.numel()


def _folded(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Weight and bias of the convolution that does the work of both."""
    mean, var = norm.running_mean, norm.running_var
    assert mean is not None
    assert var is not None
    scale = norm.weight * torch.rsqrt(var + norm.eps)
    shift = -mean if conv.bias is None else conv.bias - mean
    return conv.weight * scale.view(-1, 1, 1, 1), torch.addcmul(norm.bias, shift, scale)
