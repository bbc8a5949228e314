"""Split attention (ResNeSt, arXiv 2004.08955 section 3.1) in the radix-major form, and its slow twin.

In the paper's figure each cardinal group computes its own splits. Laid out radix-major, all groups' first splits first,
the same sums are plain grouped convolutions; released weights have this layout. `split_attention_by_group` writes the
paper's loop out and must give the same result.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dorsal.nn.layers import ConvNorm, Records, make_activation, make_conv
from dorsal.nn.norms import NormKind, make_norm, normalize
from dorsal.spec.block import SplitAttention
from dorsal.spec.stage import Activation


class SplitAttentionMixer(nn.Module):
    """Grouped 3x3 convolution to radix x C channels, then a weighted sum of the radix splits.

    The weights are a softmax over the splits (radix 1: a sigmoid) of a two-layer network on the pooled sum of splits.
    """

    def __init__(
        self, mixer: SplitAttention, name: str, records: Records, norm: NormKind, activation: Activation
    ) -> None:
        super().__init__()
        self.radix, self.cardinality = mixer.radix, mixer.cardinality
        self.splits = ConvNorm(records, name, norm, activation)
        self.fc1 = make_conv(records[f"{name}.fc1"])
        self.fc1_norm = make_norm(norm, records[f"{name}.fc1_norm"], pooled=True)
        self.fc1_act = make_activation(activation)
        self.fc2 = make_conv(records[f"{name}.fc2"])

    def forward(self, x: Tensor) -> Tensor:
        """[N, C_in, H, W] → [N, C_out, H / stride, W / stride]."""
        splits = self.splits(x)
        # Pooling before adding the splits reads the map once and adds only [N, C] numbers.
        pooled = splits.mean((2, 3), keepdim=True).unflatten(1, (self.radix, -1)).sum(1)
        logits = self.fc2(self.fc1_act(normalize(self.fc1_norm, self.fc1(pooled))))
        if self.radix == 1:
            return splits * torch.sigmoid(logits)  # type: ignore[no-any-return]
        # fc2 is grouped by cardinality, so its output is cardinality-major; the splits are radix-major.
        weights = logits.unflatten(1, (self.cardinality, self.radix, -1)).softmax(2).transpose(1, 2).flatten(2, 3)
        parts, shares = splits.chunk(self.radix, 1), weights.unbind(1)
        total: Tensor = parts[0] * shares[0]
        for index in range(1, self.radix):
            total = torch.addcmul(total, parts[index], shares[index])
        return total


def split_attention_by_group(module: SplitAttentionMixer, x: Tensor) -> Tensor:
    """The paper's form: every cardinal group convolves, pools and weights its own splits in a loop. Slow twin.

    Works in evaluation mode with batch norm. [N, C_in, H, W] → [N, C_out, H / stride, W / stride].
    """
    radix, cardinality = module.radix, module.cardinality
    conv, norm, fc_norm = module.splits.conv, module.splits.norm, module.fc1_norm
    assert isinstance(conv, nn.Conv2d)
    parts = radix * cardinality
    inputs, weights = x.chunk(parts, 1), conv.weight.chunk(parts, 0)
    normalized: list[Tensor] = []
    for index in range(parts):
        y = F.conv2d(inputs[index], weights[index], None, conv.stride, conv.padding, conv.dilation)
        normalized.append(module.splits.act(_part_of_norm(norm, y, index, parts)))
    outputs = []
    for group in range(cardinality):
        splits = [normalized[r * cardinality + group] for r in range(radix)]
        pooled = sum(splits, torch.zeros_like(splits[0])).mean((2, 3), keepdim=True)
        hidden = F.conv2d(pooled, module.fc1.weight.chunk(cardinality)[group], _chunk(module.fc1, cardinality, group))
        hidden = module.fc1_act(_part_of_norm(fc_norm, hidden, group, cardinality))
        logits = F.conv2d(hidden, module.fc2.weight.chunk(cardinality)[group], _chunk(module.fc2, cardinality, group))
        logits = torch.stack(logits.chunk(radix, 1))
        attention = torch.sigmoid(logits) if radix == 1 else logits.softmax(0)
        outputs.append(sum((a * s for a, s in zip(attention, splits, strict=True)), torch.zeros_like(splits[0])))
    return torch.cat(outputs, 1)


def _chunk(conv: nn.Conv2d, parts: int, index: int) -> Tensor:
    assert conv.bias is not None
    return conv.bias.chunk(parts)[index]


def _part_of_norm(norm: nn.Module, x: Tensor, index: int, parts: int) -> Tensor:
    """Evaluation-mode batch norm of one of `parts` equal channel ranges."""
    assert isinstance(norm, nn.BatchNorm2d)
    mean, var = norm.running_mean, norm.running_var
    assert mean is not None
    assert var is not None
    mean, var, weight, bias = (t.chunk(parts)[index] for t in (mean, var, norm.weight, norm.bias))
    return F.batch_norm(x, mean, var, weight, bias, training=False, eps=norm.eps)
