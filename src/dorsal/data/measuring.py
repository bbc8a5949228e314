"""What the facts of many images say together: the range of deep ones, the normalization, and how they were converted.
`facts` are rows of `dorsal.data.index.fact_type`, an image each. No torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from dorsal.data.decode import Levels, Reading
from dorsal.data.errors import shown
from dorsal.spec.preprocessing import Normalization


def range_of_deep(facts: NDArray[np.void], reading: Reading) -> Levels | None:
    """The range of the deep images among these, one for all channels of grey and colour. None if there are none."""
    deep = facts[facts["deep"] != 0]
    if not len(deep):
        return None
    low, high = deep["low"].min(axis=0), deep["high"].max(axis=0)
    if not reading.as_stored:
        low[:], high[:] = low.min(), high.max()
    return tuple(zip(low.tolist(), high.tolist(), strict=True))


def normalization_of(facts: NDArray[np.void], levels: Levels | None) -> Normalization:
    """Mean and standard deviation over the images, each with the same weight. Sums are rounded once, so they are the
    same on every machine."""
    mean, square = facts["mean"], facts["square"]
    low, span = np.zeros_like(mean), np.full_like(mean, 255)
    if levels is not None:
        deep = facts["deep"] != 0
        low[deep], span[deep] = [first for first, _ in levels], [max(last - first, 1) for first, last in levels]
    square = (square - 2 * low * mean + low * low) / (span * span)
    mean = (mean - low) / span
    means = [math.fsum(column) / len(facts) for column in mean.T.tolist()]
    squares = [math.fsum(column) / len(facts) for column in square.T.tolist()]
    # A channel that never varies gets one grey level, so that dividing by it stays harmless.
    stds = [math.sqrt(max(each - mean * mean, 1 / 255**2)) for each, mean in zip(squares, means, strict=True)]
    return Normalization(mean=tuple(means), std=tuple(stds))


def conversion_notes(
    facts: NDArray[np.void],
    conversions: Sequence[str],
    path: Callable[[int], str],
    levels: Levels | None,
    whose: str,
) -> list[str]:
    """Notes on images that were converted. `conversions` are those that the facts name, `path` tells the file of a row,
    and `whose` says in words which images have the range `levels`."""
    notes = []
    for place, conversion in enumerate(conversions):
        group = np.flatnonzero(facts["note"] == place)
        if conversion and len(group):
            notes.append(f"{_count(len(group))} {conversion}, first: {shown(path(int(group[0])))}")
    deep = np.flatnonzero(facts["deep"] != 0)
    if len(deep):
        found = sorted(set(levels or [(0, 0xFFFF)]))
        ranges = ", ".join(f"{low} to {high}" for low, high in found)
        whence = f"the range of {whose}" if levels else f"as {whose} have no more than 8 bits"
        many = f"{_count(len(deep))} with more than 8 bits a channel, first: {shown(path(int(deep[0])))}"
        notes.append(f"{many}; values {ranges}, {whence}, become 0 to 255")
    return notes


def _count(number: int) -> str:
    return f"{number:,} image{'s' * (number != 1)}"
