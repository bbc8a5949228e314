"""The order of images and their random draws: functions of (seed, epoch, index) and of nothing else.

Two architectures compared under one seed see the same images in the same order under the same augmentation,
on any number of loader processes. Only torch's CPU generator is seeded: torchvision's v2 transforms draw from
no other.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Callable

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from dorsal.data.split import ChosenImages, ImageData, Split


class SeededSplit(Dataset[tuple[Tensor, int]]):
    """`split` seen through a random `transform`; item `i` is (transform(image i), label i).

    The transform runs under draws fixed by (seed, epoch, i); torch's global generator is left as it was
    found. The epoch lies in shared memory, so that `set_epoch` also reaches loader processes that outlive an
    epoch.
    """

    def __init__(self, split: Split, transform: Callable[[Tensor], Tensor], seed: int) -> None:
        self._split = split
        self._transform = transform
        self._labels = split.labels
        self._seed = seed
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]

    def set_epoch(self, epoch: int) -> None:
        """Moves on to the draws of `epoch`, here and in loader processes already running."""
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = self._split.image(index)
        # The generator itself: torch.manual_seed and torch.random.fork_rng visit every accelerator as well, which
        # takes 170 us a call instead of 4.
        generator = torch.default_generator
        state = generator.get_state()
        generator.manual_seed(_seed32(self._seed, int(self._epoch), index))
        try:
            return self._transform(image), int(self._labels[index])
        finally:
            generator.set_state(state)


def order(n: int, seed: int, epoch: int) -> Tensor:
    """The permutation of 0..n-1 in which an epoch visits the training images, int64 [n]."""
    generator = torch.Generator().manual_seed(_seed32(seed, epoch, -1))
    return torch.randperm(n, generator=generator)


def _seed32(seed: int, epoch: int, index: int) -> int:
    """32 bits, because torch's CPU generator (mt19937) reads no more of its seed.

    A CRC tells any two messages of one length apart that differ in at most 32 adjacent bits, so no two images
    of one epoch share their draws.
    """
    return zlib.crc32(struct.pack("<qqq", seed, epoch, index))


def held_out(labels: NDArray[np.int64], share: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The places of images to learn from and of those held out, each in order, for labels [n].

    Of each class a `share` is held out, rounded: at least one image and never all, so none of a class with one image.
    `seed` draws which.
    """
    random = np.random.default_rng(seed)
    held = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        places = np.flatnonzero(labels == label)
        count = min(max(round(len(places) * share), 1), len(places) - 1)
        held[random.permutation(places)[:count]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)


def inner_data(data: ImageData, share: float, seed: int) -> ImageData:
    """The training images alone, a `share` of them held out in place of the validation images.

    They are drawn by `held_out`; images of one group stay together, and are held out by the class of its first image.
    """
    images = data.train
    if images.groups is None:
        learnt, held = held_out(images.labels, share, seed)
    else:
        _, first, group = np.unique(images.groups, return_index=True, return_inverse=True)
        is_held = np.isin(group, held_out(images.labels[first], share, seed)[1])
        learnt, held = np.flatnonzero(~is_held), np.flatnonzero(is_held)
    return msgspec.structs.replace(
        data,
        train=ChosenImages(images, learnt),
        val=ChosenImages(images, held),
        fingerprint=hashlib.sha256(f"{data.fingerprint} inner {share} {seed}".encode()).hexdigest(),
        source=f"training images of {data.source}",
    )
