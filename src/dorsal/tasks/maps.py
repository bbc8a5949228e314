"""The maps that necks and heads are built on."""

from __future__ import annotations

from itertools import pairwise
from typing import Protocol, Self

from torch import Tensor, nn

from dorsal.nn.backbone import Classifier
from dorsal.nn.timm import TimmBackbone
from dorsal.spec.layers import Feature

FINEST = 4
"""The stride of the finest map that a feature pyramid takes."""


class Maps(Protocol):
    """A trunk: images [N, C, H, W] → maps [N, channels, H / stride, W / stride] as `info` says, fine to coarse."""

    info: tuple[Feature, ...]

    def __call__(self, x: Tensor) -> tuple[Tensor, ...]:
        """The maps of a batch of images."""


class TimmMaps(nn.Module):
    """Some maps of a network of timm, fine to coarse."""

    def __init__(self, network: TimmBackbone, levels: tuple[int, ...]) -> None:
        """`levels` are places in the network's `info`."""
        super().__init__()
        self.network, self.levels = network, levels
        self.info = tuple(network.info[level] for level in levels)

    @property
    def level_count(self) -> int:
        """See `TimmBackbone.level_count`."""
        return self.network.level_count

    def parameter_levels(self) -> dict[str, int]:
        """See `TimmBackbone.parameter_levels`."""
        return {f"network.{name}": level for name, level in self.network.parameter_levels().items()}

    def freeze(self, levels: int) -> Self:
        """See `TimmBackbone.freeze`."""
        self.network.freeze(levels)
        return self

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Images [N, in_channels, H, W] → the maps of `info`."""
        maps = self.network.features(x)
        return tuple(maps[level] for level in self.levels)


def pyramid_maps(model: Classifier | TimmBackbone) -> Maps:
    """The maps of a network for a feature pyramid: of stride 4 and of each stride after it that it has. Of two maps of
    one stride it is the later.

    Raises ValueError, naming the strides, where there are fewer than two, or one in between is missing.
    """
    last_of = {feature.stride: level for level, feature in enumerate(model.info) if feature.stride >= FINEST}
    strides = sorted(last_of)
    if len(strides) < 2 or strides[0] != FINEST or any(coarse != 2 * fine for fine, coarse in pairwise(strides)):
        said = ", ".join(str(feature.stride) for feature in model.info) or "none"
        raise ValueError(
            f"a feature pyramid needs maps of strides 4, 8 and so on, each twice the one before; those of this network "
            f"are {said}"
        )
    return _maps(model, tuple(last_of[stride] for stride in strides))


def all_maps(model: Classifier | TimmBackbone) -> Maps:
    """All maps of a network from stride 4 on. Raises ValueError, naming the strides, where there are none."""
    levels = tuple(level for level, feature in enumerate(model.info) if feature.stride >= FINEST)
    if not levels:
        said = ", ".join(str(feature.stride) for feature in model.info) or "none"
        raise ValueError(f"a head needs maps of stride 4 or more; those of this network are {said}")
    return _maps(model, levels)


def _maps(model: Classifier | TimmBackbone, levels: tuple[int, ...]) -> Maps:
    return TimmMaps(model, levels) if isinstance(model, TimmBackbone) else model.pyramid(levels)
