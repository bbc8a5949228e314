"""Residual blocks from layer records: [N, C_in, H, W] → [N, C_out, H / stride, W / stride]."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import msgspec
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torchvision.ops import DropBlock2d, StochasticDepth, drop_block2d

from dorsal.nn.layers import ConvNorm, Records, activate, make_activation, make_conv, make_pool
from dorsal.nn.mixers import make_mixer
from dorsal.nn.norms import NORMS, NormKind, statistics_kept
from dorsal.nn.plain import call_of, is_large, is_plain, is_unwatched, runs_plainly
from dorsal.spec.block import Bottleneck, IdentityOnly, SqueezeExcite, ZeroPad
from dorsal.spec.stage import Activation, Stage


class Regularisation(msgspec.Struct, frozen=True):
    """What training adds to a block. It changes nothing in evaluation.

    `drop_path`: probability of dropping an image's residual branch (stochastic depth). `drop_block`: probability of
    DropBlock with 3x3 squares after reduce, mixer and expand, as in ResNeSt's training code.
    """

    drop_path: float = 0.0
    drop_block: float = 0.0


class SqueezeExciteGate(nn.Module):
    """Channel weights from the pooled map (arXiv 1709.01507 section 3). [N, C, H, W] → the same shape."""

    def __init__(self, records: Records, activation: Activation) -> None:
        super().__init__()
        self.fc1 = make_conv(records["attention.fc1"])
        self.act = make_activation(activation)
        self.fc2 = make_conv(records["attention.fc2"])
        self.gate = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] → [N, C, H, W]."""
        return x * self.gate(self.fc2(self.act(self.fc1(x.mean((2, 3), keepdim=True)))))  # type: ignore[no-any-return]


class ZeroPadShortcut(nn.Module):
    """Every stride-th position, zero channels added half before and half after (ResNet option A)."""

    def __init__(self, w_in: int, w_out: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.before, self.after = (w_out - w_in) // 2, (w_out - w_in + 1) // 2

    def forward(self, x: Tensor) -> Tensor:
        """[N, C_in, H, W] → [N, C_out, H / stride, W / stride]."""
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.before, self.after))


class ResidualBlock(nn.Module):
    """[Reduce 1x1] → mixer → [attention] → expand → [attention] → + shortcut → activation.

    A bottleneck has the reducing 1x1 and expands by a 1x1; a basic block goes straight to its mixer and "expands" by a
    3x3. `pool_before` and `pool_after` stand around the mixer where the block downsamples by pooling (ResNeSt).

    With `checkpointing` the block keeps only its input in training and runs again for the gradient (arXiv 1604.06174).
    """

    def __init__(
        self,
        stage: Stage,
        w_in: int,
        stride: int,
        records: Records,
        norm: NormKind,
        activation: Activation,
        extra: Regularisation,
    ) -> None:
        super().__init__()
        block = stage.block
        self.checkpointing = False
        self.reduce: nn.Module = nn.Identity()
        self.reduce_drop: nn.Module = nn.Identity()
        pools: dict[str, nn.Module] = {}
        if isinstance(block, Bottleneck):
            self.reduce = ConvNorm(records, "reduce", norm, activation, block.order)
            self.reduce_drop = _drop_block(extra)
            pools = {block.downsample: make_pool(records["pool"])} if "pool" in records else {}
        self.pool_before = pools.get("pool_before", nn.Identity())
        self.mixer = make_mixer(block.mixer, "mixer", records, norm, activation)
        self.mixer_drop = _drop_block(extra)
        self.pool_after = pools.get("pool_after", nn.Identity())
        self.mixer_attention = _attention(block.attention, "after_mixer", records, activation)
        self.expand = ConvNorm(records, "expand", norm)
        self.expand_drop = _drop_block(extra)
        self.expand_attention = _attention(block.attention, "after_expand", records, activation)
        self.drop_path = StochasticDepth(extra.drop_path, "row") if extra.drop_path else nn.Identity()
        kept = stride == 1 and w_in == stage.width
        self.residual = kept or not isinstance(block.shortcut, IdentityOnly)
        # Apart from the convolution, so that a dilated network, which does not pool here, has the same state keys.
        self.shortcut_pool = make_pool(records["shortcut.pool"]) if "shortcut.pool" in records else nn.Identity()
        self.shortcut = nn.Identity() if kept else _shortcut(stage, w_in, stride, records, norm)
        linear = isinstance(block, Bottleneck) and block.output == "linear"
        self.act = nn.Identity() if linear else make_activation(activation)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C_in, H, W] → [N, C_out, H / stride, W / stride]."""
        # torch.compile decides for itself what to run again.
        if self.checkpointing and self.training and torch.is_grad_enabled() and not torch.compiler.is_compiling():
            again: Tensor = checkpoint(self._run, x, use_reentrant=False, context_fn=self._contexts)
            return again
        return self._run(x)

    def _contexts(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        """For the first run and the second: the batch counts once in the running statistics."""
        return nullcontext(), statistics_kept(self)

    def _run(self, x: Tensor) -> Tensor:
        call = call_of(x)
        mine: dict[str, nn.Module] = self.__dict__["_modules"]  # quicker than `self.reduce`
        y = x
        for name in _BRANCH:
            y = call(mine[name], y)
        plain = is_large(y) and runs_plainly(y)
        owned = plain and self._owns_branch()
        if self.residual:
            y = call(mine["drop_path"], y)
            shortcut = call(mine["shortcut"], call(mine["shortcut_pool"], x))
            y = y.add_(shortcut) if owned and y.dtype == shortcut.dtype else y + shortcut
            owned = plain
        return activate(self.act, y, owned)

    def _owns_branch(self) -> bool:
        """Whether the branch ends in a new tensor, made by the last norm or after it, that no hook on the way sees."""
        expand = self.expand
        if type(expand) is not ConvNorm or not is_unwatched(expand) or not is_plain(expand.norm, *NORMS):
            return False
        after = (expand.act, self.expand_drop, self.expand_attention, self.drop_path)
        return all(type(module) in _PASSING and is_unwatched(module) for module in after)


_BRANCH = (
    "reduce", "reduce_drop", "pool_before", "mixer", "mixer_drop", "pool_after", "mixer_attention", "expand",
    "expand_drop", "expand_attention",
)  # fmt: skip
"""The modules of the residual branch in order."""

_PASSING = (nn.Identity, DropBlock2d, SqueezeExciteGate, StochasticDepth)
"""Modules that return the map that they are given, or a new one."""


class _DropBlock(DropBlock2d):  # type: ignore[misc]
    """torchvision's with 3x3 squares, which it shrinks to the map; squares of 2 it refuses, so here those are of 1."""

    def forward(self, input: Tensor) -> Tensor:
        side = 1 if min(input.shape[-2:]) == 2 else self.block_size
        return drop_block2d(input, self.p, side, self.inplace, self.eps, self.training)  # type: ignore[no-any-return]


def _drop_block(extra: Regularisation) -> nn.Module:
    return _DropBlock(extra.drop_block, block_size=3) if extra.drop_block else nn.Identity()


def _attention(attention: SqueezeExcite | None, position: str, records: Records, activation: Activation) -> nn.Module:
    if attention is None or attention.position != position:
        return nn.Identity()
    return SqueezeExciteGate(records, activation)


def _shortcut(stage: Stage, w_in: int, stride: int, records: Records, norm: NormKind) -> nn.Module:
    if isinstance(stage.block.shortcut, ZeroPad):
        return ZeroPadShortcut(w_in, stage.width, stride)
    return ConvNorm(records, "shortcut", norm) if "shortcut.conv" in records else nn.Identity()
