"""A folder of class folders, checked in full before anything trains on it."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dorsal.data.decode import header_bytes, read_image, scan
from dorsal.data.listing import Listing, list_folder
from dorsal.data.spec import Folder
from dorsal.data.split import ImageData, Target
from dorsal.data.transform import IMAGENET, Normalization, measured

_CACHE_BYTES = 512 * 2**20
_SHOWN = 20


class DataError(ValueError):
    """Everything found wrong with a folder, one line each, by path."""


class FolderSplit(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Files and labels, a `dorsal.data.split.Split`. `pixels` holds the decoded images of a small set."""

    paths: tuple[Path, ...]
    labels: NDArray[np.int64]
    pixels: tuple[Tensor, ...] | None
    stacked: Tensor | None

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, index: int) -> Tensor:
        """Uint8 RGB [3, H, W] in the file's own size."""
        return read_image(self.paths[index]) if self.pixels is None else self.pixels[index]

    def targets(self, index: int) -> Target:
        """The label alone."""
        return Target(label=int(self.labels[index]))


class Checked(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """A folder found sound: its splits, what its training images measure, what is worth knowing."""

    classes: tuple[str, ...]
    train: FolderSplit
    val: FolderSplit
    measured: Normalization
    fingerprint: str
    notes: tuple[str, ...]


def open_folder(spec: Folder) -> ImageData:
    """Check the folder and open it.

    Raises DataError as `check_folder` does.
    """
    checked = check_folder(spec)
    return ImageData(
        classes=checked.classes,
        train=checked.train,
        val=checked.val,
        normalization=IMAGENET if spec.normalization == "imagenet" else checked.measured,
        fingerprint=checked.fingerprint,
        size=spec.size,
        flip=True,
        notes=checked.notes,
    )


def check_folder(spec: Folder) -> Checked:
    """Decode every image once and say all that is wrong in one error.

    Sets of up to 512 MiB of pixels stay in memory. Each training image weighs the same in the measured
    normalization, whatever its size, as it does in training. Identical files in train and val are a note.

    Raises DataError for a folder that cannot be read or has no class folders; classes that are empty, alone,
    in val but not in train, or too small to split; images that are unreadable, truncated, smaller than 8 px,
    or of 32-bit or floating-point values; and links that run in a circle.
    """
    listing = list_folder(spec)
    scanned = _scan_all(listing)
    problems = [*listing.problems, *scanned.problems]
    if problems:
        shown = "".join(f"\n  {problem}" for problem in problems[:_SHOWN])
        more = f"\n  and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise DataError(f"path: {spec.path!r} cannot be used as a data set, {count}:{shown}{more}")
    cut = len(listing.train)
    return Checked(
        classes=listing.classes,
        train=_split(listing.train, scanned.pixels[:cut]),
        val=_split(listing.val, scanned.pixels[cut:]),
        measured=measured(scanned.shares),
        fingerprint=_fingerprint(listing, scanned.digests),
        notes=(*listing.notes, *scanned.notes, *_leaks(listing, scanned.digests)),
    )


class _Scanned(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """All files, training first. `shares` [3, 256] sums over training; `pixels` is empty for a large set."""

    problems: list[str]
    notes: list[str]
    digests: list[bytes]
    pixels: list[Tensor]
    shares: NDArray[np.float64]


def _scan_all(listing: Listing) -> _Scanned:
    paths = [path for path, _ in (*listing.train, *listing.val)]
    problems, digests, pixels = [], [], []
    noted: dict[str, list[Path]] = defaultdict(list)
    shares = np.zeros((3, 256))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        keep = sum(pool.map(header_bytes, paths)) <= _CACHE_BYTES
        results = pool.map(lambda path: scan(path, keep=keep), paths)
        for index, (path, result) in enumerate(zip(paths, results, strict=True)):
            if result.problem is not None:
                problems.append(f"{path}: {result.problem}")
                continue
            digests.append(result.digest)
            if result.note is not None:
                noted[result.note].append(path)
            if result.pixels is not None:
                pixels.append(result.pixels)
            if result.shares is not None and index < len(listing.train):
                shares += result.shares
    notes = [f"{len(group)} images {note}, first: {group[0]}" for note, group in noted.items()]
    return _Scanned(problems=problems, notes=notes, digests=digests, pixels=pixels, shares=shares)


def _split(files: Sequence[tuple[Path, int]], pixels: list[Tensor]) -> FolderSplit:
    stacked = torch.stack(pixels) if len({image.shape for image in pixels}) == 1 else None
    return FolderSplit(
        paths=tuple(path for path, _ in files),
        labels=np.array([label for _, label in files], np.int64),
        pixels=tuple(pixels if stacked is None else stacked) if pixels else None,
        stacked=stacked,
    )


def _leaks(listing: Listing, digests: list[bytes]) -> list[str]:
    cut = len(listing.train)
    known = set(digests[:cut])
    twins = [path for (path, _), digest in zip(listing.val, digests[cut:], strict=True) if digest in known]
    return [f"{len(twins)} validation images are also in train, first: {twins[0]}"] if twins else []


def _fingerprint(listing: Listing, digests: list[bytes]) -> str:
    """Of contents, classes and splits; names of files and of the folder enter by the order they give only."""
    total = hashlib.sha256(repr((listing.classes, len(listing.train))).encode())
    for (_, label), digest in zip((*listing.train, *listing.val), digests, strict=True):
        total.update(label.to_bytes(8, "little") + digest)
    return total.hexdigest()
