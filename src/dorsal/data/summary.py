"""What a data set is, as plans and records keep it. No torch, no pixels."""

from __future__ import annotations

from typing import Literal

import msgspec

from dorsal.data.spec import DataSpec
from dorsal.spec.task import AnyTask, Classify

Resampling = Literal["random"] | int
"""How each seed draws training and validation images anew: at random, or as one of so many folds."""


class DataSummary(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A data set that was opened and found sound.

    - `spec`: what was opened. `classes`: in the order of the logits.
    - `mean`, `std`: what images are normalized by, one value a channel (red, green, blue), for values in 0..1.
    - `fingerprint`: sha256 in hex of all images and labels; equal fingerprints mean equal data.
    - `train_images`, `val_images`: how many there are. `constant`: the score in percent of always answering the
      largest class of the validation images, or of their pixels; 0 where objects are looked for.
    - `notes`: sentences on what was converted or passed over.
    - `task`: what is learnt from them, with nothing left open.
    - `resample`: how each seed draws its own images to learn from and to be scored on from all of these; None where
      every seed has the same.
    """

    spec: DataSpec
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fingerprint: str
    train_images: int
    val_images: int
    constant: float
    notes: tuple[str, ...] = ()
    resample: Resampling | None = None
    task: AnyTask = Classify()

    @property
    def overlap(self) -> float:
        """How many images a seed is scored on for each that it learns from, where seeds draw their own; else 0."""
        match self.resample:
            case None:
                return 0.0
            case int(folds):
                return 1 / (folds - 1)
            case _:
                return self.val_images / self.train_images

    @property
    def image_size(self) -> int:
        """The side in pixels of the square that a network sees."""
        return self.spec.size

    @property
    def channels(self) -> int:
        """Channels of an image."""
        return len(self.mean)

    @property
    def description(self) -> str:
        """One line for reports."""
        return self.spec.describe()
