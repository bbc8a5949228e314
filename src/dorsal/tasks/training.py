"""Training images as the loop takes them, whatever the task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from torch import Tensor

from dorsal.data.sampling import SeededItems


class Training(NamedTuple):
    """`items` are drawn anew in each epoch. `orders(epoch)` says which come one after another, int64 [length].
    `collate` makes a batch of some, a tuple of images and targets; None is torch's own way."""

    items: SeededItems[Any]
    length: int
    orders: Callable[[int], Tensor]
    collate: Callable[[Sequence[Any]], tuple[Tensor, Any]] | None = None
