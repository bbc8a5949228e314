"""Open a data set: the room's face to training and evaluation."""

import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import assert_never

import torch
from torch import Tensor

from dorsal.data.folder import open_folder
from dorsal.data.sampling import Seeded, order
from dorsal.data.scenes import open_scenes
from dorsal.data.spec import DataSpec, Folder, Scenes
from dorsal.data.split import ImageData, Joined, Split, Target
from dorsal.data.transform import IMAGENET, Interpolation, Normalization, eval_crop, eval_transform, to_float

__all__ = [
    "IMAGENET",
    "Evaluation",
    "ImageData",
    "Joined",
    "Normalization",
    "Seeded",
    "Split",
    "Target",
    "eval_transform",
    "open_data",
    "order",
    "to_float",
]

_CACHE_BYTES = 512 * 2**20


def open_data(spec: DataSpec) -> ImageData:
    """Compose or check and open what `spec` says.

    Raises DataError, a ValueError, listing everything wrong with a folder, and ModuleNotFoundError where the
    digits behind `Scenes` are not installed.
    """
    match spec:
        case Scenes():
            return open_scenes(spec)
        case Folder():
            return open_folder(spec)
        case _:
            assert_never(spec)


class Evaluation:
    """A split as evaluation sees it: in order, through `eval_transform`, the same every time.

    Iterating yields (images float32 [B, 3, size, size], labels int64 [B]); the last batch may be smaller. A
    split whose crops fit into 512 MiB is decoded and cropped once and kept as uint8: a quarter of the memory
    of normalized floats, and normalizing a batch is nothing beside a network's forward pass over it.
    """

    def __init__(
        self,
        split: Split,
        size: int,
        normalization: Normalization,
        batch_size: int,
        resize_to: int | None = None,
        interpolation: Interpolation = "bilinear",
    ) -> None:
        self._split = split
        self.batch_size = batch_size
        self._crop = eval_crop(size, resize_to, interpolation)
        self._to_float = to_float(normalization)
        self._labels = torch.from_numpy(split.labels)
        self._keep = len(split) * 3 * size * size <= _CACHE_BYTES
        self._kept: Tensor | None = None

    def __len__(self) -> int:
        """The number of batches."""
        return math.ceil(len(self._split) / self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        if self._keep and self._kept is None:
            self._kept = _crops(self._split, range(len(self._split)), self._crop)
        for start in range(0, len(self._split), self.batch_size):
            stop = min(start + self.batch_size, len(self._split))
            if self._kept is None:
                crops = _crops(self._split, range(start, stop), self._crop)
            else:
                crops = self._kept[start:stop]
            yield self._to_float(crops), self._labels[start:stop]


def _crops(split: Split, indices: range, crop: Callable[[Tensor], Tensor]) -> Tensor:
    if split.stacked is not None:
        return crop(split.stacked[indices.start : indices.stop])
    # Threads and not processes: Pillow decodes and torch resizes without holding the interpreter lock.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return torch.stack(list(pool.map(lambda index: crop(split.image(index)), indices)))
