"""A folder of class folders, opened from its index: for training, or for a model to be scored on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import get_worker_info

from dorsal.data.check import check, read_unchanged
from dorsal.data.decode import Levels, Reading, pixels
from dorsal.data.errors import DataError, shown
from dorsal.data.index import Index, read_indices
from dorsal.data.layout import Role
from dorsal.data.listing import list_folder, training_problems
from dorsal.data.measuring import conversion_notes, normalization_of, range_of_deep
from dorsal.data.progress import Progress, on_stderr
from dorsal.data.spec import Folder
from dorsal.data.split import ImageData, Images, Target, largest_share
from dorsal.spec.preprocessing import IMAGENET, Normalization

_CACHE_BYTES = 512 * 2**20

Rows = NDArray[np.int64]
_KEPT = np.dtype([("label", "<i8"), ("digest", "u1", (32,))])


class FolderSplit(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Files of an index and their labels, a `dorsal.data.split.Split`. Images are decoded when they are asked for. Each
    process keeps the images of a small set: up to 512 MiB, `set_bytes` being those of all its images."""

    index: Index
    rows: Rows
    labels: NDArray[np.int64]
    levels: Levels | None
    set_bytes: int
    kept: dict[int, Tensor] = {}

    @property
    def stacked(self) -> None:
        """None: images are read one at a time."""

    @property
    def groups(self) -> None:
        """None: nothing says which files belong together."""

    def __len__(self) -> int:
        return len(self.labels)

    def path(self, index: int) -> Path:
        """The file of an image."""
        return Path(self.index.path(int(self.rows[index])))

    def image(self, index: int) -> Tensor:
        """Uint8 [channels, H, W] in the file's own size.

        Raises DataError if the file is not the one that was checked, and OSError if it cannot be read.
        """
        found = self.kept.get(index)
        if found is None:
            data = self._read(int(self.rows[index]))
            found = torch.from_numpy(pixels(data, self.index.reading, self.levels))
            worker = get_worker_info()
            if self.set_bytes * (1 if worker is None else worker.num_workers) <= _CACHE_BYTES:
                self.kept[index] = found
        return found

    def targets(self, index: int) -> Target:
        """The label alone."""
        return Target(label=int(self.labels[index]))

    def _read(self, row: int) -> bytes:
        file = self.index.listing.files[row]
        return read_unchanged(
            self.index.path(row), int(file["size"]), int(file["time"]), self.index.facts["digest"][row].tobytes()
        )


def open_folder(spec: Folder, fingerprint: str | None = None, on_progress: Progress | None = None) -> ImageData:
    """Checks a folder and opens it for training.

    With the `fingerprint` of an earlier check its index is used as it is, and no file is looked at; if there is no such
    index, the folder is checked. Each training image has the same weight in the measured normalization, whatever its
    size, as it has in training.

    Raises DataError for a folder that cannot be read or has no class folders; for classes that are empty, alone, in val
    but not in train, or too small to split; for links that run in a circle; and as `dorsal.data.check.check` does.
    """
    root, reading = Path(spec.path), _reading(spec)
    if fingerprint is not None:
        for index in read_indices(root, reading)[0]:
            if index.known().all() and not training_problems(index.listing):
                data = _for_training(index, spec)
                if data.fingerprint == fingerprint:
                    return data
    tell = on_progress or on_stderr(root)
    listing = list_folder(root, reading, tell)
    index, notes = check(listing, reading, tell, training_problems(listing))
    return _for_training(index, spec, notes)


def open_images(
    spec: Folder,
    split: Literal["train", "val", "all"] | None = None,
    levels: Levels | None = None,
    on_progress: Progress | None = None,
) -> Images:
    """Checks a folder and opens it to score a model on.

    Without `split` that is val if the folder has splits, else all of it. "train" and "val" of a folder without splits
    are the ones that `open_folder` makes. Classes may be empty or have one image. `levels` are the ones of the model's
    training images; without them those of these images count.

    Raises DataError as `open_folder` does, but not for what matters to training alone, and ValueError if the folder has
    no such split.
    """
    root, reading = Path(spec.path), _reading(spec)
    tell = on_progress or on_stderr(root)
    listing = list_folder(root, reading, tell)
    unfit = training_problems(listing)
    index, notes = check(listing, reading, tell)
    rows, what = _chosen(index, spec, split, unfit)
    if not len(rows):
        raise DataError(shown(root), [f"{what}: holds no images"])
    labels = listing.files["label"][rows]
    present = np.unique(labels)
    range_of, whose = (levels, "the model's training images") if levels else (_levels(index, rows), "these images")
    empty = len(listing.classes) - len(present)
    said = (
        [f"{empty} of {len(listing.classes)} classes {'has' if empty == 1 else 'have'} no images here"] if empty else []
    )
    train, val = (rows[:0], rows[:0]) if unfit else _rows(index, spec)
    return Images(
        classes=tuple(listing.classes[label] for label in present),
        images=_split(index, rows, range_of, np.searchsorted(present, labels)),
        summary=f"{_count(len(rows), 'image')} of {what}",
        digest=_fingerprint(index, rows, rows[:0]),
        fingerprint="" if unfit else _fingerprint(index, train, val),
        has_training=bool(np.isin(rows, train).any()),
        notes=(*listing.notes, *_conversions(index, rows, range_of, whose), *said, *notes),
    )


