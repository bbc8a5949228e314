"""One image file: its pixels, and what a check keeps of it. No torch."""

from __future__ import annotations

import hashlib
import io
import threading
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError

from dorsal.data.deep import all_bits, is_deep, upright
from dorsal.data.errors import MAX_PIXELS

MIN_SIDE = 8
SUFFIXES = frozenset(
    ".avif .bmp .gif .jfif .jp2 .jpeg .jpg .pbm .pgm .png .ppm .tif .tiff .webp".split()  # noqa: SIM905
)

Number = TypeVar("Number", np.uint8, np.int32)
Levels = tuple[tuple[int, int], ...]
"""For each channel, the values of deep images (of more than 8 bits) that become 0 and 255."""

_WHOLE_RANGE = ((0, 0xFFFF),)
_GREYS = np.arange(256)
_NPY_MAGIC = b"\x93NUMPY"
_LUMA = (19595, 38470, 7471)  # Pillow's weights of red, green and blue, in 1/65536 (ITU-R 601-2)
_LIMIT = threading.Lock()


class Reading(msgspec.Struct, frozen=True):
    """How files are read: see `channels` and `max_pixels` of `dorsal.data.spec.Folder`. `turned` says whether images
    are turned as their EXIF orientation says, or stay as they are stored."""

    channels: int = 3
    max_pixels: int = MAX_PIXELS
    turned: bool = True

    @property
    def as_stored(self) -> bool:
        """Whether files keep the channels they are stored with: neither grey (1) nor colour (3) is asked for."""
        return self.channels not in (1, 3)

    @property
    def suffixes(self) -> frozenset[str]:
        """The suffixes, in lower case, of files that are taken for images."""
        return SUFFIXES | {".npy"} if self.as_stored else SUFFIXES


class Scan(msgspec.Struct, frozen=True, array_like=True):
    """What a check keeps of one file.

    `problem` says why the file cannot be used; then nothing else is set. `digest` is the sha256 of the file; if it was
    known before, nothing else is set. `note` says how the image was converted, "" if it was not. An image is `deep` if
    it has more than 8 bits a channel. `mean` and `square` have for each channel the mean of the values and the mean of
    their squares, as stored: 0..255, or the range of a deep image. `low` and `high` are the smallest and the largest
    value of each channel, 0 for images that Pillow holds in 8 bits.
    """

    problem: str = ""
    digest: bytes = b""
    note: str = ""
    width: int = 0
    height: int = 0
    deep: bool = False
    low: tuple[int, ...] = ()
    high: tuple[int, ...] = ()
    mean: tuple[float, ...] = ()
    square: tuple[float, ...] = ()


def scan(path: Path | str, reading: Reading, known: bytes = b"") -> Scan:
    """Reads and decodes all of `path`: nothing less finds a truncated file.

    A file whose sha256 is `known` is not decoded again.
    """
    try:
        data = Path(path).read_bytes()
        digest = hashlib.sha256(data).digest()
        if digest == known:
            return Scan(digest=digest)
        found = measure(*_convert(data, reading), digest)
        if min(found.height, found.width) < MIN_SIDE:
            raise ValueError(f"is {found.width}x{found.height} px; the smallest side allowed is {MIN_SIDE} px")
        return found
    except Exception as error:  # Pillow raises whatever its parsers stumbled on: OSError, SyntaxError, ...
        return Scan(problem=_reason(error))


def read_pixels(path: Path | str, reading: Reading, levels: Levels | None = None) -> NDArray[np.uint8]:
    """Reads the image in `path` as `pixels` does. Raises ValueError that says why it cannot be read."""
    try:
        return pixels(Path(path).read_bytes(), reading, levels)
    except Exception as error:
        raise ValueError(_reason(error)) from None


