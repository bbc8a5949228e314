"""Network → torch module, from the same layer records that costs are counted on."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torchvision.ops import DropBlock2d

from dorsal.nn.blocks import Regularisation, ResidualBlock
from dorsal.nn.parts import ConvNorm, DeformConv, Records, make_pool
from dorsal.spec.layers import Feature, Part, features, plan
from dorsal.spec.network import Network
from dorsal.spec.stem import Deep, stem_widths

DROP_BLOCK_STAGES = 2
"""DropBlock acts in the last two stages (ResNeSt's training code: layer3 and layer4)."""


class StemModule(nn.Module):
    """Convolutions to the first feature map [N, C, H / stride, W / stride]; the pool is applied after it by `pool`."""

    def __init__(self, network: Network, records: Records) -> None:
        super().__init__()
        stem = network.stem
        order = stem.order if isinstance(stem, Deep) else "norm_act"
        self.convs = nn.Sequential(
            *(
                ConvNorm(records, f"convs.{i}", network.norm, network.activation, order)
                for i in range(len(stem_widths(stem)))
            )
        )
        self.pool = make_pool(records["pool"]) if stem.pool else nn.Identity()


class Backbone(nn.Module):
    """A network as a module: `forward` classifies, `features` returns the pyramid.

    `info` says what `features` returns: name, channels and stride of each level. `network` is the description it was
    built from.
    """

    def __init__(self, network: Network, drop_path: float, drop_block: float, dropout: float) -> None:
        super().__init__()
        self.network = network
        self.info: tuple[Feature, ...] = features(network)
        stem, *parts, _ = plan(network, max(network.total_stride, 32))
        self.stem = StemModule(network, _records(stem))
        depth = sum(stage.depth for stage in network.stages)
        done, width = 0, self.info[0].channels
        self.stages = nn.ModuleList()
        for index, stage in enumerate(network.stages):
            blocks = []
            # A stage has one part for its first block and, if it has more, one for all others.
            first, rest = parts.pop(0), parts.pop(0) if stage.depth > 1 else None
            for position in range(stage.depth):
                part = first if position == 0 or rest is None else rest
                late = index >= len(network.stages) - DROP_BLOCK_STAGES
                # Stochastic depth grows linearly from 0 at the first block to its full rate at the last.
                rate = drop_path * done / max(depth - 1, 1)
                extra = Regularisation(rate, drop_block if late else 0.0)
                stride = stage.stride if position == 0 else 1
                blocks.append(
                    ResidualBlock(stage, width, stride, _records(part), network.norm, network.activation, extra)
                )
                done, width = done + 1, stage.width
            self.stages.append(nn.Sequential(*blocks))
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.fc = nn.Linear(width, network.head.classes)

    def features(self, x: Tensor) -> tuple[Tensor, ...]:
        """Images [N, in_channels, H, W] → the maps [N, channels, H / stride, W / stride] of `info`, fine to coarse."""
        x = self.stem.convs(x)
        maps = [x]
        x = self.stem.pool(x)
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return tuple(maps)

    def forward(self, x: Tensor) -> Tensor:
        """Images [N, in_channels, H, W] → logits [N, classes]."""
        x = self.stem.pool(self.stem.convs(x))
        for stage in self.stages:
            x = stage(x)
        return self.fc(self.dropout(x.mean((2, 3))))  # type: ignore[no-any-return]


def build(
    network: Network,
    *,
    drop_path: float = 0.0,
    drop_block: float = 0.0,
    dropout: float = 0.0,
    zero_init: bool = False,
) -> Backbone:
    """A freshly initialised module of the network, on torch's default device (`with torch.device(...)`; meta works).

    - `drop_path`: stochastic depth, probability at the last block, growing linearly from 0 (arXiv 1603.09382).
    - `drop_block`: DropBlock (arXiv 1810.12890) with 3x3 squares in the last two stages; see `set_drop_block`.
    - `dropout`: before the classifier.
    - `zero_init`: the last norm's scale of every residual branch starts at 0, so each block starts as its shortcut.

    Every family is initialised alike: convolutions normal with std sqrt(2 / (k*k*C_out)) (arXiv 1502.01852, fan out,
    groups not divided: as pycls), classifier normal with std 0.01, norms 1 and 0, biases 0.

    Raises ValueError for a probability outside [0, 1).
    """
    for name, rate in (("drop_path", drop_path), ("drop_block", drop_block), ("dropout", dropout)):
        if not 0 <= rate < 1:
            raise ValueError(f"{name}={rate} must be at least 0 and below 1")
    device = torch.get_default_device()
    with torch.device("meta"):  # nothing is initialised twice
        model = Backbone(network, drop_path, drop_block, dropout)
    if device.type != "meta":
        model.to_empty(device=device)
        _initialise(model, zero_init)
    return model


def set_drop_block(model: nn.Module, probability: float) -> None:
    """Sets the probability of every DropBlock in the model, as a schedule does during training."""
    for module in model.modules():
        if isinstance(module, DropBlock2d):
            module.p = probability


def _initialise(model: Backbone, zero_init: bool) -> None:
    for module in model.modules():
        match module:
            case nn.Conv2d() | DeformConv():
                fan_out = module.weight.shape[0] * module.weight.shape[2] * module.weight.shape[3]
                nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
                if isinstance(module, nn.Conv2d) and module.bias is not None:
                    nn.init.zeros_(module.bias)
            case nn.BatchNorm2d() | nn.GroupNorm():
                module.reset_parameters()
            case nn.Linear():
                nn.init.normal_(module.weight, std=0.01)
                nn.init.zeros_(module.bias)
            case _:
                pass
    for module in model.modules():
        match module:
            case DeformConv():
                nn.init.zeros_(module.offset.weight)
            case ResidualBlock() if zero_init:
                nn.init.zeros_(module.expand.norm.get_parameter("weight"))
            case _:
                pass


def _records(part: Part) -> Records:
    return {layer.name: layer for layer in part.layers}