def _chosen(
    index: Index, spec: Folder, split: Literal["train", "val", "all"] | None, unfit: Sequence[str]
) -> tuple[Rows, str]:
    """Returns the rows of a split, and what they are in words. `unfit` are the problems that training would have."""
    listing = index.listing
    where, parts = shown(listing.root), {part.role: number for number, part in enumerate(listing.parts)}
    whole = "whole" in parts
    if split == "all" or (split is None and "val" not in parts):
        everything = np.arange(len(listing.files))
        return everything, f"{where}, all of it" if whole else f"all splits of {where}"
    split = split or "val"
    if whole:
        if unfit:
            raise DataError(where, [f"split={split} is not to be had: {problem}" for problem in unfit])
        rows = dict(zip(("train", "val"), _rows(index, spec), strict=True))[split]
        does = "holds out" if split == "val" else "learns from"
        return rows, f"{where} that training {does} (val_fraction={spec.val_fraction}, seed={spec.seed})"
    if split not in parts:
        raise ValueError(f"data='{where}' has no split {split!r}; nearest valid: {next(iter(parts))!r}")
    rows = np.flatnonzero(listing.files["part"] == parts[split])
    return rows, shown(listing.root / listing.parts[parts[split]].folder)


def _for_training(index: Index, spec: Folder, notes: Sequence[str] = ()) -> ImageData:
    train, val = _rows(index, spec)
    levels = _levels(index, train)
    listing, where = index.listing, shown(index.listing.root)
    here = f"{where}, split here (val_fraction={spec.val_fraction}, seed={spec.seed})"
    both = np.concatenate([train, val])
    return ImageData(
        classes=listing.classes,
        train=_split(index, train, levels),
        val=_split(index, val, levels),
        normalization=IMAGENET if spec.normalization == "imagenet" else _measured(index, train, levels),
        fingerprint=_fingerprint(index, train, val),
        size=spec.size,
        flip=True,
        levels=levels,
        source=where if listing.part("whole") is None else here,
        notes=(
            *listing.notes,
            *_conversions(index, both, levels, "the training images"),
            *_leaks(index, train, val),
            *_imbalance(index, val),
            *notes,
        ),
    )


def _imbalance(index: Index, val: Rows) -> list[str]:
    """A note where always answering one class scores far more than chance."""
    labels, classes = index.listing.files["label"][val], index.listing.classes
    constant = largest_share(labels)
    if constant <= 150 / len(classes):
        return []
    largest = classes[np.bincount(labels).argmax()]
    return [
        f"the classes are unequal: always answering {largest!r} would score {constant:.1f} % of the validation images; "
        "see class_weights and sampling of recipes"
    ]


def _reading(spec: Folder) -> Reading:
    return Reading(channels=spec.channels, max_pixels=spec.max_pixels)


def _split(index: Index, rows: Rows, levels: Levels | None, labels: NDArray[np.int64] | None = None) -> FolderSplit:
    facts = index.facts
    pixel_count = int((facts["width"].astype(np.int64) * facts["height"]).sum())
    return FolderSplit(
        index=index,
        rows=rows,
        labels=index.listing.files["label"][rows].astype(np.int64) if labels is None else labels,
        levels=levels,
        set_bytes=index.reading.channels * pixel_count,
        kept={},
    )


def _rows(index: Index, spec: Folder) -> tuple[Rows, Rows]:
    """The rows of training and of validation, each in order.

    A folder without splits is split here, each class by `val_fraction`, rounded, with at least one image on either
    side. The same seed holds out the same files on every machine, and a file keeps its rank when others are added.
    """
    listing = index.listing
    roles: list[Role] = [part.role for part in listing.parts]
    if "whole" not in roles:
        train, val = (np.flatnonzero(listing.files["part"] == roles.index(role)) for role in ("train", "val"))
        return train, val
    begin = f"{spec.seed}/".encode()
    ranks = b"".join(hashlib.sha256(begin + path).digest()[:8] for path in listing.paths())
    rank, held = np.frombuffer(ranks, ">u8"), np.zeros(len(listing.files), bool)
    bounds = np.searchsorted(listing.files["label"], np.arange(len(listing.classes) + 1))
    for start, stop in pairwise(bounds):
        count = min(max(round((stop - start) * spec.val_fraction), 1), stop - start - 1)
        held[start + rank[start:stop].argsort(kind="stable")[:count]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)


def _levels(index: Index, rows: Rows) -> Levels | None:
    return range_of_deep(index.facts[rows], index.reading)


def _measured(index: Index, rows: Rows, levels: Levels | None) -> Normalization:
    return normalization_of(index.facts[rows], levels)


def _conversions(index: Index, rows: Rows, levels: Levels | None, whose: str) -> list[str]:
    def path(place: int) -> str:
        return index.path(int(rows[place]))

    return conversion_notes(index.facts[rows], index.conversions, path, levels, whose)


def _leaks(index: Index, train: Rows, val: Rows) -> list[str]:
    digests = np.ascontiguousarray(index.facts["digest"][:, :8]).view("<u8")[:, 0]
    twins = val[np.isin(digests[val], digests[train])]  # by 64 of 256 bits: enough for a note
    if not len(twins):
        return []
    many = f"{_count(len(twins), 'validation image')} {'is' if len(twins) == 1 else 'are'}"
    return [f"{many} also in train, first: {shown(index.path(int(twins[0])))}"]


def _fingerprint(index: Index, train: Rows, val: Rows) -> str:
    """The sha256 of classes, splits, labels and contents. Names of files matter only for the order."""
    total = hashlib.sha256(repr((index.listing.classes, len(train))).encode())
    both = np.concatenate([train, val])
    kept = np.empty(len(both), _KEPT)
    kept["label"], kept["digest"] = index.listing.files["label"][both], index.facts["digest"][both]
    total.update(kept.tobytes())
    return total.hexdigest()


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"
