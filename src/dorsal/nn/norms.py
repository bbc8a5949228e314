"""Normalization layers and the policies for them: training, frozen, synchronised, group."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import gcd
from typing import Any, Literal

import torch
import torch.distributed as dist
import torch.fx
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torchvision.ops import FrozenBatchNorm2d

from dorsal.spec.layers import Layer

NormKind = Literal["batch", "frozen", "sync", "group"]
"""The network's own `batch` or `group`, or a policy for batch norm: statistics and affine parameters fixed (`frozen`,
detectron2's FrozenBN), or batch statistics shared by all processes (`sync`)."""


def make_norm(kind: NormKind, layer: Layer, pooled: bool = False) -> nn.Module:
    """The norm of a record. Group norm has up to 32 groups of at least 4 channels; on globally `pooled` maps just one,
    since a group of few single values would be normalized to nearly nothing."""
    channels = layer.out_channels
    match kind:
        case "batch":
            return nn.BatchNorm2d(channels)
        case "sync":
            return SyncBatchNorm(channels)
        case "frozen":
            norm: nn.Module = FrozenBatchNorm2d(channels)
            return norm
        case "group":
            return nn.GroupNorm(1 if pooled else gcd(32, channels, max(channels // 4, 1)), channels)


def group_norm(channels: int) -> nn.GroupNorm:
    """The group norm of necks and heads, as detectron2 has it: 32 groups (arXiv 1803.08494), or as many as divide both
    32 and the channels, even of one channel each."""
    return nn.GroupNorm(gcd(32, channels), channels)


class SyncBatchNorm(nn.BatchNorm2d):
    """Batch norm with the statistics of the batches of all processes.

    torch's own runs on CUDA-like devices only, and DistributedDataParallel refuses it on CPUs; this one sums with
    `all_reduce` on any device. Not run on CUDA so far.
    """

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] → the same shape."""
        return _synchronised(self, x) if self.training and _several_processes() else super().forward(x)


def synchronise(module: nn.Module) -> None:
    """Puts a `SyncBatchNorm` in the place of each batch norm within a module."""
    for parent in list(module.modules()):
        for name, norm in parent.named_children():
            if type(norm) is nn.BatchNorm2d:
                twin = SyncBatchNorm(norm.num_features)
                twin.load_state_dict(norm.state_dict())
                setattr(parent, name, twin)


NORMS = (nn.BatchNorm2d, SyncBatchNorm, FrozenBatchNorm2d, nn.GroupNorm)
"""What `make_norm` makes. All of them return a new tensor."""


def normalize(norm: nn.Module, x: Tensor) -> Tensor:
    """The norm of a map: `norm(x)`, but for one case in training. [N, C, H, W] → the same shape.

    A single value a channel (a batch of one image whose map is 1x1) has no batch variance: torch raises, and so do all
    published ResNeSt codes at batch 1 or on a last batch of one. Here it is normalized by the running statistics, if
    there are any, which stay as they are; scale and shift learn as usual.

    The modules of all policies but one are torch's own, so that tools for tracing, fusing and converting know them; a
    symbolic trace (torch.fx) records the plain module.
    """
    if not norm.training or isinstance(x, torch.fx.Proxy) or not isinstance(norm, nn.BatchNorm2d):
        return norm(x)  # type: ignore[no-any-return]
    if x.shape[0] * x.shape[2] * x.shape[3] != 1 or norm.running_mean is None:
        return norm(x)  # type: ignore[no-any-return]
    if isinstance(norm, SyncBatchNorm) and _several_processes():
        return norm(x)  # type: ignore[no-any-return]
    norm.training = False  # not a function in its place: hooks and whatever else the norm has are to see the call
    try:
        return norm(x)  # type: ignore[no-any-return]
    finally:
        norm.training = True


def _several_processes() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def _synchronised(norm: SyncBatchNorm, x: Tensor) -> Tensor:
    """Batch norm by the mean and variance over all processes, summed one after the other so that nothing cancels."""
    values = x.to(torch.promote_types(x.dtype, torch.float32))
    sums: Tensor = _SumOverProcesses.apply(torch.cat((values.sum((0, 2, 3)), values.new_tensor([x[:, 0].numel()]))))
    count = sums[-1]
    mean = sums[:-1] / count
    centred = values - mean[:, None, None]
    squares: Tensor = _SumOverProcesses.apply(centred.square().sum((0, 2, 3)))
    var = squares / count
    if norm.track_running_stats and norm.running_mean is not None and norm.running_var is not None:
        assert norm.num_batches_tracked is not None
        norm.num_batches_tracked.add_(1)
        share = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
        norm.running_mean.lerp_(mean.detach(), share)
        norm.running_var.lerp_(squares.detach() / (count - 1).clamp(min=1), share)
    scale = (var + norm.eps).rsqrt() if norm.weight is None else norm.weight * (var + norm.eps).rsqrt()
    if norm.bias is None:
        return (centred * scale[:, None, None]).to(x.dtype)
    return torch.addcmul(norm.bias[:, None, None], centred, scale[:, None, None]).to(x.dtype)


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
    norms = [norm for norm in module.modules() if isinstance(norm, _BatchNorm)]
    kept = []
    for norm in norms:
        count = norm.num_batches_tracked  # None without running statistics
        kept.append((norm.momentum, None if count is None else count.clone()))
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, kept, strict=True):
            norm.momentum = momentum
            norm.num_batches_tracked = count
