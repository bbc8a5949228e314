"""Masks as runs of pixels (run-length encoding), as COCO has them: their forms, areas, boxes, unions and overlaps.

Everything here equals pycocotools, but what is malformed is refused, which pycocotools reads as some other mask.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import prod

import msgspec
import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_MOST_PIXELS = 2**32 - 1
_MOST_DIGITS = 7
"""A run fits 32 bits, so the difference of two fits 33, which is 7 digits of 5 bits."""


def check_size(size: tuple[int, int], field: str = "size") -> None:
    """Raises ValueError unless `size` is (height, width) of an image of 1 to 2^32 - 1 pixels."""
    whole = isinstance(size, tuple) and len(size) == 2 and all(type(side) is int and side > 0 for side in size)
    if not whole or prod(size) > _MOST_PIXELS:
        raise ValueError(
            f"{field}={size} must be (height, width): two whole numbers from 1, at most {_MOST_PIXELS:,} pixels"
        )


class Rle(msgspec.Struct, frozen=True, eq=False):
    """The pixels of one object, as runs.

    - `size`: (height, width) of the image.
    - `runs`: uint32 [R]. The image is read column by column, each from the top. The first run counts the pixels before
      the object begins, the second how many pixels of it follow, the third how many pixels are not of it, and so on.
      Only the first may be 0, so that each mask has one form.

    Raises ValueError for runs that are of another type, are 0 after the first, or do not sum to height x width.
    """

    size: tuple[int, int]
    runs: npt.NDArray[np.uint32]

    def __post_init__(self) -> None:
        check_size(self.size)
        if not isinstance(self.runs, np.ndarray) or self.runs.dtype != np.uint32 or self.runs.ndim != 1:
            raise ValueError("runs must be an array of uint32 with one dimension")
        if (pixels := int(self.runs.sum(dtype=np.uint64))) != prod(self.size):
            raise ValueError(f"runs sum to {pixels:,}; size={self.size} has {prod(self.size):,} pixels")
        if not self.runs[1:].all():
            raise ValueError("runs holds a 0 after its first run; leave it out and join its neighbours")

    def limits(self) -> Integers:
        """Where the object begins, ends, begins and so on [even]: each end is one beyond the last pixel."""
        ends = np.cumsum(self.runs, dtype=np.int64)
        return ends[: self.runs.size // 2 * 2]

    def pixels(self) -> Bools:
        """Bool [H, W], True on the object."""
        height, width = self.size
        on = np.repeat(np.arange(self.runs.size) % 2 == 1, self.runs)
        return on.reshape(width, height).T

    def area(self) -> int:
        """How many pixels the object has."""
        return int(self.runs[1::2].sum(dtype=np.int64))

    def box(self) -> tuple[int, int, int, int]:
        """The smallest box x0, y0, x1, y1 around the object. Pixel i reaches from i to i + 1. All 0 without pixels."""
        limits = self.limits()
        if not limits.size:
            return 0, 0, 0, 0
        height = self.size[0]
        columns, rows = np.divmod(limits.reshape(-1, 2) - [0, 1], height)  # of the first and last pixel of each run
        over_columns = (columns[:, 0] < columns[:, 1]).any()
        top, bottom = (0, height - 1) if over_columns else (rows.min(), rows.max())
        return int(columns[0, 0]), int(top), int(columns[-1, 1]) + 1, int(bottom) + 1


def rle_of_pixels(pixels: Bools) -> Rle:
    """The mask of the pixels that are True in bool [H, W]. Raises ValueError for another shape or type."""
    if pixels.ndim != 2 or pixels.dtype != np.bool_:
        raise ValueError(f"pixels is {pixels.dtype} {list(pixels.shape)}; it must be bool [H, W]")
    columns = pixels.ravel(order="F")
    starts_on = np.flatnonzero(columns[:1])
    return rle_of_flips(pixels.shape, np.concatenate([starts_on, np.flatnonzero(columns[1:] != columns[:-1]) + 1]))


def rle_of_flips(size: tuple[int, int], flips: Integers) -> Rle:
    """The mask that turns on or off at each of the positions `flips` [F], counted column by column.

    They are from 0 to height x width, in any order. Two at one position undo each other.
    """
    positions, times = np.unique(flips, return_counts=True)
    ends = np.append(positions[(times % 2 == 1) & (positions < prod(size))], prod(size))
    return Rle(size, np.concatenate([ends[:1], ends[1:] - ends[:-1]]).astype(np.uint32))


def rle_from_coco(form: Mapping[str, object]) -> Rle:
    """The mask of COCO's `{"size": [height, width], "counts": …}`.

    `counts` is a list of runs or their compressed form, as str or bytes. Runs of 0 are joined.

    Raises ValueError for other fields and types, for a text that is cut or has foreign characters, and for runs below
    0 or another sum than height x width.
    """
    size, counts = form.get("size"), form.get("counts")
    if not isinstance(size, list | tuple) or len(size) != 2:
        raise ValueError(f"size={size!r} of a mask must be [height, width]")
    shape = (size[0], size[1])
    check_size(shape)
    match counts:
        case list() | tuple() if all(isinstance(count, int) for count in counts):
            runs = list(counts)
        case str():
            runs = _decompress(counts)
        case bytes():
            runs = _decompress(counts.decode("latin-1"))
        case _:
            raise ValueError(f"counts of a mask must be a list of whole numbers or text, not {_short(counts)}")
    if runs and min(runs) < 0:
        raise ValueError(f"counts of a mask hold {min(runs)} at position {runs.index(min(runs))}; none may be below 0")
    if sum(runs) != prod(shape):
        raise ValueError(f"counts of a mask sum to {sum(runs):,}; size={list(shape)} has {prod(shape):,} pixels")
    return rle_of_flips(shape, np.cumsum(runs)[:-1])


def rle_to_coco(mask: Rle) -> dict[str, object]:
    """COCO's compressed form `{"size": [height, width], "counts": text}`, for JSON."""
    return {"size": list(mask.size), "counts": _compress(mask.runs)}


