"""What a check sees of an image file by itself: sizes, EXIF orientation, and a mark that survives copying."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
from PIL import Image

from dorsal.data.formats.problems import TruthError

_ORIENTATION = 0x0112
_TURNED = range(5, 9)
"""The EXIF orientations that exchange height and width."""
_SIDE = 16
_BITS = 10
"""Of the 256 bits of a mark, how many may differ in two pictures of the same."""
_BLOCK = 256


class Look(msgspec.Struct, frozen=True, array_like=True):
    """A file's size as stored (height, width), its EXIF orientation, 1 where there is none, and its mark of 32 bytes,
    if asked for.

    `problem` says why the file cannot be opened; then nothing else is set.
    """

    stored: tuple[int, int] = (0, 0)
    orientation: int = 1
    mark: bytes = b""
    problem: str = ""

    @property
    def upright(self) -> tuple[int, int]:
        """The size after the image is turned as its orientation says."""
        return self.stored[::-1] if self.orientation in _TURNED else self.stored


def look_at(paths: Sequence[Path], marks: bool) -> list[Look]:
    """Looks at the files in threads: at their headers, and at their pixels if `marks` are wanted."""
    with warnings.catch_warnings(), ThreadPoolExecutor() as pool:
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return list(pool.map(lambda path: _look(path, marks), paths))


def frame(declared: tuple[int, int] | None, look: Look) -> tuple[tuple[int, int], bool]:
    """The size that annotations are in, and whether the image is turned as its EXIF orientation says to fit them.

    Where no size is declared, the image is turned, as most programs do. Raises TruthError where the declared size fits
    neither way, or an orientation does not change the size, so that nothing tells which way was annotated.
    """
    fitting = [(look.upright, True), *([] if look.orientation == 1 else [(look.stored, False)])]
    if declared is None:
        return fitting[0]
    fitting = [(size, turned) for size, turned in fitting if size == declared]
    if not fitting:
        found = " or ".join(f"{width}x{height}" for height, width in sorted({look.stored, look.upright}))
        raise TruthError("image-size", f"is {found} px; the annotations say {declared[1]}x{declared[0]} px")
    if len(fitting) > 1:
        what = f"has EXIF orientation {look.orientation}, which leaves its size as it is"
        raise TruthError("image-orientation", f"{what}; nothing tells which way was annotated: save it upright")
    return fitting[0]


def near_twins(train: Sequence[bytes], val: Sequence[bytes]) -> npt.NDArray[np.int64]:
    """The numbers of the marks of `val` that are nearly those of a mark of `train`, in order."""
    if not train or not val:
        return np.zeros(0, np.int64)
    known, found = _words(train), []
    for start in range(0, len(val), _BLOCK):
        block = _words(val[start : start + _BLOCK])
        apart = np.zeros((len(block), len(known)), np.uint16)
        for word in range(known.shape[1]):
            apart += np.bitwise_count(block[:, word, None] ^ known[None, :, word])
        found.append(start + np.flatnonzero((apart <= _BITS).any(axis=1)))
    return np.concatenate(found)


def _words(marks: Sequence[bytes]) -> npt.NDArray[np.uint64]:
    return np.frombuffer(b"".join(marks), np.uint64).reshape(len(marks), -1)


def _look(path: Path, marks: bool) -> Look:
    try:
        with Image.open(path) as image:
            stored = image.height, image.width
            orientation = image.getexif().get(_ORIENTATION, 1)
            known = orientation if orientation in range(1, 9) else 1
            return Look(stored, known, _mark(image) if marks else b"")
    except OSError as error:
        return Look(
            problem=f"cannot be read: {error.strerror}" if error.strerror else "is not an image Pillow can read"
        )
    except Exception as error:  # Pillow raises whatever its parsers stumbled on: SyntaxError, struct.error, ...
        return Look(problem=f"cannot be decoded: {error}")


def _mark(image: Image.Image) -> bytes:
    """Whether each of 16 x 16 places is darker than its right neighbour, as 256 bits ("dHash")."""
    image.draft("L", (4 * _SIDE, 4 * _SIDE))  # a JPEG is decoded at a fraction of its size, of this at the least
    small = image.convert("L").resize((_SIDE + 1, _SIDE), Image.Resampling.BOX)
    values = np.asarray(small, np.int16)
    return np.packbits(values[:, :-1] < values[:, 1:]).tobytes()
