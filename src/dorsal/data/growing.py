"""Images that are looked at in rounds: a few first, then more, each round with all images of those before."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from dorsal.data.split import ChosenImages, Split

Ranks = NDArray[np.int64]


def added(images: Split, ranks: Ranks, counts: Sequence[int]) -> dict[str, ChosenImages]:
    """The images that each round adds to those before, in order, by a name of the part; rounds that add none are left
    out. A round has the images whose rank is below its count; counts do not fall."""
    found = {
        f"{first} to {end}": ChosenImages(images, np.flatnonzero((ranks >= first) & (ranks < end)))
        for first, end in pairwise((0, *counts))
    }
    return {name: part for name, part in found.items() if len(part)}


def ranks(count: int, seed: int) -> Ranks:
    """The place of each image in a random order of all, from 0: int64 [count]."""
    return np.random.default_rng(seed).permutation(count)


def class_ranks(labels: NDArray[np.int64], seed: int) -> Ranks:
    """The place of each image in a random order of those of its class, from 0: int64 [n]."""
    random, found = np.random.default_rng(seed), np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        places = np.flatnonzero(labels == label)
        found[random.permutation(places)] = np.arange(len(places))
    return found
