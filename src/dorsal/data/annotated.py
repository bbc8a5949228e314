"""An annotated data set opened for training: images, and what is known about each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dorsal.annotations.annotation import Annotation, Objects
from dorsal.annotations.labels import Labels
from dorsal.data.decode import Levels
from dorsal.data.kinds import labels_of
from dorsal.data.split import named, place_in
from dorsal.spec.layers import Size
from dorsal.spec.preprocessing import Normalization, Preprocessing
from dorsal.spec.task import Kind


class AnnotatedSplit(Protocol):
    """Images with annotations, in a fixed order. Images are uint8 [channels, H, W] and may differ in size."""

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Height and width of each image [n, 2], read without decoding one."""

    @property
    def groups(self) -> NDArray[np.int64] | None:
        """The group of each image [n], int64, where images of one group are not independent; None where all are."""

    def __len__(self) -> int: ...

    def image(self, index: int) -> Tensor:
        """Decodes image `index`."""

    def annotation(self, index: int) -> Annotation:
        """All that was asked for about image `index`, in its pixels."""

    def object_labels(self, index: int) -> NDArray[np.int64]:
        """The labels of the objects of image `index` that are no crowds, without drawing a mask."""


class AnnotatedData(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A data set opened for a task that learns from annotations.

    - `labels`: what the labels of all annotations stand for. `kinds`: what annotations hold.
    - `category_ids`: the format's own number of each label, classes before stuff, to write results with.
    - `size`: the short side in pixels of an image as the network sees it.
    - `flip`, `fingerprint`, `levels`, `source`, `notes`: as in `ImageData`.
    """

    labels: Labels
    kinds: frozenset[Kind]
    category_ids: tuple[int, ...]
    train: AnnotatedSplit
    val: AnnotatedSplit
    normalization: Normalization
    fingerprint: str
    size: int
    flip: bool
    levels: Levels | None = None
    source: str = ""
    notes: tuple[str, ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of all labels, classes before stuff."""
        return (*self.labels.classes, *self.labels.stuff)

    @property
    def channels(self) -> int:
        """Channels of every image, and so of a network's input."""
        return len(self.normalization.mean)

    def narrowed(self, kinds: frozenset[Kind]) -> AnnotatedData:
        """The same data with no more than these kinds; without names of stuff where nothing is semantic."""
        kept = self.kinds & kinds
        labels, numbers = labels_of(kept, self.labels, self.category_ids)
        return msgspec.structs.replace(self, kinds=kept, labels=labels, category_ids=numbers)

    def prepared_as(self, preprocessing: Preprocessing | None) -> AnnotatedData:
        """The same data with the normalization of weights with this preprocessing; as they are where it is not known,
        or is for another number of channels."""
        if preprocessing is None or len(preprocessing.mean) != self.channels:
            return self
        return msgspec.structs.replace(self, normalization=preprocessing.normalization)

    @property
    def preprocessing(self) -> Preprocessing:
        """How a network that is trained on these data sees an image: with a short side of `size`, uncropped."""
        norm = self.normalization
        return Preprocessing(
            image_size=self.size,
            resize=self.size,
            mean=norm.mean,
            std=norm.std,
            color_order=norm.color_order,
            levels=self.levels,
        )

    @property
    def summary(self) -> str:
        """One line to read before training: see `ImageData.summary`."""
        counts = f"{len(self.train):,} training and {len(self.val):,} validation images"
        return f"{self.source}{': ' if self.source else ''}{counts} of {named(self.classes)}"


class AnnotatedImages(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Annotated images to score a model on; `summary`, `digest`, `fingerprint`, `has_training` and `notes` are as in
    `Images`."""

    labels: Labels
    images: AnnotatedSplit
    summary: str
    digest: str
    fingerprint: str = ""
    has_training: bool = False
    notes: tuple[str, ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of all labels, classes before stuff."""
        return (*self.labels.classes, *self.labels.stuff)


class JoinedAnnotated:
    """Splits one after another as one `AnnotatedSplit`."""

    def __init__(self, splits: Sequence[AnnotatedSplit]) -> None:
        self._splits = splits
        self.sizes: NDArray[np.int64] = np.concatenate([split.sizes for split in splits])
        groups = [split.groups for split in splits if split.groups is not None]
        self.groups = np.concatenate(groups) if len(groups) == len(splits) else None

    def __len__(self) -> int:
        return sum(map(len, self._splits))

    def image(self, index: int) -> Tensor:
        """Decodes image `index`."""
        split, place = place_in(self._splits, index)
        return split.image(place)

    def annotation(self, index: int) -> Annotation:
        """All that was asked for about image `index`."""
        split, place = place_in(self._splits, index)
        return split.annotation(place)

    def object_labels(self, index: int) -> NDArray[np.int64]:
        """The labels of the objects of image `index` that are no crowds."""
        split, place = place_in(self._splits, index)
        return split.object_labels(place)


class ChosenAnnotated:
    """Some images of a split, by their `places`, as an `AnnotatedSplit`."""

    def __init__(self, split: AnnotatedSplit, places: NDArray[np.int64]) -> None:
        self._split, self._places = split, places
        self.sizes: NDArray[np.int64] = split.sizes[places]
        self.groups = None if split.groups is None else split.groups[places]

    def __len__(self) -> int:
        return len(self._places)

    def image(self, index: int) -> Tensor:
        """Decodes image `index`."""
        return self._split.image(int(self._places[index]))

    def annotation(self, index: int) -> Annotation:
        """All that was asked for about image `index`."""
        return self._split.annotation(int(self._places[index]))

    def object_labels(self, index: int) -> NDArray[np.int64]:
        """The labels of the objects of image `index` that are no crowds."""
        return self._split.object_labels(int(self._places[index]))


class Relabelled:
    """A split with labels in another order: what was label i becomes `order[i]`."""

    def __init__(self, split: AnnotatedSplit, order: Sequence[int]) -> None:
        self._split, self._order = split, np.asarray(order, np.int64)
        self.sizes, self.groups = split.sizes, split.groups

    def __len__(self) -> int:
        return len(self._split)

    def image(self, index: int) -> Tensor:
        """Decodes image `index`."""
        return self._split.image(index)

    def annotation(self, index: int) -> Annotation:
        """All that was asked for about image `index`, in the new labels."""
        found = self._split.annotation(index)
        objects, semantic = found.objects, found.semantic
        if objects is not None:
            objects = msgspec.structs.replace(objects, labels=self._order[objects.labels])
        if semantic is not None:
            unknown = semantic == np.iinfo(semantic.dtype).max
            moved = self._order[np.where(unknown, 0, semantic)].astype(semantic.dtype)
            semantic = np.where(unknown, semantic, moved)
        return msgspec.structs.replace(found, objects=objects, semantic=semantic)

    def object_labels(self, index: int) -> NDArray[np.int64]:
        """The labels of the objects of image `index` that are no crowds, in the new labels."""
        return self._order[self._split.object_labels(index)]


def counted_labels(objects: Objects | None) -> NDArray[np.int64]:
    """The labels of objects that are no crowds."""
    if objects is None:
        return np.zeros(0, np.int64)
    labels: NDArray[np.int64] = objects.labels[~objects.crowd]
    return labels


def size_of(split: AnnotatedSplit, index: int) -> Size:
    """Height and width of an image."""
    height, width = split.sizes[index].tolist()
    return height, width
