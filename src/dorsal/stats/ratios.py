"""What each test image contributes to a score, so that the score can be told for other images too."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np
import numpy.typing as npt

from dorsal.stats.bootstrap import blocks
from dorsal.stats.interval import Array

Groups = npt.NDArray[np.int64]


class Ratios(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What each of n test images contributes to a score: 100 × the mean over k of sum(top[:, k]) / sum(bottom[:, k]).

    - `top`, `bottom`: [n, K]. Accuracy has K = 1, 1 on top where an image is right, and 1 below it.
    - `present`: [n, K]. A k is in the mean if sum(present[:, k]) is above 0; without it, if its bottom is. An IoU needs
      it: its bottom is a union, which a class that is only predicted has too. There it is the pixels of the truth.
    - `groups`: int64 [n]. Images that are not independent of each other share a number, for example the frames of one
      video. None if all are independent.

    Raises ValueError for shapes that differ, values that are not finite, a negative bottom, no bottom at all, or a k
    that is present in an image without a bottom there.
    """

    top: Array
    bottom: Array
    present: Array | None = None
    groups: Groups | None = None

    def __post_init__(self) -> None:
        if self.top.ndim != 2 or self.top.shape != self.bottom.shape:
            raise ValueError(f"top has shape {self.top.shape} and bottom {self.bottom.shape}: both must be [n, K]")
        if not (np.isfinite(self.top).all() and np.isfinite(self.bottom).all() and (self.bottom >= 0).all()):
            raise ValueError("top and bottom must hold finite numbers, and bottom none below 0")
        if not self.bottom.any():
            raise ValueError("bottom is 0 everywhere: there is no score")
        if self.present is not None:
            _check_present(self.present, self.bottom)
        if self.groups is not None and self.groups.shape != (len(self.top),):
            raise ValueError(f"groups has shape {self.groups.shape}: it must hold one number for each image")

    @property
    def images(self) -> int:
        """The number of images."""
        return len(self.top)

    def score(self) -> float:
        """The score on these images, in percent."""
        return float(self.fold(np.ones((1, len(self.top))))[0])

    @property
    def presence(self) -> Array:
        """`present`, or in its place `bottom`."""
        return self.bottom if self.present is None else self.present

    def fold(self, weights: Array) -> Array:
        """The scores [B] if each image counts as often as `weights` [B, n] says.

        NaN where no k is present any more.
        """
        bottom = weights @ self.bottom
        kept = bottom > 0 if self.present is None else weights @ self.present > 0
        parts = np.divide(weights @ self.top, bottom, out=np.zeros_like(bottom), where=kept)
        count = kept.sum(axis=1)
        nothing = np.full(len(bottom), np.nan)
        scores: Array = 100 * np.divide(parts.sum(axis=1), count, out=nothing, where=count > 0)
        return scores

    def values(self) -> Array:
        """The score as a mean of independent values [units]: one for each image, or each group of images.

        A value is the score plus `units` times what the unit's presence changes in it (infinitesimal jackknife, Jaeckel
        1972). Accuracy has exactly 100 for an image that is right and 0 for one that is wrong. For every other score,
        the mean is exact, and the spread is right to first order.
        """
        sums = self.bottom.sum(axis=0)
        kept = self.presence.sum(axis=0) > 0
        top, bottom, sums = self.top[:, kept], self.bottom[:, kept], sums[kept]
        ratios = top.sum(axis=0) / sums
        influence = 100 * ((top - ratios * bottom) / sums).mean(axis=1)
        if self.groups is not None:
            influence = np.bincount(units_of(self.groups), influence)
        values: Array = 100 * ratios.mean() + influence.size * influence
        return values

    def redrawn(self, draws: int, random: np.random.Generator) -> Iterator[Array]:
        """Bootstrap weights of the images in blocks [rows, n]. Groups are drawn whole."""
        return redrawn_images(self.images, self.groups, draws, random)


def units_of(groups: Groups) -> Groups:
    """The number of each image's group, counted from 0 without gaps."""
    return np.unique(groups, return_inverse=True)[1]


def redrawn_images(images: int, groups: Groups | None, draws: int, random: np.random.Generator) -> Iterator[Array]:
    """Bootstrap weights of images in blocks [rows, images]. Groups, one number for each image, are drawn whole."""
    unit = None if groups is None else units_of(groups)
    units = images if unit is None else int(unit.max()) + 1
    for rows in blocks(draws, images):
        drawn = random.integers(0, units, (rows, units)) + units * np.arange(rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * units).reshape(rows, units).astype(np.float64)
        yield counts if unit is None else counts[:, unit]


def _check_present(present: Array, bottom: Array) -> None:
    if present.shape != bottom.shape:
        raise ValueError(f"present has shape {present.shape} and bottom {bottom.shape}: both must be [n, K]")
    if not (np.isfinite(present).all() and (present >= 0).all()):
        raise ValueError("present must hold finite numbers, and none below 0")
    if not present.any():
        raise ValueError("present is 0 everywhere: there is no score")
    if ((present > 0) & (bottom == 0)).any():
        raise ValueError("present is above 0 where bottom is 0: what is present in an image must have a bottom there")
