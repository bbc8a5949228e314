"""Which of the objects that are found are right: COCO's greedy matching to the truth, of all images at once. No torch.

Source: `COCOeval.evaluateImg` of pycocotools. In an image and class, what is found takes its turn from the highest
score down. At each threshold it gets the free object of the truth that it overlaps most. Here, everything that has the
same turn is matched in one step, over all images, classes, thresholds and ranges of area.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from dorsal.tasks.detect.listing import Flags, Floats, Listed, Places, joined, turns_of

THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""The least overlap of a hit."""
RANGES = {"": (0.0, 1e10), "s": (0.0, 32.0**2), "m": (32.0**2, 96.0**2), "l": (96.0**2, 1e10)}
"""The least and the greatest area of an object that counts, in square pixels: all, small, medium, large."""


class Matches(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What came of everything found, D of it, in each of A ranges of area, at each of T thresholds.

    - `outside`: [A, D], it is neither right nor wrong where it has no object.
    - `near`: [C], the rows of what overlaps an object of its image and class enough. Nothing else has an object.
    - `hit`, `beside`: [A, C, T], it has an object that counts, or one that does not.
    - `counts`: [A, G], whether each object of the truth counts.
    """

    outside: Flags
    near: Places
    hit: Flags
    beside: Flags
    counts: Flags


def match(truth: Listed, found: Listed, overlaps: Sequence[npt.NDArray[Any]] | None, lenient: Flags) -> Matches:
    """Match everything found to the truth.

    - `found`: by image, class and falling score. `overlaps`: see `average_precision`.
    - `lenient`: [D], it is not wrong where it has no object, whatever its area.
    """
    low, high = (np.array(ends)[:, None] for ends in zip(*RANGES.values(), strict=True))
    counts = ~truth.crowd & (truth.area >= low) & (truth.area <= high)
    first, second = _pairs(truth, found)
    overlap = (
        _of_boxes(truth, found, first, second) if overlaps is None else _read(overlaps, truth, found, first, second)
    )
    enough = overlap >= THRESHOLDS[0]
    first, second, overlap = first[enough], second[enough], overlap[enough]
    near, number = np.unique(first, return_inverse=True)
    turn = turns_of(found.kind[near])[number]
    order = np.lexsort((second, overlap, number, turn))
    hit, beside = _taken(number[order], second[order], overlap[order], turn[order], truth.crowd, counts.T)
    return Matches(
        outside=(found.area < low) | (found.area > high) | lenient,
        near=near,
        hit=hit,
        beside=beside,
        counts=counts,
    )


def _taken(
    found: Places, truth: Places, overlap: Floats, turn: Places, crowd: Flags, counts: Flags
) -> tuple[Flags, Flags]:
    """`hit` and `beside` of `Matches`, from pairs [P] of what is found and an object of the truth.

    The pairs rise by `turn`, what is found, overlap and object. `crowd`, `counts`: [G], [G, A], of the objects.
    """
    size = (int(found.max(initial=-1)) + 1, counts.shape[1], len(THRESHOLDS))
    hit, beside = np.zeros(size, dtype=np.bool_), np.zeros(size, dtype=np.bool_)
    taken = np.zeros((len(crowd), *size[1:]), dtype=np.bool_)
    enough = overlap[:, None, None] >= THRESHOLDS
    ends = np.searchsorted(turn, np.arange(turn.max(initial=-1) + 2))
    for start, end in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True):
        pairs, many = truth[start:end], end - start
        free = (~taken[pairs] | crowd[pairs, None, None]) & enough[start:end]
        # The best of the free ones comes last. One that counts goes before all that do not.
        rank = np.arange(1, many + 1)[:, None] + many * counts[pairs]
        firsts = np.flatnonzero(np.diff(found[start:end], prepend=-1))
        best = np.maximum.reduceat(np.where(free, rank[:, :, None], 0), firsts, axis=0)
        who, area, level = np.nonzero(best)
        chosen = best[who, area, level] - 1
        taken[pairs[chosen % many], area, level] = True
        who = found[start + firsts[who]]
        hit[who, area, level] = chosen >= many
        beside[who, area, level] = chosen < many
    return hit.transpose(1, 0, 2), beside.transpose(1, 0, 2)


def _pairs(truth: Listed, found: Listed) -> tuple[Places, Places]:
    """Every pair of something found and an object of the same image and class: their rows."""
    order = np.argsort(truth.kind, kind="stable")
    there = truth.kind[order]
    begin, end = (np.searchsorted(there, found.kind, side) for side in ("left", "right"))
    first = np.repeat(np.arange(len(begin)), end - begin)
    return first, order[np.repeat(begin, end - begin) + turns_of(first)]


def _of_boxes(truth: Listed, found: Listed, first: Places, second: Places) -> Floats:
    """The overlap of the boxes of each pair: see `average_precision`."""
    own, other = found.boxes[first], truth.boxes[second]
    sides = np.minimum(own[:, 2:], other[:, 2:]) - np.maximum(own[:, :2], other[:, :2])
    shared = np.maximum(sides[:, 0], 0) * np.maximum(sides[:, 1], 0)
    size, others = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) for boxes in (own, other))
    whole = np.where(truth.crowd[second], size, size + others - shared)
    share: Floats = np.divide(shared, whole, out=np.zeros_like(shared), where=shared > 0)
    return share


def _read(overlaps: Sequence[npt.NDArray[Any]], truth: Listed, found: Listed, first: Places, second: Places) -> Floats:
    """The entry of each pair in the matrix of its image."""
    sizes, widths = (
        np.array([shape(matrix) for matrix in overlaps]) for shape in (np.size, lambda each: each.shape[1])
    )
    image = found.image[first]
    begin = (np.cumsum(sizes) - sizes)[image]
    values: Floats = joined([matrix.ravel() for matrix in overlaps], np.float64)
    read: Floats = values[begin + found.place[first] * widths[image] + truth.place[second]]
    return read
