"""Convolution and norm in the forms a CPU is fastest at. The slow twin of all of them is
`normalize(norm, conv(x))`.

Three changes of form, none of result: a map is laid out channels last, which spares oneDNN two reorderings a
convolution; a 1x1 convolution is a matrix product, whose weight gradient is up to twice as fast; where no gradient is
wanted, batch norm is folded into the weight for this one call. Nothing is kept between calls, because no key would
be safe: batch norm in training and edits through `.data` leave a tensor's version as it is.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook

from dorsal.nn.norms import SyncBatchNorm, normalize


def convolve_and_norm(conv: nn.Module, norm: nn.Module, x: Tensor) -> Tensor:
    """normalize(norm, conv(x)): [N, C_in, H, W] → [N, C_out, H / stride, W / stride].

    On a CPU the result is channels_last whatever the layout of `x`. Compilers, exporters and tracers, hooks on either
    module, and modules that are not plain ones see and get the plain calls.
    """
    if not (_is_eager_on_cpu(x) and type(conv) is nn.Conv2d and _may_be_bypassed(conv)):
        return normalize(norm, conv(x))
    if x.stride(1) != 1:
        x = x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)  # Tensor.contiguous(channels_last) fails in vmap
    if isinstance(norm, nn.BatchNorm2d) and _should_fold(conv, norm, x):
        return _convolve(conv, x, *_folded(conv, norm))
    return normalize(norm, _convolve(conv, x, conv.weight, conv.bias))


def _is_eager_on_cpu(x: Tensor) -> bool:
    tracing = torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]
    return not tracing and type(x) is Tensor and x.device.type == "cpu"


def _convolve(conv: nn.Conv2d, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    if conv.kernel_size == (1, 1) and conv.groups == 1 and conv.padding == (0, 0):
        if conv.stride != (1, 1):
            x = F.avg_pool2d(x, 1, conv.stride)  # takes every stride-th position, with a quicker backward than slicing
        return F.linear(x.permute(0, 2, 3, 1), weight.flatten(1), bias).permute(0, 3, 1, 2)
    return F.conv2d(x, weight, bias, conv.stride, conv.padding, conv.dilation, conv.groups)


def _should_fold(conv: nn.Conv2d, norm: nn.BatchNorm2d, x: Tensor) -> bool:
    """Whether the norm can be folded, and the weight is smaller than the map that is then not normalized."""
    if torch.is_grad_enabled() or norm.training or type(norm) not in (nn.BatchNorm2d, SyncBatchNorm):
        return False
    # The product of two half-precision roundings would be one more error than the twin makes.
    if conv.weight.dtype not in (torch.float32, torch.float64) or not _may_be_bypassed(norm):
        return False
    positions = x.shape[0] * x.shape[2] * x.shape[3] // (conv.stride[0] * conv.stride[1])
    return positions >= conv.weight[0].numel()


def _folded(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Weight and bias of the convolution that does the work of both."""
    mean, var = norm.running_mean, norm.running_var
    assert mean is not None
    assert var is not None
    scale = norm.weight * torch.rsqrt(var + norm.eps)
    shift = -mean if conv.bias is None else conv.bias - mean
    return conv.weight * scale.view(-1, 1, 1, 1), torch.addcmul(norm.bias, shift, scale)


def _may_be_bypassed(module: nn.Module) -> bool:
    """Whether nobody watches or has replaced the module's call."""
    hooks = (
        module._forward_hooks,
        module._forward_pre_hooks,
        module._backward_hooks,
        module._backward_pre_hooks,
    )
    watched = any(hooks) or _has_any_global_hook()  # type: ignore[no-untyped-call]
    return not watched and "forward" not in module.__dict__
