"""What each test image contributes to an average precision, so that it can be told for other images too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from dorsal.stats.interval import Array
from dorsal.stats.ratios import Groups, Ratios, redrawn_images, units_of

Flags = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.integer]

RECALLS = np.linspace(0, 1, 101)
"""The recalls at which COCO reads the precision, as exactly the floating-point numbers that it reads."""


_BLOCK = 300_000
"""The most numbers of an array that is worked on at a time, so that it stays near the processor."""


class Ranked(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What is found in n test images, ranked: 100 × the mean average precision over K classes and T thresholds.

    - `image`, `label`, `scores`: [D], of everything found: its image, 0 to n - 1, its class, 0 to K - 1, and how sure
      the model is. Of equal scores, the one that comes first here ranks higher. COCO has them by image.
    - `hit`, `ignored`: [D, T], whether it is right at each threshold of overlap, and whether it counts as neither right
      nor wrong.
    - `truths`: [n, K], the number of objects to be found. A class without any is left out of the mean.
    - `groups`: as in `Ratios`.

    The average precision of a class is COCO's: the mean over 101 recalls of the highest precision at that recall or
    above. One deviation: COCO adds 2e-16 to each number of detections, which keeps perfect results just below 100.

    Raises ValueError for shapes that differ, an image or a class that does not exist, a score that is not finite,
    something both right and ignored, a negative number of truths, fewer truths than hits, or no truth at all.
    """

    image: Integers
    label: Integers
    scores: Array
    hit: Flags
    ignored: Flags
    truths: Array
    groups: Groups | None = None

    def __post_init__(self) -> None:
        found = len(self.image)
        if self.truths.ndim != 2 or self.hit.ndim != 2 or self.hit.shape[1] == 0:
            raise ValueError(f"truths {self.truths.shape} must be [n, K], and hit {self.hit.shape} [D, T]")
        if not self.image.shape == self.label.shape == self.scores.shape == (found,) == self.hit.shape[:1]:
            raise ValueError(f"image, label, scores and hit must hold one entry for each of the {found} found")
        if self.ignored.shape != self.hit.shape or (self.hit & self.ignored).any():
            raise ValueError("ignored must have the shape of hit, and nothing is both right and ignored")
        for name, values, end in zip(("image", "label"), (self.image, self.label), self.truths.shape, strict=True):
            if found and not 0 <= int(values.min()) <= int(values.max()) < end:
                raise ValueError(f"{name} holds {values.min()} to {values.max()}: it must be within 0 to {end - 1}")
        if not np.isfinite(self.scores).all():
            raise ValueError("scores must hold finite numbers")
        if not (np.isfinite(self.truths).all() and (self.truths >= 0).all() and self.truths.any()):
            raise ValueError("truths must hold finite numbers, none below 0 and one above it: else there is no score")
        if self._most_hits() > 0:
            raise ValueError("hit holds more objects of an image and class than truths does")
        if self.groups is not None and self.groups.shape != (len(self.truths),):
            raise ValueError(f"groups has shape {self.groups.shape}: it must hold one number for each image")

    def _most_hits(self) -> float:
        """By how much hits exceed the truths of an image and class, at most."""
        rows = np.flatnonzero(self.hit.any(axis=1))
        kinds, kind = np.unique(self.image[rows] * self.truths.shape[1] + self.label[rows], return_inverse=True)
        truths = self.truths.ravel()[kinds]
        found = [np.bincount(kind, each, len(kinds)) - truths for each in self.hit[rows].T]
        return float(np.max(found, initial=0.0))

    @property
    def images(self) -> int:
        """The number of images."""
        return len(self.truths)

    def score(self) -> float:
        """The score on these images, in percent."""
        return float(np.nanmean(self.precisions()))

    def precisions(self) -> Array:
        """The average precision of each class at each threshold [K, T], in percent; NaN for a class without truth."""
        found: Array = np.full((self.truths.shape[1], self.hit.shape[1]), np.nan)
        every = np.ones((1, self.images))
        for label, rows in self._classes():
            found[label] = 100 * rows.precision(every, every @ self.truths[:, label])[0]
        return found

    def fold(self, weights: Array) -> Array:
        """The scores [B] if each image counts as often as `weights` [B, n] says.

        That is COCO's score of the set with images repeated, if nothing of two images has the same score. A class that
        has no truth in a draw is left out of that draw; NaN where nothing is left.
        """
        total, present = np.zeros(len(weights)), np.zeros(len(weights))
        for label, rows in self._classes():
            truths = weights @ self.truths[:, label]
            kept = np.flatnonzero(truths)
            present[kept] += 1
            step = max(1, _BLOCK // max(1, rows.hit.size, len(rows.wrong)))
            for part in (kept[start : start + step] for start in range(0, len(kept), step)):
                total[part] += rows.precision(weights[part], truths[part]).mean(axis=1)
        nothing = np.full(len(weights), np.nan)
        scores: Array = 100 * np.divide(total, present, out=nothing, where=present > 0)
        return scores

    def values(self) -> Array:
        """The score as a mean of independent values [units]: see `Ratios.values`.

        What an image changes is told from the area below the curve of precision over recall. It has a derivative, which
        the mean over 101 recalls has not: that one jumps as a recall is reached.
        """
        influence: Array = np.zeros(self.images)
        present = 0
        for label, rows in self._classes():
            influence += rows.influence(self.truths[:, label])
            present += 1
        if self.groups is not None:
            influence = np.bincount(units_of(self.groups), influence).astype(np.float64)
        values: Array = self.score() + influence.size * 100 * influence / present
        return values

    def redrawn(self, draws: int, random: np.random.Generator) -> Iterator[Array]:
        """Bootstrap weights of the images in blocks [rows, n]. Groups are drawn whole."""
        return redrawn_images(self.images, self.groups, draws, random)

    def _classes(self) -> Iterator[tuple[int, _Rows]]:
        """Each class that has truth, and what is found of it, from the highest score down."""
        order = np.lexsort((-self.scores, self.label))
        ends = np.searchsorted(self.label[order], np.arange(self.truths.shape[1] + 1))
        for label in np.flatnonzero(self.truths.any(axis=0)).tolist():
            yield label, _rows(self, order[ends[label] : ends[label + 1]])


Contribution = Ratios | Ranked
"""What each test image contributes to a score."""


class _Rows(NamedTuple):
    """What is found of one class, from the highest score down, in two parts.

    Most is wrong at every threshold: `wrong` has its images. The rest, S of it, has `image` [S], `hit` and `counted`
    [T, S], and `before` [S]: how many of `wrong` rank above it.
    """

    wrong: Integers
    image: Integers
    hit: Array
    counted: Array
    before: npt.NDArray[np.intp]

    def curves(self, weights: Array) -> tuple[Array, Array, Array]:
        """The number of hits, the precision and the number counted down to each row: each [B, T, S]."""
        own = weights[:, None, self.image]
        wrong = np.zeros((len(weights), len(self.wrong) + 1))
        np.cumsum(weights[:, self.wrong], axis=1, out=wrong[:, 1:])
        counted = np.cumsum(own * self.counted, axis=2) + wrong[:, None, self.before]
        hits = np.cumsum(own * self.hit, axis=2)
        precision = np.divide(hits, counted, out=np.zeros_like(hits), where=counted > 0)
        return hits, precision, counted

    def precision(self, weights: Array, truths: Array) -> Array:
        """The average precision [B, T], 0 to 1, for weights [B, n] and so many truths [B], none of them 0."""
        hits, precision, _ = self.curves(weights)
        recall = hits / truths[:, None, None]
        last = (100 * recall + 1e-9).astype(np.intp)  # the recalls up to it are reached, and it is if not for rounding
        reached = last + (RECALLS[last] <= recall)
        found: Array = (np.diff(reached, axis=2, prepend=0) * _best(precision)).sum(axis=2) / len(RECALLS)
        return found

    def influence(self, truths: Array) -> Array:
        """The derivative [n] of the area below the curve, its mean over thresholds, by the weight of each image.

        The area is the mean over truths of the highest precision from the hit on; truths without a hit have 0. The
        precision that is the highest for W hits, h of c, changes their part by W (1 - h / c) / c for a hit of weight 1
        at or above it, and by -W h / c² for a miss.
        """
        _, precision, counted = (curve[0] for curve in self.curves(np.ones((1, len(truths)))))
        best = _best(precision)
        thresholds, rows = best.shape
        # The highest precision from each row on is that of the next row which has no higher one after it.
        at = np.where(precision == best, np.arange(rows), rows - 1)
        at = np.minimum.accumulate(at[:, ::-1], axis=1)[:, ::-1] + rows * np.arange(thresholds)[:, None]
        sharing = np.bincount(at[self.hit > 0], minlength=best.size).reshape(best.shape)
        gain = np.divide(sharing, counted, out=np.zeros_like(best), where=sharing > 0)
        loss = _from_here(gain * best)
        own = (self.hit * (best + _from_here(gain)) - self.counted * loss).mean(axis=0)
        of_wrong = np.append(loss.mean(axis=0), 0.0)[np.searchsorted(self.before, np.arange(len(self.wrong)), "right")]
        images = len(truths)
        change = np.bincount(self.image, own, images) - np.bincount(self.wrong, of_wrong, images)
        area = (self.hit * best).sum() / thresholds / truths.sum()
        found: Array = (change - area * truths) / truths.sum()
        return found


def _rows(ranked: Ranked, order: npt.NDArray[np.intp]) -> _Rows:
    """The rows of one class, given in order."""
    hit, counted = ranked.hit[order], ~ranked.ignored[order]
    anywhere = counted.all(axis=1)
    wrong = anywhere & ~hit.any(axis=1)
    rest = ~wrong & counted.any(axis=1)
    image = ranked.image[order]
    return _Rows(
        wrong=image[wrong],
        image=image[rest],
        hit=np.ascontiguousarray(hit[rest].T, dtype=np.float64),
        counted=np.ascontiguousarray(counted[rest].T, dtype=np.float64),
        before=np.cumsum(wrong, dtype=np.intp)[rest],
    )


def _best(precision: Array) -> Array:
    """The highest value at or after each place of the last axis."""
    found: Array = np.maximum.accumulate(precision[..., ::-1], axis=-1)[..., ::-1]
    return found


def _from_here(values: Array) -> Array:
    """The sum of the values at or after each place of the last axis."""
    found: Array = np.cumsum(values[..., ::-1], axis=-1)[..., ::-1]
    return found
