"""Residual blocks from layer records: [N, C_in, H, W] → [N, C_out, H / stride, W / stride]."""

from __future__ import annotations

import msgspec
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import DropBlock2d, StochasticDepth

from dorsal.nn.mixers import make_mixer
from dorsal.nn.parts import ConvNorm, Records, make_activation, make_conv, make_pool
from dorsal.spec.block import Bottleneck, SqueezeExcite, ZeroPad
from dorsal.spec.network import Activation, Norm, Stage


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
    """

    def __init__(
        self,
        stage: Stage,
        w_in: int,
        stride: int,
        records: Records,
        norm: Norm,
        activation: Activation,
        extra: Regularisation,
    ) -> None:
        super().__init__()
        block = stage.block
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
        self.shortcut = _shortcut(stage, w_in, stride, records, norm)
        self.act = make_activation(activation)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C_in, H, W] → [N, C_out, H / stride, W / stride]."""
        y = self.pool_before(self.reduce_drop(self.reduce(x)))
        y = self.pool_after(self.mixer_drop(self.mixer(y)))
        y = self.expand_drop(self.expand(self.mixer_attention(y)))
        y = self.drop_path(self.expand_attention(y))
        y += self.shortcut(x)
        return self.act(y)  # type: ignore[no-any-return]


def _drop_block(extra: Regularisation) -> nn.Module:
    return DropBlock2d(extra.drop_block, block_size=3) if extra.drop_block else nn.Identity()


def _attention(attention: SqueezeExcite | None, position: str, records: Records, activation: Activation) -> nn.Module:
    if attention is None or attention.position != position:
        return nn.Identity()
    return SqueezeExciteGate(records, activation)


def _shortcut(stage: Stage, w_in: int, stride: int, records: Records, norm: Norm) -> nn.Module:
    if stride == 1 and w_in == stage.width:
        return nn.Identity()
    if isinstance(stage.block.shortcut, ZeroPad):
        return ZeroPadShortcut(w_in, stage.width, stride)
    conv = ConvNorm(records, "shortcut", norm)
    pool = records.get("shortcut.pool")
    return conv if pool is None else nn.Sequential(make_pool(pool), conv)
