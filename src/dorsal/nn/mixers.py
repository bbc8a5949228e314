"""The spatial part of a block with its norms and activations: [N, C_in, H, W] → [N, C_out, H / stride, W / stride]."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dorsal.nn.layers import ConvNorm, Records, make_activation, make_conv, make_pool
from dorsal.nn.norms import NormKind, make_norm, normalize
from dorsal.nn.split_attention import SplitAttentionMixer
from dorsal.spec.block import Conv, Mixer, MultiScale, SelectiveKernel, SplitAttention
from dorsal.spec.stage import Activation


def make_mixer(mixer: Mixer, name: str, records: Records, norm: NormKind, activation: Activation) -> nn.Module:
    """The module of a mixer from the records under `name`."""
    match mixer:
        case Conv():
            return ConvNorm(records, name, norm, activation)
        case MultiScale():
            return MultiScaleMixer(mixer, name, records, norm, activation)
        case SplitAttention():
            return SplitAttentionMixer(mixer, name, records, norm, activation)
        case SelectiveKernel():
            return SelectiveKernelMixer(mixer, name, records, norm, activation)


class MultiScaleMixer(nn.Module):
    """The cascade of Res2Net (arXiv 1904.01169 eq. 1): y_i = mix_i(x_i + y_{i-1}), the last group passed through.

    The first block of a stage, the one with a `pool` record, adds nothing and average-pools the last group.
    """

    def __init__(self, mixer: MultiScale, name: str, records: Records, norm: NormKind, activation: Activation) -> None:
        super().__init__()
        self.groups = mixer.scales
        self.scales = nn.ModuleList(
            make_mixer(mixer.inner, f"{name}.scales.{index}", records, norm, activation)
            for index in range(max(mixer.scales - 1, 1))
        )
        pool = records.get(f"{name}.pool")
        self.pool = nn.Identity() if pool is None else make_pool(pool)
        self.cascade = pool is None
        self.aliased = mixer.aliased and self.cascade

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] → [N, C, H / stride, W / stride]."""
        groups = x.chunk(self.groups, 1)
        mixed: list[Tensor] = []
        for index, mix in enumerate(self.scales):
            mixed.append(mix(groups[index] + mixed[-1] if mixed and self.cascade else groups[index]))
        if self.groups > len(mixed):
            mixed.append(self.pool(groups[-1]))
        if self.aliased:
            mixed[0] = mixed[0] + groups[1]
        return torch.cat(mixed, 1)


class SelectiveKernelMixer(nn.Module):
    """Selective kernels (arXiv 1903.06586 section 3.1): paths of growing dilation, weighted by a softmax over paths."""

    def __init__(
        self, mixer: SelectiveKernel, name: str, records: Records, norm: NormKind, activation: Activation
    ) -> None:
        super().__init__()
        self.split_input = mixer.split_input
        self.paths = nn.ModuleList(
            ConvNorm(records, f"{name}.paths.{index}", norm, activation) for index in range(mixer.paths)
        )
        self.fc1 = make_conv(records[f"{name}.fc1"])
        self.fc1_norm = make_norm(norm, records[f"{name}.fc1_norm"], pooled=True)
        self.fc1_act = make_activation(activation)
        self.fc2 = make_conv(records[f"{name}.fc2"])

    def forward(self, x: Tensor) -> Tensor:
        """[N, C_in, H, W] → [N, C_out, H / stride, W / stride]."""
        count = len(self.paths)
        inputs = x.chunk(count, 1) if self.split_input else (x,) * count
        outputs = [path(inputs[index]) for index, path in enumerate(self.paths)]
        pooled = torch.stack([y.mean((2, 3), keepdim=True) for y in outputs]).sum(0)
        weights = (
            self.fc2(self.fc1_act(normalize(self.fc1_norm, self.fc1(pooled)))).unflatten(1, (count, -1)).softmax(1)
        )
        shares = weights.unbind(1)
        total: Tensor = outputs[0] * shares[0]
        for index in range(1, count):  # without a tensor of all the products
            total = torch.addcmul(total, outputs[index], shares[index])
        return total
