"""An opened data set, whatever it is made of."""

from __future__ import annotations

import functools
from collections.abc import Sequence, Sized
from typing import Literal, Protocol, TypeVar

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dorsal.annotations.labels import Labels
from dorsal.data.decode import Levels
from dorsal.data.transform import usual_resize
from dorsal.spec.preprocessing import Normalization, Preprocessing

_NAMED = 5
_Part = TypeVar("_Part", bound=Sized)


class Target(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What is known about one image.

    `label` indexes the classes. `box` is (x0, y0, x1, y1) in pixels of that image, x1 and y1 exclusive.
    `mask` is bool [H, W]. A set without boxes or masks has None there.
    """

    label: int
    box: tuple[int, int, int, int] | None = None
    mask: Tensor | None = None


class Split(Protocol):
    """Images with targets, in a fixed order. Images are uint8 [channels, H, W] and may differ in size."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """All labels [n], read without decoding an image."""

    @property
    def stacked(self) -> Tensor | None:
        """All images as one uint8 [n, channels, H, W], where they are in memory and of one size; None elsewhere.

        `stacked.index_select(0, indices)` is the fast path to a batch; writing `stacked[indices]` costs
        many times as much.
        """

    @property
    def groups(self) -> NDArray[np.int64] | None:
        """The group of each image [n], int64, where images of one group are not independent; None where all are."""

    def __len__(self) -> int: ...

    def image(self, index: int) -> Tensor:
        """Decodes image `index`."""

    def targets(self, index: int) -> Target:
        """All that is known about image `index`."""


def place_in(splits: Sequence[_Part], index: int) -> tuple[_Part, int]:
    """Which of `splits`, laid one after another, holds image `index`, and at which place."""
    place = index
    for split in splits:
        if place < len(split):
            return split, place
        place -= len(split)
    raise IndexError(f"image {index} beyond the last of {sum(map(len, splits))}")


class JoinedSplits:
    """Splits one after another as one `Split`, with labels in another order: what was class i becomes `order[i]`."""

    def __init__(self, splits: Sequence[Split], order: Sequence[int]) -> None:
        self._splits = splits
        self.labels: NDArray[np.int64] = np.asarray(order, np.int64)[np.concatenate([s.labels for s in splits])]
        groups = [split.groups for split in splits if split.groups is not None]
        self.groups = np.concatenate(groups) if len(groups) == len(splits) else None

    @functools.cached_property
    def stacked(self) -> Tensor | None:
        """A copy of all images, where all splits have theirs in memory and of one size."""
        stacks = [split.stacked for split in self._splits if split.stacked is not None]
        is_whole = len(stacks) == len(self._splits) and len({stack.shape[1:] for stack in stacks}) == 1
        return torch.cat(stacks) if is_whole else None

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, index: int) -> Tensor:
        """Decodes image `index`."""
        split, place = place_in(self._splits, index)
        return split.image(place)

    def targets(self, index: int) -> Target:
        """All that is known about image `index`, with the label in the new order."""
        split, place = place_in(self._splits, index)
        return msgspec.structs.replace(split.targets(place), label=int(self.labels[index]))


class ImageData(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A data set opened for training.

    `size` is the side in pixels of the square the network sees. `flip` says whether mirroring an image left
    to right keeps its label. `fingerprint` is a sha256 in hex of every image and label and of which split
    holds it: equal fingerprints mean equal data. `levels` are the values that became 0 and 255 in images of more than
    8 bits a channel, None where there are none. `resize` and `interpolation` say how an image comes to the square, as
    in `Preprocessing`; None is the usual short side. `source` says in words where the images are from, and how they
    were split if that was done here. `notes` are sentences on what was converted or passed over when opening.
    """

    classes: tuple[str, ...]
    train: Split
    val: Split
    normalization: Normalization
    fingerprint: str
    size: int
    flip: bool
    levels: Levels | None = None
    resize: int | None = None
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    source: str = ""
    notes: tuple[str, ...] = ()

    def prepared_as(self, preprocessing: Preprocessing | None) -> ImageData:
        """The same data at the same size, prepared for weights with this preprocessing; as they are where it is not
        known, or is for another number of channels."""
        if preprocessing is None or len(preprocessing.mean) != self.channels:
            return self
        at = preprocessing.at(self.size)
        return msgspec.structs.replace(
            self, normalization=at.normalization, resize=at.resize, interpolation=at.interpolation
        )

    @property
    def labels(self) -> Labels:
        """The classes, as annotations have them."""
        return Labels(classes=self.classes)

    @property
    def channels(self) -> int:
        """Channels of every image, and so of a network's input."""
        return len(self.normalization.mean)

    @property
    def preprocessing(self) -> Preprocessing:
        """How a network that is trained on these data sees an image in evaluation."""
        norm = self.normalization
        return Preprocessing(
            image_size=self.size,
            resize=self.resize or usual_resize(self.size),
            interpolation=self.interpolation,
            mean=norm.mean,
            std=norm.std,
            color_order=norm.color_order,
            levels=self.levels,
        )

    @property
    def summary(self) -> str:
        """One line to read before training: where the images are from, how many there are, and the first classes.

        `photos, split here (val_fraction=0.2, seed=0): 149 training and 37 validation images of 3 classes: boot, hat,
        shoe`
        """
        counts = f"{len(self.train):,} training and {len(self.val):,} validation images"
        return f"{self.source}{': ' if self.source else ''}{counts} of {named(self.classes)}"


class Images(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Images to score a model on.

    `classes` are the ones that have images. `summary` says in words which images these are. Equal `digest`s mean equal
    images and labels. `fingerprint` is that of the same data opened for training, "" if they cannot be trained on;
    `has_training` says whether training images of those data are among these.
    """

    classes: tuple[str, ...]
    images: Split
    summary: str
    digest: str
    fingerprint: str = ""
    has_training: bool = False
    notes: tuple[str, ...] = ()


class ChosenImages:
    """Some images of a split, by their `places`, as a `Split`."""

    def __init__(self, split: Split, places: NDArray[np.int64]) -> None:
        self._split, self._places = split, places
        self.labels: NDArray[np.int64] = split.labels[places]
        self.stacked = None if split.stacked is None else split.stacked.index_select(0, torch.from_numpy(places))
        self.groups = None if split.groups is None else split.groups[places]

    def __len__(self) -> int:
        return len(self._places)

    def image(self, index: int) -> Tensor:
        """Decodes image `index`."""
        return self._split.image(int(self._places[index]))

    def targets(self, index: int) -> Target:
        """All that is known about image `index`."""
        return self._split.targets(int(self._places[index]))


def named(classes: Sequence[str]) -> str:
    """The number of classes, and the first five by name."""
    first = ", ".join(classes[:_NAMED])
    return f"{len(classes):,} class{'es' * (len(classes) != 1)}: {first}{', ...' * (len(classes) > _NAMED)}"


def largest_share(labels: NDArray[np.int64]) -> float:
    """The percentage of images in their largest class, which always answering that class would score."""
    return 100 * int(np.bincount(labels).max()) / len(labels)
