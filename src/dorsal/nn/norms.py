"""Normalisation layers and the policies for them: training, frozen, synchronised, group."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import gcd
from typing import Any, Literal

import torch
import torch.distributed as dist
import torch.fx
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d

from dorsal.spec.layers import Layer

NormKind = Literal["batch", "frozen", "sync", "group"]
"""The network's own `batch` or `group`, or a policy for batch norm: statistics and affine parameters fixed (`frozen`,
detectron2's FrozenBN), or batch statistics shared by all processes (`sync`)."""


def make_norm(kind: NormKind, layer: Layer, pooled: bool = False) -> nn.Module:
    """The norm of a record. Group norm has up to 32 groups of at least 4 channels; on globally `pooled` maps just one,
    since a group of few single values would be normalised to nearly nothing."""
    channels = layer.out_channels
    match kind:
        case "batch":
            return BatchNorm(channels)
        case "sync":
            return SyncBatchNorm(channels)
        case "frozen":
            norm: nn.Module = FrozenBatchNorm2d(channels)
            return norm
        case "group":
            return nn.GroupNorm(1 if pooled else gcd(32, channels, max(channels // 4, 1)), channels)


@torch.fx.wrap  # one node for symbolic tracing, which cannot follow the test on the shape
def batch_norm(
    x: Tensor,
    mean: Tensor | None,
    var: Tensor | None,
    count: Tensor | None,
    weight: Tensor,
    bias: Tensor,
    training: bool,
    momentum: float | None,
    eps: float,
) -> Tensor:
    """torch's batch norm, but for `training` on a single value a channel: see `BatchNorm`. [N, C, H, W] → the same.

    `mean`, `var` and `count` are the running statistics; without a `count` they stay as they are.
    """
    if training and x.shape[0] * x.shape[2] * x.shape[3] == 1:
        return F.batch_norm(x, mean, var, weight, bias, False, 0.0, eps)
    if not training or count is None:
        kept = (None, None) if training else (mean, var)
        return F.batch_norm(x, *kept, weight, bias, training, 0.0, eps)
    count.add_(1)
    return F.batch_norm(x, mean, var, weight, bias, True, 1 / float(count) if momentum is None else momentum, eps)


class BatchNorm(nn.BatchNorm2d):
    """Batch norm that trains on a single value a channel (a batch of one image whose map is 1x1).

    There is no batch variance then: torch raises, and so do all published ResNeSt codes at batch 1 or on a last batch
    of one. Here such a call normalises by the running statistics and leaves them as they are; scale and shift learn
    as usual. Every other call, and all of evaluation, is torch's batch norm.
    """

    recording = True
    """Whether training updates the running statistics; see `statistics_kept`."""

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] → the same shape."""
        count = self.num_batches_tracked if self.recording else None
        return batch_norm(
            x,
            self.running_mean,
            self.running_var,
            count,
            self.weight,
            self.bias,
            self.training,
            self.momentum,
            self.eps,
        )


class SyncBatchNorm(BatchNorm):
    """Batch norm with the statistics of the batches of all processes, on any device.

    torch's SyncBatchNorm runs on CUDA-like devices only; this one sums with `all_reduce`, so that it also runs, and is
    tested, on CPUs. Without several processes, and in evaluation, it is `BatchNorm`. Not run on CUDA so far.
    """

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] → the same shape."""
        if not (self.training and dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
            return super().forward(x)
        values = x.float()
        channels = x.shape[1]
        local = torch.cat((values.sum((0, 2, 3)), values.square().sum((0, 2, 3)), values.new_tensor([x[:, 0].numel()])))
        total: Tensor = _SumOverProcesses.apply(local)
        count = total[-1]
        mean = total[:channels] / count
        var = (total[channels:-1] / count - mean.square()).clamp(min=0)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        if self.recording and count > 1:
            self.num_batches_tracked.add_(1)
            share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
            self.running_mean.lerp_(mean.detach(), share)
            self.running_var.lerp_(var.detach() * count / (count - 1), share)
        scale = self.weight * (var + self.eps).rsqrt()
        shift = self.bias - mean * scale
        return torch.addcmul(shift[:, None, None], values, scale[:, None, None]).to(x.dtype)


class _SumOverProcesses(torch.autograd.Function):
    """all_reduce with its gradient: what every process's loss says of the sum, summed."""

    @staticmethod
    def forward(_: Any, local: Tensor) -> Tensor:
        total = local.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> Tensor:
        gradient = gradients[0].clone()
        dist.all_reduce(gradient)
        return gradient


@contextmanager
def statistics_kept(module: nn.Module) -> Iterator[None]:
    """Within it, training leaves the running statistics of the module's batch norms alone: for a second forward pass
    over the same batch, as gradient checkpointing makes."""
    norms = [each for each in module.modules() if isinstance(each, BatchNorm)]
    for norm in norms:
        norm.recording = False
    try:
        yield
    finally:
        for norm in norms:
            norm.recording = True
