"""The face of this room: opens data sets for training and for scoring."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, assert_never

import torch
from torch import Tensor

from dorsal.data.annotated import AnnotatedData, AnnotatedImages, JoinedAnnotated
from dorsal.data.decode import Levels
from dorsal.data.entries import open_entries, open_entries_to_score
from dorsal.data.errors import shown
from dorsal.data.folder import open_folder, open_images
from dorsal.data.formats.index import SplitName
from dorsal.data.kinds import KINDS, what_lacks
from dorsal.data.memory import annotated_data
from dorsal.data.progress import Progress
from dorsal.data.scenes import open_annotated_scenes, open_scene_images, open_scenes
from dorsal.data.spec import Annotated, DataSpec, Folder, Scenes, data_spec, no_labels
from dorsal.data.split import ChosenImages, ImageData, Images, JoinedSplits, Split, Target
from dorsal.data.transform import Interpolation, eval_crop, eval_transform, to_float
from dorsal.spec.preprocessing import Normalization
from dorsal.spec.task import Kind

__all__ = [
    "AnnotatedData",
    "ChosenImages",
    "EvaluationBatches",
    "ImageData",
    "Images",
    "JoinedSplits",
    "Split",
    "Target",
    "annotated_data",
    "eval_transform",
    "open_annotated",
    "open_annotated_images",
    "open_data",
    "open_for_scoring",
    "to_float",
]

_CACHE_BYTES = 512 * 2**20


def open_data(
    data: ImageData | DataSpec | str | os.PathLike[str],
    *,
    fingerprint: str | None = None,
    on_progress: Progress | None = None,
) -> ImageData:
    """Opens a data set for training: a record, its text (see `dorsal.data.spec`), or the path of a folder. Data that
    are open come back as they are.

    A folder is checked first, as far as no earlier check knows it; see `dorsal.data.check`. `on_progress` is called
    meanwhile; without it, lines appear on standard error once the check takes two seconds. A worker passes the
    `fingerprint` of the data that were planned with: then the index of that check is used and no file is looked at. A
    file that has changed since is found when it is read.

    Raises DataError, a ValueError, listing everything wrong with a folder; ValueError for a text that names no data;
    TypeError for anything else; and ModuleNotFoundError where the digits behind `Scenes` are not installed.
    """
    if isinstance(data, ImageData):
        return data
    spec = data_spec(data)
    match spec:
        case Scenes():
            return open_scenes(spec)
        case Folder():
            return open_folder(spec, fingerprint, on_progress)
        case Annotated():
            raise ValueError(no_labels(spec))
        case _:
            assert_never(spec)


def open_annotated(
    data: AnnotatedData | DataSpec | str | os.PathLike[str],
    kinds: frozenset[Kind],
    *,
    fingerprint: str | None = None,
    on_progress: Progress | None = None,
) -> AnnotatedData:
    """Opens a data set for a task that learns from annotations of these `kinds`; the rest is as in `open_data`.

    Annotations of other kinds are neither checked nor kept. Raises ValueError, naming formats that have them, where the
    data have none of a kind.
    """
    if isinstance(data, AnnotatedData):
        if kinds - data.kinds:
            raise ValueError(what_lacks(data.source, "open", data.kinds, kinds))
        return data.narrowed(kinds)
    spec = data_spec(data)
    match spec:
        case Scenes():
            opened = open_annotated_scenes(spec)
            if kinds - opened.kinds:
                raise ValueError(what_lacks("scenes", "embedded", opened.kinds, kinds))
            return opened.narrowed(kinds)
        case Folder():
            raise ValueError(what_lacks(shown(spec.path), "a folder of class folders", KINDS["folder"], kinds))
        case Annotated():
            return open_entries(spec, kinds, fingerprint, on_progress)
        case _:
            assert_never(spec)


def open_annotated_images(
    data: DataSpec | str | os.PathLike[str],
    kinds: frozenset[Kind],
    split: Literal["train", "val", "all"] | None = None,
    *,
    on_progress: Progress | None = None,
) -> AnnotatedImages:
    """Opens annotated images to score a model on: those of a split, of val without `split`.

    Raises as `open_annotated` does, and ValueError for another split.
    """
    if split not in (None, "train", "val", "all"):
        raise ValueError(f"split={split!r} is not known; valid: val, train, all")
    spec = data_spec(data)
    if isinstance(spec, Annotated):
        scored: dict[str, tuple[SplitName, ...]] = {"train": ("train",), "all": ("train", "val")}
        opened = open_entries_to_score(spec, kinds, scored.get(split or "val", ("val",)), on_progress)
    else:
        opened = open_annotated(spec, kinds, on_progress=on_progress)
    splits = {"train": opened.train, "val": opened.val, "all": JoinedAnnotated([opened.train, opened.val])}
    which = {"train": "training", "val": "validation", "all": "training and validation"}[split or "val"]
    images = splits[split or "val"]
    return AnnotatedImages(
        labels=opened.labels,
        images=images,
        summary=f"{len(images):,} {which} images of {opened.source}",
        digest=hashlib.sha256(f"{opened.fingerprint} {which}".encode()).hexdigest(),
        fingerprint=opened.fingerprint,
        has_training=split in ("train", "all"),
        notes=opened.notes,
    )


def open_for_scoring(
    data: DataSpec | str | os.PathLike[str],
    split: Literal["train", "val", "all"] | None = None,
    *,
    levels: Levels | None = None,
    on_progress: Progress | None = None,
) -> Images:
    """Opens images to score a model on.

    A folder without splits is taken whole, even if a class has one image or none; see `dorsal.data.folder.open_images`.
    `split` chooses among splits; without it that is val. `levels` are the ones of the model's training images.

    Raises as `open_data` does, and ValueError for a split that the data do not have.
    """
    if split not in (None, "train", "val", "all"):
        raise ValueError(f"split={split!r} is not known; valid: val, train, all")
    spec = data_spec(data)
    match spec:
        case Scenes():
            return open_scene_images(spec, split)
        case Folder():
            return open_images(spec, split, levels, on_progress)
        case Annotated():
            raise ValueError(no_labels(spec))
        case _:
            assert_never(spec)


class EvaluationBatches:
    """A split as evaluation sees it: in order, through `eval_transform`, the same every time.

    Iterating yields (images float32 [B, channels, size, size], labels int64 [B]); the last batch may be smaller. A
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
        self._keep = len(split) * len(normalization.mean) * size * size <= _CACHE_BYTES
        self._kept: Tensor | None = None

    @property
    def images(self) -> int:
        """How many there are in all batches."""
        return len(self._split)

    def __len__(self) -> int:
        """The number of batches."""
        return math.ceil(len(self._split) / self.batch_size)

    def indices(self, number: int) -> range:
        """The places in the split of the images of a batch."""
        first = number * self.batch_size
        return range(first, min(first + self.batch_size, len(self._split)))

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return map(self.batch, range(len(self)))

    def batch(self, number: int) -> tuple[Tensor, Tensor]:
        """A batch by its number, from 0."""
        if self._keep and self._kept is None:
            self._kept = _crops(self._split, range(len(self._split)), self._crop)
        places = self.indices(number)
        part = slice(places.start, places.stop)
        crops = _crops(self._split, places, self._crop) if self._kept is None else self._kept[part]
        return self._to_float(crops), self._labels[part]


def _crops(split: Split, indices: range, crop: Callable[[Tensor], Tensor]) -> Tensor:
    if split.stacked is not None:
        return crop(split.stacked[indices.start : indices.stop])
    # Threads and not processes: Pillow decodes and torch resizes without holding the interpreter lock.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return torch.stack(list(pool.map(lambda index: crop(split.image(index)), indices)))
