"""How far activations on some images are from those that a network saw in training, by its own batch norms."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
from statistics import median
from typing import Any

import msgspec
import torch
from torch import Tensor, nn
from torch.nn.modules.instancenorm import _InstanceNorm

BATCH = 32
"""Images a forward pass."""
FEWEST_VALUES = 64
"""A norm with fewer values a channel, such as one on pooled maps, has no variance to speak of."""


class Gap(msgspec.Struct, frozen=True):
    """The median over `norms` norms of |log(variance / running variance)|, each the median of its channels.

    0 is the same, 0.1 a tenth more or less, infinite where an activation is not finite.
    """

    value: float
    norms: int


def variance_gap(model: nn.Module, images: Tensor, prepare: Callable[[Tensor], Tensor]) -> Gap | None:
    """The gap on images uint8 [N, C, H, W], which `prepare` turns into inputs.

    The network is in evaluation meanwhile, and afterwards as it was. None where no batch norm has running statistics
    of a training, or all have too few values.
    """
    parts: dict[nn.Module, list[_Part]] = {module: [] for module in model.modules() if _is_trained(module)}
    if not parts:
        return None
    hooks = [norm.register_forward_pre_hook(partial(_measure, parts), with_kwargs=True) for norm in parts]
    try:
        with evaluating(model):
            for part in torch.split(images, BATCH):
                model(as_input(model, part, prepare))
    finally:
        for hook in hooks:
            hook.remove()
    gaps = [_gap(norm, found) for norm, found in parts.items() if sum(part.count for part in found) >= FEWEST_VALUES]
    return Gap(median(gaps), len(gaps)) if gaps else None


class _Part(msgspec.Struct, frozen=True):
    """Mean and variance [C] of `count` values a channel."""

    count: int
    mean: Tensor
    variance: Tensor


def _measure(
    parts: dict[nn.Module, list[_Part]], norm: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]
) -> None:
    """Keeps numbers and not the map, which a later operation may change in place."""
    values: Tensor = next(chain(inputs, named.values()))
    variance, mean = torch.var_mean(values.detach().float(), [0, *range(2, values.ndim)], correction=0)
    parts[norm].append(_Part(values.numel() // values.shape[1], mean.cpu().double(), variance.cpu().double()))


def _gap(norm: nn.Module, parts: list[_Part]) -> float:
    """What a norm finds, compared as it would divide by it: with the small number that it adds to variances."""
    counts = torch.tensor([part.count for part in parts], dtype=torch.float64)[:, None]
    means, variances = torch.stack([part.mean for part in parts]), torch.stack([part.variance for part in parts])
    share = counts / counts.sum()
    mean = (share * means).sum(0)
    variance = (share * (variances + (means - mean) ** 2)).sum(0)
    running, least = torch.as_tensor(norm.running_var), float(getattr(norm, "eps", 1e-5))
    ratio = (variance + least) / (running.detach().cpu().double() + least)
    return ratio.log().abs().nan_to_num(nan=math.inf, posinf=math.inf).median().item()


def as_input(model: nn.Module, images: Tensor, prepare: Callable[[Tensor], Tensor]) -> Tensor:
    """Images uint8 [N, C, H, W] as the network takes them: prepared, of its type and on its device."""
    like = next((value for value in chain(model.parameters(), model.buffers()) if value.is_floating_point()), None)
    if like is None:
        return prepare(images)
    return prepare(images.to(like.device)).to(like.dtype)


def _is_trained(module: nn.Module) -> bool:
    """Whether it is a batch norm, of any library, whose running statistics are not those that it was made with."""
    mean, variance = getattr(module, "running_mean", None), getattr(module, "running_var", None)
    if not (isinstance(mean, Tensor) and isinstance(variance, Tensor)) or isinstance(module, _InstanceNorm):
        return False
    return bool((mean != 0).any() or (variance != 1).any())


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Within it the network is in evaluation, without gradients; then its modes and buffers are as before, to the bit.

    Buffers too, since some modules stay in training whatever they are told and change their running statistics.
    """
    modes = [(module, module.training) for module in model.modules()]
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for buffer, kept in buffers:
            if not torch.equal(buffer, kept):
                buffer.copy_(kept)
        for module, mode in modes:  # from the outside in: a module may set those within it
            module.train(mode)
        for module, mode in modes:
            module.training = mode
