"""How a network sees an annotated image: one affine map, drawn anew for each epoch in training."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import msgspec
import numpy as np
import torch
from torch import Tensor

from dorsal.annotations.annotation import Annotation
from dorsal.data.annotated import AnnotatedSplit, size_of
from dorsal.data.geometry import Affine, map_image, mirrored, resized, shifted
from dorsal.data.transform import to_float
from dorsal.spec.layers import Size
from dorsal.spec.preprocessing import Normalization

LONGEST = 5 / 3
"""The longer side of a view is at most so many times its `size`: detectron2 has 1333 for 800."""
MULTIPLE = 32
"""Images whose sides agree when rounded up to multiples of it are evaluated together: padding is no one's neighbor."""
_CACHE_BYTES = 512 * 2**20


class Frame(msgspec.Struct, frozen=True, eq=False):
    """Where an image lies in a view: `affine` leads from pixels of the file, of size `file`, to those of the view. What
    the view shows is `size`, height and width, from its top left."""

    affine: Affine
    size: Size
    file: Size


class Jitter(msgspec.Struct, frozen=True):
    """What training draws for each image: the short side is a random share of the view's, `smallest` to `largest`, and
    every other image is mirrored if `flip`."""

    smallest: float = 1.0
    largest: float = 1.0
    flip: bool = False


def whole(file: Size, side: float) -> Frame:
    """The whole image with a short side of `side` pixels, or less where the long one would be over `LONGEST` x `side`
    (ResizeShortestEdge of detectron2)."""
    short, long = min(file), max(file)
    scale = min(side / short, side * LONGEST / long)
    size = (max(round(file[0] * scale), 1), max(round(file[1] * scale), 1))
    return Frame(resized(file, size), size, file)


def drawn_whole(file: Size, side: int, jitter: Jitter) -> Frame:
    """As `whole`, at a scale drawn by `jitter` and mirrored by it. Draws come from torch's global generator."""
    share, flip = torch.rand(2).tolist()
    frame = whole(file, side * (jitter.smallest + share * (jitter.largest - jitter.smallest)))
    return _mirrored(frame) if jitter.flip and flip < 0.5 else frame


def drawn_window(file: Size, side: int, jitter: Jitter) -> Frame:
    """A window of `side` x `side` pixels on the image that `drawn_whole` gives, at a random place.

    Where that image is smaller than the window, the window ends with it.
    """
    frame = drawn_whole(file, side, jitter)
    down, right = (int(torch.randint(max(length - side, 0) + 1, ())) for length in frame.size)
    size = (min(frame.size[0], side), min(frame.size[1], side))
    return Frame(frame.affine.then(shifted(-right, -down)), size, file)


def _mirrored(frame: Frame) -> Frame:
    return msgspec.structs.replace(frame, affine=frame.affine.then(mirrored(frame.size[1])))


class Seen(msgspec.Struct, frozen=True, eq=False):
    """What an image of a batch is of: its frame in the view, and what is known about it at the file's size."""

    frame: Frame
    truth: Annotation


class SeenBatches:
    """An annotated split as evaluation sees it, the same every time: whole images with a short side of `side` pixels.

    Iterating yields (images float32 [B, channels, H, W], one `Seen` for each). Images come in batches with others of
    their own size, rounded up to multiples of `MULTIPLE`, so that what is found in one does not depend on the others.
    They are not in the order of the split; `indices` says which they are. A split whose views fit into 512 MiB is
    decoded and resized once.
    """

    def __init__(self, split: AnnotatedSplit, side: int, normalization: Normalization, batch_size: int) -> None:
        self._split, self._side = split, side
        self._to_float = to_float(normalization)
        sizes = [whole(size_of(split, index), side).size for index in range(len(split))]
        alike: dict[Size, list[int]] = {}
        for index, size in enumerate(sizes):
            alike.setdefault(padded(size), []).append(index)
        self._batches = [
            (size, members[start : start + batch_size])
            for size, members in alike.items()
            for start in range(0, len(members), batch_size)
        ]
        pixels = sum(height * width for height, width in sizes)
        self._keep = pixels * len(normalization.mean) <= _CACHE_BYTES
        self._kept: dict[int, Tensor] = {}

    def __len__(self) -> int:
        """The number of batches."""
        return len(self._batches)

    def indices(self, number: int) -> list[int]:
        """The places in the split of the images of a batch."""
        return self._batches[number][1]

    def __iter__(self) -> Iterator[tuple[Tensor, list[Seen]]]:
        return map(self.batch, range(len(self)))

    def batch(self, number: int) -> tuple[Tensor, list[Seen]]:
        """A batch by its number, from 0."""
        size, members = self._batches[number]
        # Threads and not processes: Pillow decodes and torch resizes without holding the interpreter lock.
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            views = list(pool.map(self._view, members))
        seen = [
            Seen(whole(size_of(self._split, index), self._side), self._split.annotation(index)) for index in members
        ]
        return stacked([self._to_float(view) for view in views], size), seen

    def _view(self, index: int) -> Tensor:
        found = self._kept.get(index)
        if found is None:
            frame = whole(size_of(self._split, index), self._side)
            found = map_image(self._split.image(index), frame.affine, frame.size)
            if self._keep:
                self._kept[index] = found
        return found


def padded(size: Size) -> Size:
    """The size with both sides rounded up to multiples of `MULTIPLE`."""
    return math.ceil(size[0] / MULTIPLE) * MULTIPLE, math.ceil(size[1] / MULTIPLE) * MULTIPLE


def stacked(images: list[Tensor], size: Size | None = None) -> Tensor:
    """Images [C, h, w] of several sizes as one batch [N, C, H, W], zeros at the right and bottom. Without `size` that
    is the least that all fit into."""
    height, width = size or np.max([image.shape[-2:] for image in images], axis=0).tolist()
    batch = images[0].new_zeros(len(images), images[0].shape[0], height, width)
    for image, place in zip(images, batch, strict=True):
        place[:, : image.shape[1], : image.shape[2]] = image
    return batch
