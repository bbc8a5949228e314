"""Whole networks as modules: stem and stages with a head (`Classifier`), or returning maps (`Backbone`)."""

from __future__ import annotations

from typing import Self

import torch
import torch.fx
from torch import Tensor, nn

from dorsal.nn.blocks import Regularisation, ResidualBlock
from dorsal.nn.layers import ConvNorm, Records, make_activation, make_pool
from dorsal.nn.norms import NormKind
from dorsal.spec.arrangement import STAGE_INPUT, Chain, Tree, root_children
from dorsal.spec.block import Bottleneck
from dorsal.spec.layers import Feature, Part, features, plan
from dorsal.spec.network import Network
from dorsal.spec.stage import Stage
from dorsal.spec.stem import Deep, stem_widths

DROP_BLOCK_STAGES = 2
"""DropBlock acts in the last two stages (ResNeSt's training code: layer3 and layer4)."""


class StemModule(nn.Module):
    """Convolutions to the first feature map [N, C, H / stride, W / stride]; the pool is applied after it by `pool`."""

    def __init__(self, network: Network, records: Records, norm: NormKind) -> None:
        super().__init__()
        stem = network.stem
        order = stem.order if isinstance(stem, Deep) else "norm_act"
        self.convs = nn.Sequential(
            *(ConvNorm(records, f"convs.{i}", norm, network.activation, order) for i in range(len(stem_widths(stem))))
        )
        self.pool = make_pool(records["pool"]) if stem.pool else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Images [N, in_channels, H, W] → the map that the first stage takes."""
        return self.pool(self.convs(x))  # type: ignore[no-any-return]


class TreeStage(nn.Module):
    """Blocks in pairs, each closed by a root that also takes in earlier roots (DLA, arXiv 1707.06484 section 3)."""

    def __init__(
        self, stage: Stage, tree: Tree, blocks: list[ResidualBlock], records: Records, network: Network, norm: NormKind
    ) -> None:
        super().__init__()
        self.children_of = root_children(stage.depth, tree.keep_input)
        self.input_pool = make_pool(records["input_pool"]) if "input_pool" in records else nn.Identity()
        self.blocks = nn.ModuleList(blocks)
        self.roots = nn.ModuleList(
            ConvNorm(records, f"roots.{index}", norm, network.activation) for index in range(len(self.children_of))
        )

    def forward(self, x: Tensor) -> Tensor:
        """[N, C_in, H, W] → [N, C_out, H / stride, W / stride]."""
        entered = self.input_pool(x)
        ends: list[Tensor] = []
        for index, root in enumerate(self.roots):
            first = self.blocks[2 * index](x)
            second = self.blocks[2 * index + 1](first)
            kept = [entered if child == STAGE_INPUT else ends[child] for child in self.children_of[index]]
            x = root(torch.cat([second, first, *kept], 1))
            ends.append(x)
        return x


class _Trunk(nn.Module):
    """Stem and stages. `network` is the description they were made from; `info` has name, channels and stride of each
    map of `features`."""

    def __init__(self, network: Network, stem: StemModule, stages: nn.ModuleList) -> None:
        super().__init__()
        self.network = network
        self.info: tuple[Feature, ...] = features(network)[: len(stages) + 1]
        self.stem, self.stages = stem, stages
        self.frozen = 0

    def features(self, x: Tensor) -> tuple[Tensor, ...]:
        """Images [N, in_channels, H, W] → the maps [N, channels, H / stride, W / stride] of `info`, fine to coarse."""
        self._check(x)
        x = self.stem.convs(x)
        maps = [x]
        x = self.stem.pool(x)
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return tuple(maps)

    def _check(self, x: Tensor) -> None:
        """ValueError for what is no batch of images of this network; a symbolic trace is not followed."""
        if isinstance(x, torch.fx.Proxy):
            return
        channels = self.network.in_channels
        if x.ndim != 4 or x.shape[1] != channels:
            raise ValueError(f"images have shape {list(x.shape)}; this network takes [N, {channels}, height, width]")
        if not x.is_floating_point():
            raise ValueError(f"images are {x.dtype}; divide by 255 and normalize as the weights' preprocessing says")

    @property
    def level_count(self) -> int:
        """The number of levels: the stem, and each stage."""
        return len(self.stages) + 1

    def parameter_levels(self) -> dict[str, int]:
        """The level of each parameter by its name: 0 the stem, 1 the first stage, …; `level_count` for the head."""
        levels = {}
        for name, _ in self.named_parameters():
            part, *rest = name.split(".")
            levels[name] = {"stem": 0, "stages": 1}.get(part, self.level_count)
            if part == "stages":
                levels[name] += int(rest[0])
        return levels

    def freeze(self, levels: int) -> Self:
        """Stops the first levels from learning: 1 the stem, 2 also the first stage, … (detectron2's FREEZE_AT; one more
        than MMDetection's frozen_stages); with the last one also the convolution that a head may have. Their norms and
        regularisation stay in evaluation mode whatever `train` says.

        Raises ValueError unless 0 <= levels <= the number of levels.
        """
        if not 0 <= levels <= self.level_count:
            raise ValueError(f"freeze={levels} must be from 0 (nothing) to {self.level_count} (all levels)")
        self.frozen = levels
        for parameter in self.parameters():
            parameter.requires_grad_(True)
        for module in self._frozen_modules():
            module.requires_grad_(False)
        return self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Training or evaluation mode, but for the frozen levels, which stay in evaluation mode."""
        super().train(mode)
        for module in self._frozen_modules():
            module.eval()
        return self

    def _frozen_modules(self) -> list[nn.Module]:
        return [self.stem, *self.stages][: self.frozen]


class Backbone(_Trunk):
    """The feature maps of some levels: what a detector's or segmenter's neck takes in. Later stages are left out.

    `info` describes the chosen levels, in the order asked for.
    """

    def __init__(self, trunk: _Trunk, levels: tuple[int, ...]) -> None:
        count = len(trunk.info)
        for level in levels:
            if not 0 <= level < count:
                raise ValueError(f"features level {level} does not exist; valid: 0 (stem) to {count - 1}")
        if not levels:
            raise ValueError("features=() asks for no level; e.g. (1, 2, 3, 4)")
        super().__init__(trunk.network, trunk.stem, trunk.stages[: max(levels)])
        self.levels = levels
        self.info = tuple(self.info[level] for level in levels)
        self.frozen = min(trunk.frozen, max(levels) + 1)
        self.train(trunk.training)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Images [N, in_channels, H, W] → the maps [N, channels, H / stride, W / stride] of `info`."""
        maps = self.features(x)
        return tuple(maps[level] for level in self.levels)


class Classifier(_Trunk):
    """A network as a module: `forward` classifies, `features` returns all maps, `pyramid` keeps some of them only."""

    def __init__(self, network: Network, norm: NormKind, drop_path: float, drop_block: float, dropout: float) -> None:
        stem, *parts, head = plan(network, max(network.total_stride, 32))
        stages = _stages(network, norm, parts, drop_path, drop_block)
        super().__init__(network, StemModule(network, _records(stem), norm), stages)
        records = {f"head.{layer.name}": layer for layer in head.layers}
        last = network.stages[-1]
        linear = isinstance(last.block, Bottleneck) and last.block.output == "linear"
        if network.head.width is not None:
            self.head: nn.Module = ConvNorm(records, "head", norm, network.activation)
        elif linear and isinstance(last.arrangement, Chain):  # the last root of a tree ends in an activation
            self.head = make_activation(network.activation)
        else:
            self.head = nn.Identity()
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        width = network.head.width or network.stages[-1].width
        self.fc = nn.Linear(width, network.head.classes) if network.head.classes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Images [N, in_channels, H, W] → logits [N, classes], or the pooled vectors [N, width] without classes."""
        self._check(x)
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return self.fc(self.dropout(self.head(x).mean((2, 3))))  # type: ignore[no-any-return]

    def _frozen_modules(self) -> list[nn.Module]:
        return [*super()._frozen_modules(), *([self.head] if self.frozen == self.level_count else [])]

    def pyramid(self, levels: tuple[int, ...]) -> Backbone:
        """The same modules as a pyramid of `levels` (indices into `info`; 0 is the stem before its pool).

        Raises ValueError for a level that does not exist.
        """
        return Backbone(self, levels)


def set_checkpointing(model: nn.Module, on: bool) -> None:
    """Whether every block keeps only its input in training and runs again for the gradient: less memory, more time."""
    for module in model.modules():
        if isinstance(module, ResidualBlock):
            module.checkpointing = on


def _stages(network: Network, norm: NormKind, parts: list[Part], drop_path: float, drop_block: float) -> nn.ModuleList:
    depth = sum(stage.depth for stage in network.stages)
    width = stem_widths(network.stem)[-1]
    done = 0
    made = nn.ModuleList()
    for index, stage in enumerate(network.stages):
        # A stage has one part for its first block, if it has more one for all others, and as a tree one for its roots.
        first, rest = parts.pop(0), parts.pop(0) if stage.depth > 1 else None
        late = index >= len(network.stages) - DROP_BLOCK_STAGES
        blocks = []
        for position in range(stage.depth):
            part = first if position == 0 or rest is None else rest
            # Stochastic depth grows linearly from 0 at the first block to its full rate at the last.
            extra = Regularisation(drop_path * done / max(depth - 1, 1), drop_block if late else 0.0)
            stride = stage.stride if position == 0 else 1
            blocks.append(ResidualBlock(stage, width, stride, _records(part), norm, network.activation, extra))
            done, width = done + 1, stage.width
        if isinstance(stage.arrangement, Tree):
            made.append(TreeStage(stage, stage.arrangement, blocks, _records(parts.pop(0)), network, norm))
        else:
            made.append(nn.Sequential(*blocks))
    return made


def _records(part: Part) -> Records:
    return {layer.name: layer for layer in part.layers}