def union(masks: Sequence[Rle]) -> Rle:
    """The pixels of any of the masks. Raises ValueError without a mask, or for masks of different sizes."""
    size = _one_size(masks)
    if size is None:
        raise ValueError("masks is empty; a union needs at least one mask, for its size")
    if len(masks) == 1:
        return masks[0]
    limits = [mask.limits() for mask in masks]
    positions = np.concatenate([*(each[::2] for each in limits), *(each[1::2] for each in limits)])
    turns = np.repeat([1, -1], positions.size // 2)
    order = np.argsort(positions)  # at one position in any order: what flips there twice does not flip
    turns = turns[order]
    depth = np.cumsum(turns)
    outer = (depth == 0) | ((depth == 1) & (turns == 1))
    return rle_of_flips(size, positions[order][outer])


def mask_iou(found: Sequence[Rle], truth: Sequence[Rle], crowd: Bools) -> Floats:
    """Intersection over union of each found mask with each true one [n, m].

    Where `crowd` [m] is True, it is the share of the found mask that is inside the true one instead, as COCO has it:
    a crowd covers many objects. It is 0 where nothing overlaps.

    Raises ValueError for masks of different sizes, and for a `crowd` of another length than `truth`.
    """
    if len(crowd) != len(truth):
        raise ValueError(f"crowd has {len(crowd)} values; truth has {len(truth)} masks")
    _one_size([*found, *truth])
    overlaps = np.zeros((len(found), len(truth)))
    limits = np.concatenate([np.zeros(0, np.int64), *(mask.limits() for mask in found)])
    starts, stops = limits[::2], limits[1::2]
    owners = np.repeat(np.arange(len(found)), [mask.runs.size // 2 for mask in found])
    for column, mask in enumerate(truth):
        knots = mask.limits()
        if knots.size:
            # How many pixels of the true mask lie before a position: it rises inside its runs and is level elsewhere.
            before = np.concatenate([[0], np.repeat(np.cumsum(mask.runs[1::2], dtype=np.int64), 2)[:-1]])
            near = (starts < knots[-1]) & (stops > knots[0])
            inside = np.interp(stops[near], knots, before) - np.interp(starts[near], knots, before)
            overlaps[:, column] = np.bincount(owners[near], inside, minlength=len(found))
    found_areas = np.array([[mask.area()] for mask in found], dtype=np.float64).reshape(-1, 1)
    true_areas = np.array([mask.area() for mask in truth], dtype=np.float64)
    wholes = np.where(crowd, found_areas, found_areas + true_areas - overlaps)
    return overlaps / np.maximum(wholes, 1)


def _one_size(masks: Sequence[Rle]) -> tuple[int, int] | None:
    """The size that all masks have, None without any."""
    for first, second in pairwise(masks):
        if first.size != second.size:
            raise ValueError(f"masks are of different sizes, {first.size} and {second.size}; all must be of one image")
    return masks[0].size if masks else None


def _compress(runs: npt.NDArray[np.uint32]) -> str:
    """COCO's text of the runs: from the fourth on each is told by its difference to the run two before it.

    A number is told in digits of 5 bits, the lowest first and as few as hold it and its sign. Each digit is a
    character, 48 + digit, and 32 more where another digit follows.
    """
    numbers = runs.astype(np.int64)
    numbers[3:] -= numbers[1:-2].copy()
    places = 5 * np.arange(_MOST_DIGITS)
    rest = numbers[:, None] >> places
    fits = (rest >= -16) & (rest < 16)  # this digit and its sign hold the rest
    last = fits.argmax(axis=1)[:, None]
    digits = (rest & 31) + 32 * (np.arange(_MOST_DIGITS) < last) + 48
    return bytes(digits[np.arange(_MOST_DIGITS) <= last].tolist()).decode("ascii")


def _decompress(text: str) -> list[int]:
    """The runs that `_compress` wrote; runs of 0 may be among them."""
    characters = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.int64) - 48
    foreign = np.flatnonzero((characters < 0) | (characters > 63))
    if foreign.size:
        where = int(foreign[0])
        raise ValueError(f"counts of a mask have {text[where]!r} at position {where}, which is in no compressed mask")
    ends = np.flatnonzero(characters < 32)
    if characters.size and (not ends.size or ends[-1] != characters.size - 1):
        raise ValueError(f"counts of a mask end within a number: their text {_short(text)} is cut")
    starts = np.concatenate([[0], ends[:-1] + 1])[: ends.size]
    sizes = ends - starts + 1
    if ends.size and sizes.max() > _MOST_DIGITS:
        raise ValueError(f"counts of a mask have a number of {sizes.max()} digits; at most {_MOST_DIGITS} are possible")
    places = 5 * (np.arange(characters.size) - np.repeat(starts, sizes))
    numbers = np.add.reduceat((characters & 31) << places, starts) if starts.size else starts
    numbers = numbers - np.where(characters[ends] & 16, 1 << 5 * sizes, 0)  # the sign is the highest bit
    numbers[1::2] = np.cumsum(numbers[1::2])
    numbers[2::2] = np.cumsum(numbers[2::2])
    runs: list[int] = numbers.tolist()
    return runs


def _short(value: object) -> str:
    """The value for a message, at most 40 characters of it."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:36]} …{text[-1]}"
