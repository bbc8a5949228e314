"""Which images form which batch, and which part of it a process takes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from torch import Tensor
from torch.utils.data import Sampler


class Batches(Sampler[list[int]]):
    """The batches of an epoch, as indices of images: this process's part of each.

    Batches are those of the whole run, whatever the number of processes: `orders(epoch)`, int64
    [images], cut into pieces of `batch`, the last one shorter. Process `rank` of `world` takes every world-th image of
    a batch, starting at its own. Where that leaves it none, it takes the first image, so that it still makes the step,
    and `share` says 0.
    """

    def __init__(self, images: int, batch: int, orders: Callable[[int], Tensor], rank: int, world: int) -> None:
        self._images, self._batch, self._orders = images, batch, orders
        self._rank, self._world = rank, world
        self.epoch = 0

    def __len__(self) -> int:
        return math.ceil(self._images / self._batch)

    def __iter__(self) -> Iterator[list[int]]:
        images = self._orders(self.epoch).tolist()
        for start in range(0, self._images, self._batch):
            batch = images[start : start + self._batch]
            yield batch[self._rank :: self._world] or batch[:1]

    def size(self, index: int) -> int:
        """How many images batch `index` has, over all processes."""
        return min(self._batch, self._images - index * self._batch)

    def share(self, index: int) -> int:
        """How many of them are this process's."""
        return len(range(self._rank, self.size(index), self._world))
