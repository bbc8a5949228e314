"""Which of two trained models is better, on other images than those that they were scored on."""

from __future__ import annotations

import msgspec
import numpy as np
from scipy.stats import binomtest

from dorsal.stats.bootstrap import start
from dorsal.stats.interval import Estimate, check_confidence
from dorsal.stats.ranked import Contribution
from dorsal.stats.ratios import Ratios

_DRAWS = 4_000


class FixedPair(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Two trained models scored on the same images.

    - `difference`: the first minus the second, with its interval by a paired bootstrap over images (percentiles; images
      of a group are drawn together). No interval if the models never differ.
    - `first_only`, `second_only`: the number of images on which one is right and the other is not. None for scores that
      are not a share of images.
    - `p`: the exact McNemar test on them, two-sided. None where they are, and where images have
      groups: the test takes them for independent.
    """

    difference: Estimate
    first_only: int | None
    second_only: int | None
    p: float | None
    images: int
    confidence: float


def compare_fixed(
    first: Contribution, second: Contribution, confidence: float = 0.95, draws: int = _DRAWS, seed: int = 0
) -> FixedPair:
    """Compare two trained models by what each image contributes to their scores. Nothing is said of other seeds.

    Sources: McNemar (1947); Efron and Tibshirani (1993).

    Raises ValueError for models that were scored on different images, fewer than 100 draws, or a confidence that is not
    between 0 and 1.
    """
    check_confidence(confidence)
    random = start(draws, seed)
    if not _of_the_same_images(first, second):
        raise ValueError("first and second were scored on different images: score both on the same ones")
    value = first.score() - second.score()
    drawn = np.concatenate([first.fold(counts) - second.fold(counts) for counts in first.redrawn(draws, random)])
    low, high = np.nanquantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    known = bool(np.ptp(drawn[~np.isnan(drawn)]) > 0)
    wins = losses = p = None
    if isinstance(first, Ratios) and isinstance(second, Ratios) and _are_shares(first) and _are_shares(second):
        wins, losses = (int((a.top > b.top).sum()) for a, b in ((first, second), (second, first)))
        if first.groups is None:
            p = float(binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0
    return FixedPair(
        difference=Estimate(value=value, low=float(low) if known else None, high=float(high) if known else None),
        first_only=wins,
        second_only=losses,
        p=p,
        images=first.images,
        confidence=confidence,
    )


def _of_the_same_images(first: Contribution, second: Contribution) -> bool:
    """Whether nothing shows that the images are others."""
    if isinstance(first, Ratios) and isinstance(second, Ratios):
        return np.array_equal(first.presence > 0, second.presence > 0)
    return (
        not isinstance(first, Ratios) and not isinstance(second, Ratios) and np.array_equal(first.truths, second.truths)
    )


def _are_shares(ratios: Ratios) -> bool:
    """Whether the score is a share of images: each is right or wrong."""
    return ratios.top.shape[1] == 1 and bool(np.isin(ratios.top, (0, 1)).all()) and bool((ratios.bottom == 1).all())
