"""The order of images and their random draws: functions of (seed, epoch, index) and of nothing else.

Two architectures compared under one seed see the same images in the same order under the same augmentation,
on any number of loader processes. Only torch's CPU generator is seeded: torchvision's v2 transforms draw from
no other.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar, overload

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from dorsal.data.annotated import AnnotatedData, AnnotatedSplit, ChosenAnnotated, JoinedAnnotated
from dorsal.data.split import ChosenImages, ImageData, JoinedSplits, Split
from dorsal.data.summary import Resampling

Item = TypeVar("Item")
Opened = TypeVar("Opened", bound=ImageData | AnnotatedData)


class SeededItems(Dataset[Item]):
    """So many items as `item` makes them of numbers from 0 on, each under draws fixed by (seed, epoch, number).

    torch's global generator is left as it was found. The epoch lies in shared memory, so that `set_epoch` also reaches
    loader processes that outlive an epoch.
    """

    def __init__(self, item: Callable[[int], Item], count: int, seed: int) -> None:
        self._item, self._count, self._seed = item, count, seed
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]

    def set_epoch(self, epoch: int) -> None:
        """Moves on to the draws of `epoch`, here and in loader processes already running."""
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Item:
        # The generator itself: torch.manual_seed and torch.random.fork_rng visit every accelerator as well, which
        # takes 170 us a call instead of 4.
        generator = torch.default_generator
        state = generator.get_state()
        generator.manual_seed(_seed32(self._seed, int(self._epoch), index))
        try:
            return self._item(index)
        finally:
            generator.set_state(state)


def order(n: int, seed: int, epoch: int) -> Tensor:
    """The permutation of 0..n-1 in which an epoch visits the training images, int64 [n]."""
    generator = torch.Generator().manual_seed(_seed32(seed, epoch, -1))
    return torch.randperm(n, generator=generator)


def seed_of(*words: int) -> int:
    """One seed from several non-negative numbers, such as (seed, epoch, batch)."""
    return int(np.random.SeedSequence(words).generate_state(1)[0])


@contextmanager
def draws_of(*words: int) -> Iterator[None]:
    """Within, torch's CPU generator draws what `words` determine; afterwards it is as it was."""
    state = torch.default_generator.get_state()
    torch.default_generator.manual_seed(seed_of(*words))
    try:
        yield
    finally:
        torch.default_generator.set_state(state)


def _seed32(seed: int, epoch: int, index: int) -> int:
    """32 bits, because torch's CPU generator (mt19937) reads no more of its seed.

    A CRC tells any two messages of one length apart that differ in at most 32 adjacent bits, so no two images
    of one epoch share their draws.
    """
    return zlib.crc32(struct.pack("<qqq", seed, epoch, index))


class Draw(NamedTuple):
    """The places of images to learn from, and of those held out to be scored on, each in order."""

    learnt: NDArray[np.int64]
    held: NDArray[np.int64]


def held_out(labels: NDArray[np.int64], share: float, seed: int) -> Draw:
    """Images to learn from and images held out, for labels [n].

    Of each class a `share` is held out, rounded: at least one image and never all, so none of a class with one image.
    `seed` draws which.
    """
    random = np.random.default_rng(seed)
    held = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        places = np.flatnonzero(labels == label)
        count = min(max(round(len(places) * share), 1), len(places) - 1)
        held[random.permutation(places)[:count]] = True
    return Draw(np.flatnonzero(~held), np.flatnonzero(held))


def inner_data(data: Opened, share: float, seed: int) -> Opened:
    """The training images alone, a `share` of them held out in place of the validation images.

    They are drawn by `held_out`; images of one group stay together, and are held out by the class of its first image.
    """
    images = data.train
    draw = _by_group(_labels_of(images), images.groups, lambda labels: held_out(labels, share, seed))
    return _with_images(data, images, draw, f"training images of {data.source}", f"inner {share} {seed}")


