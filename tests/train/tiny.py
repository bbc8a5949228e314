"""Tiny data and networks: a whole run takes a fraction of a second."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dorsal.data.split import ImageData, Target
from dorsal.spec.block import Basic
from dorsal.spec.network import Network
from dorsal.spec.preprocessing import Normalization
from dorsal.spec.stage import Head, Stage
from dorsal.spec.stem import Simple


class Stacked:
    """Images uint8 [n, 3, S, S] in memory; implements `dorsal.data.split.Split`."""

    groups = None

    def __init__(self, images: Tensor, labels: NDArray[np.int64]) -> None:
        self.stacked, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, index: int) -> Tensor:
        return self.stacked[index]

    def targets(self, index: int) -> Target:
        return Target(label=int(self.labels[index]))


class Closed:
    """A split that must not be looked at."""

    def __getattribute__(self, name: str) -> None:
        raise AssertionError(f"{name} of images was looked at that are for the end")

    def __len__(self) -> int:
        raise AssertionError("images were counted that are for the end")


def make_data(train: int = 40, val: int = 24, size: int = 16, flip: bool = False) -> ImageData:
    """Three classes told apart by which colour is brightest, under noise."""
    generator = torch.Generator().manual_seed(1)

    def split(count: int) -> Stacked:
        labels = np.arange(count, dtype=np.int64) % 3
        images = torch.randint(0, 160, (count, 3, size, size), generator=generator, dtype=torch.uint8)
        images[torch.arange(count), torch.from_numpy(labels)] += 60
        return Stacked(images, labels)

    return ImageData(
        classes=("red", "green", "blue"),
        train=split(train),
        val=split(val),
        normalization=Normalization(mean=(0.4, 0.4, 0.4), std=(0.2, 0.2, 0.2)),
        fingerprint=f"{train} {val} {size}",
        size=size,
        flip=flip,
    )


def make_network(norm: str = "batch", classes: int = 3) -> Network:
    stages = (Stage(1, 8, 1, block=Basic()), Stage(2, 8, 2, block=Basic()))
    return Network(stages, Simple(8, stride=2), Head(classes), norm=norm)  # type: ignore[arg-type]
