"""What models of all tasks but classification are: heads on a trunk."""

from __future__ import annotations

from typing import Self

from torch import nn

from dorsal.nn.backbone import Backbone
from dorsal.tasks.maps import Maps, TimmMaps


class OnTrunk(nn.Module):
    """A module whose `trunk` gives maps. All else is its head, which is never frozen."""

    def __init__(self, trunk: Maps) -> None:
        super().__init__()
        self.trunk = trunk
        self.multiple = max(level.stride for level in trunk.info)

    @property
    def level_count(self) -> int:
        """The number of levels of the trunk; see `nn.backbone`."""
        return self._levels().level_count

    def parameter_levels(self) -> dict[str, int]:
        """The level of each parameter by its name: 0 the stem, 1 the first stage, …; `level_count` for the heads."""
        levels = dict.fromkeys((name for name, _ in self.named_parameters()), self.level_count)
        return levels | {f"trunk.{name}": level for name, level in self._levels().parameter_levels().items()}

    def freeze(self, levels: int) -> Self:
        """Stops the first levels of the trunk from learning; see `nn.backbone`."""
        self._levels().freeze(levels)
        return self

    def _levels(self) -> Backbone | TimmMaps:
        if not isinstance(self.trunk, (Backbone, TimmMaps)):
            raise TypeError(f"trunk is of type {type(self.trunk).__name__}: nothing says which levels it has")
        return self.trunk