def resample(data: ImageData | AnnotatedData, how: Resampling, seed: int) -> Draw:
    """What a seed draws of all images: of the training images, and after these the validation images.

    - "random": the share of each class that is held out is that of the validation images in all.
    - so many folds, k: seeds 1 to k hold out one part each of one partition, seeds k + 1 to 2 k of another. Each class
      is spread evenly over the parts.

    Images of one group stay together, as in `inner_data`. Raises ValueError where a class has too few images, or
    groups, for so many folds.
    """
    images = whole(data)
    labels, groups = _labels_of(images), images.groups
    if how == "random":
        return _by_group(labels, groups, lambda of: held_out(of, len(data.val) / len(labels), seed))
    if how < 2:
        raise ValueError(f"resample={how} is fewer than 2 folds; nearest valid: 2")
    repetition, part = divmod(seed - 1 + how, how)
    what = "images" if groups is None else "groups of images"
    classes = data.classes if isinstance(data, ImageData) else None
    return _by_group(labels, groups, lambda of: _fold(of, how, repetition, part, classes, what))


def resampled_data(data: Opened, how: Resampling, seed: int) -> Opened:
    """The data with training and validation images as `resample` draws them, and the normalization that they had.
    Raises ValueError as that does."""
    return _with_images(data, whole(data), resample(data, how, seed), data.source, f"resample {how} {seed}")


@overload
def whole(data: ImageData) -> JoinedSplits: ...
@overload
def whole(data: ImageData | AnnotatedData) -> JoinedSplits | JoinedAnnotated: ...
def whole(data: ImageData | AnnotatedData) -> JoinedSplits | JoinedAnnotated:
    """The training images, and after these the validation images."""
    if isinstance(data, AnnotatedData):
        return JoinedAnnotated((data.train, data.val))
    return JoinedSplits((data.train, data.val), range(len(data.classes)))


def _labels_of(images: Split | AnnotatedSplit) -> NDArray[np.int64]:
    """The classes by which images are shared out evenly: annotated ones are of one kind."""
    labels: NDArray[np.int64] | None = getattr(images, "labels", None)
    return np.zeros(len(images), np.int64) if labels is None else labels


def _by_group(
    labels: NDArray[np.int64], groups: NDArray[np.int64] | None, draw: Callable[[NDArray[np.int64]], Draw]
) -> Draw:
    """What `draw` makes of the labels of images, or of groups of images by the label of their first image."""
    if groups is None:
        return draw(labels)
    _, first, group = np.unique(groups, return_index=True, return_inverse=True)
    is_held = np.isin(group, draw(labels[first]).held)
    return Draw(np.flatnonzero(~is_held), np.flatnonzero(is_held))


def _fold(
    labels: NDArray[np.int64], folds: int, repetition: int, part: int, classes: Sequence[str] | None, what: str
) -> Draw:
    """One part of a partition held out, and all others to learn from. `classes` are None where images have none."""
    random, part_of, begin = np.random.default_rng(repetition), np.empty(len(labels), np.int64), 0
    for label in np.unique(labels):
        places = np.flatnonzero(labels == label)
        if len(places) < folds:
            whose = "the data have" if classes is None else f"class {classes[label]!r} has"
            raise ValueError(
                f"resample={folds}: {whose} {len(places)} {what}, too few for so many folds; "
                f"nearest valid: {max(len(places), 2)}"
            )
        part_of[random.permutation(places)] = (begin + np.arange(len(places))) % folds
        begin += len(places)  # so that the parts are as large as each other
    return Draw(np.flatnonzero(part_of != part), np.flatnonzero(part_of == part))


def _with_images(data: Opened, images: Any, draw: Draw, source: str, drawn: str) -> Opened:
    chosen = ChosenImages if isinstance(data, ImageData) else ChosenAnnotated
    return msgspec.structs.replace(
        data,
        train=chosen(images, draw.learnt),
        val=chosen(images, draw.held),
        fingerprint=hashlib.sha256(f"{data.fingerprint} {drawn}".encode()).hexdigest(),
        source=source,
    )