def pixels(data: bytes, reading: Reading, levels: Levels | None = None) -> NDArray[np.uint8]:
    """Decodes the first frame of an image file to uint8 [channels, H, W], turned as `reading` says.

    Transparent pixels are laid over white. Values of deep images are scaled so that `levels` become 0 and 255, and
    clipped; without `levels` by the whole range of 16 bits.
    """
    image, _ = _convert(data, reading)
    values = _values(image)
    if values.dtype == np.uint8:
        return values
    low, high = np.array(levels or _WHOLE_RANGE * reading.channels, np.int64).T[:, :, None, None]
    span = np.maximum(high - low, 1)
    scaled: NDArray[np.uint8] = (((values.clip(low, high) - low) * 255 + span // 2) // span).astype(np.uint8)
    return scaled


def grey(colors: NDArray[Number]) -> NDArray[Number]:
    """The luma of [..., 3, H, W], as Pillow rounds it, [..., 1, H, W] of the same type."""
    red, green, blue = np.moveaxis(colors, -3, 0).astype(np.int64)
    luma = (_LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue + 0x8000) >> 16
    result: NDArray[Number] = luma.astype(colors.dtype)[..., None, :, :]
    return result


def _convert(data: bytes, reading: Reading) -> tuple[Image.Image | NDArray[Any], str]:
    """Returns the image in the channels that `reading` asks for, and a note on how it was converted, "" if it was not.

    8-bit images stay in Pillow, in mode L or RGB or as stored; deep ones are int32 [channels, H, W].
    """
    if reading.as_stored and data.startswith(_NPY_MAGIC):
        return _array(data, reading)
    image = _open(data, reading)
    if image.mode == "F":
        raise ValueError("has floating-point values; save it with 8 or 16 bits a channel")
    if image.mode.startswith("I"):
        return _deep_grey(upright(image, reading.turned), reading)
    deep = is_deep(image, data)
    if deep:
        colour = _deep_colour(image, data, reading)
        if colour is not None:
            return colour, ""
    converted, note = _to_channels(upright(image, reading.turned), reading)
    lost = "with more than 8 bits a channel, of which the upper 8 are kept" if deep else ""
    return converted, ", ".join(filter(None, [note, lost]))


def _open(data: bytes, reading: Reading) -> ImageFile.ImageFile:
    with _LIMIT:  # Pillow's own limit is a global, so it is lifted for no longer than it takes to read a header
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            image = Image.open(io.BytesIO(data))
        finally:
            Image.MAX_IMAGE_PIXELS = before
    _check_pixels(image.width, image.height, reading)
    return image


def _check_pixels(width: int, height: int, reading: Reading) -> None:
    if width * height > reading.max_pixels:
        raise ValueError(
            f"is {width}x{height} px, more than max_pixels={reading.max_pixels}; max_pixels={width * height} allows it"
        )


def _to_channels(image: Image.Image, reading: Reading) -> tuple[Image.Image, str]:
    """The same for an image that Pillow holds in 8 bits."""
    if reading.as_stored:
        bands = len(image.getbands())
        if bands != reading.channels or image.mode == "P":
            raise ValueError(f"has {bands} channel{'s' * (bands > 1)} (mode {image.mode}), not {reading.channels}")
        return image, ""
    note = ""
    if image.has_transparency_data:
        # convert("RGB") alone would uncover whatever colour lies under transparent pixels
        white = Image.new("RGBA", image.size, "white")
        image, note = Image.alpha_composite(white, image.convert("RGBA")), "with transparency, laid over white"
    elif image.mode == "P":
        note = "with a palette, looked up"
    elif image.mode in ("1", "L"):
        note = "in grey, repeated over three channels" if reading.channels == 3 else ""
    elif image.mode != "RGB":
        note = f"in mode {image.mode}, converted"
    if reading.channels == 1 and image.mode not in ("1", "L"):
        return image.convert("RGB").convert("L"), note
    mode = "L" if reading.channels == 1 else "RGB"
    return image if image.mode == mode else image.convert(mode), note


def _deep_grey(image: Image.Image, reading: Reading) -> tuple[NDArray[np.int32], str]:
    if reading.as_stored:
        raise ValueError(f"has 1 channel (mode {image.mode}), not {reading.channels}")
    values = np.asarray(image).astype(np.int64)
    if values.min() < -0x8000 or values.max() > 0xFFFF:
        raise ValueError("has 32-bit values; save it with 8 or 16 bits a channel")
    note = "in grey, repeated over three channels" if reading.channels == 3 else ""
    return values.astype(np.int32)[None].repeat(reading.channels, axis=0), note


def _deep_colour(image: ImageFile.ImageFile, data: bytes, reading: Reading) -> NDArray[np.int32] | None:
    """All 16 bits of a colour image, int32 [channels, H, W]. None if Pillow has no way to them, or if pixels are
    transparent: white has no value as long as the range of the training images is not known."""
    values = all_bits(image, _open(data, reading), data, reading.turned)
    if values is None:
        return None
    if reading.as_stored:
        if len(values) != reading.channels:
            raise ValueError(f"has {len(values)} channels (mode {image.mode}), not {reading.channels}")
        return values
    opaque = len(values) == 3 or (values[-1] == 0xFFFF).all()
    if image.mode == "CMYK" or "transparency" in image.info or not opaque:
        return None
    if len(values) == 2:
        return values[:1].repeat(reading.channels, axis=0)
    if reading.channels == 3:
        return values[:3]
    return grey(values[:3])


def _array(data: bytes, reading: Reading) -> tuple[NDArray[np.uint8] | NDArray[np.int32], str]:
    values = np.load(io.BytesIO(data), allow_pickle=False)
    if values.ndim != 3 or values.shape[-1] != reading.channels or values.dtype not in (np.uint8, np.uint16):
        raise ValueError(
            f"is an array {list(values.shape)} of {values.dtype}, not [H, W, {reading.channels}] of uint8 or uint16"
        )
    _check_pixels(values.shape[1], values.shape[0], reading)
    values = np.ascontiguousarray(np.moveaxis(values, -1, 0))
    return (values if values.dtype == np.uint8 else values.astype(np.int32)), ""


def _values(image: Image.Image | NDArray[Any]) -> NDArray[Any]:
    """The values of an image as `_convert` gives it, [channels, H, W]."""
    if isinstance(image, np.ndarray):
        return image
    values = np.asarray(image)  # of Pillow's memory, not to be written to
    return np.array(values[None] if values.ndim == 2 else np.moveaxis(values, -1, 0), order="C")


def measure(image: Image.Image | NDArray[Any], note: str, digest: bytes) -> Scan:
    """The scan of a sound image: Pillow's, or an array [channels, H, W]. Sums are of whole numbers, so they are the
    same on every machine."""
    if isinstance(image, np.ndarray):
        _, height, width = image.shape
        flat = image.reshape(len(image), -1).astype(np.int64)
        sums, squares = flat.sum(axis=1), (flat * flat).sum(axis=1)
        low, high = flat.min(axis=1).tolist(), flat.max(axis=1).tolist()
    else:
        width, height = image.size
        histogram = image.histogram()
        counts = np.fromiter(histogram, np.int64, len(histogram)).reshape(-1, 256)  # of each band
        sums, squares = counts @ _GREYS, counts @ _GREYS**2
        low = high = [0] * len(counts)
    return Scan(
        digest=digest,
        note=note,
        width=width,
        height=height,
        deep=isinstance(image, np.ndarray) and image.dtype != np.uint8,
        low=tuple(low),
        high=tuple(high),
        mean=tuple((sums / (width * height)).tolist()),
        square=tuple((squares / (width * height)).tolist()),
    )


def _reason(error: Exception) -> str:
    match error:
        case ValueError():
            return str(error)
        case UnidentifiedImageError():
            return "is not an image Pillow can read"
        case OSError(strerror=str(strerror)):
            return f"cannot be read: {strerror}"
        case _:
            return f"cannot be decoded: {error}"
