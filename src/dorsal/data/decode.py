"""One image file to RGB pixels."""

import hashlib
import io
from pathlib import Path

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from dorsal.data.transform import histogram

MIN_SIDE = 8
SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})


class Scan(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What reading one file told.

    `problem` says why it cannot be used, and then nothing else is set. `note` says how it was converted, if
    it was. `digest` is the sha256 of the file; `shares` [3, 256] how often each value occurs in each channel,
    each row summing to 1; `pixels` uint8 [3, H, W] or None if not asked for.
    """

    problem: str | None = None
    note: str | None = None
    digest: bytes = b""
    shares: NDArray[np.float64] | None = None
    pixels: Tensor | None = None


def header_bytes(path: Path) -> int:
    """Bytes of the image once decoded to RGB, from its header alone; 0 where there is no readable header."""
    try:
        with Image.open(path) as image:
            return 3 * image.width * image.height
    except Exception:
        return 0  # `scan` will say what is wrong with it


def scan(path: Path, *, keep: bool) -> Scan:
    """Read and decode all of `path`, as only that finds truncated files; pixels are returned if `keep`."""
    try:
        data = path.read_bytes()
        pixels, note = _decode(data)
    except Exception as error:  # Pillow raises whatever its parsers stumbled on: OSError, SyntaxError, ...
        return Scan(problem=_reason(error))
    _, height, width = pixels.shape
    if min(height, width) < MIN_SIDE:
        return Scan(problem=f"is {width}x{height} px; the smallest side allowed is {MIN_SIDE} px")
    return Scan(
        note=note,
        digest=hashlib.sha256(data).digest(),
        shares=histogram(pixels) / (height * width),
        pixels=torch.from_numpy(pixels) if keep else None,
    )


def read_image(path: Path) -> Tensor:
    """The first frame of `path` as uint8 RGB [3, H, W], turned as its EXIF orientation says.

    16-bit values are scaled, not clipped; transparent pixels are laid over white.
    """
    return torch.from_numpy(_decode(path.read_bytes())[0])


def _decode(data: bytes) -> tuple[NDArray[np.uint8], str | None]:
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        upright = ImageOps.exif_transpose(image)
        rgb, note = _to_rgb(upright)
    return np.ascontiguousarray(np.moveaxis(np.asarray(rgb), -1, 0)), note


def _to_rgb(image: Image.Image) -> tuple[Image.Image, str | None]:
    """`image` in mode RGB, and what had to be converted."""
    if image.has_transparency_data:
        # convert("RGB") alone would uncover whatever colour lies under transparent pixels
        white = Image.new("RGBA", image.size, "white")
        laid = Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
        return laid, "with transparency, laid over white"
    match image.mode:
        case "RGB":
            return image, None
        case "L" | "1":
            return image.convert("RGB"), "in grey, repeated over three channels"
        case "P":
            return image.convert("RGB"), "with a palette, looked up"
        case "I" | "I;16" | "I;16B" | "I;16L":
            # convert("RGB") would clip at 255 and turn the image white
            values = np.asarray(image).astype(np.int64)
            if values.min() < 0 or values.max() > 0xFFFF:
                raise ValueError("has 32-bit values; save it with 8 or 16 bits a channel")
            grey = ((values + 128) // 257).astype(np.uint8)
            return Image.fromarray(grey).convert("RGB"), "in 16-bit grey, scaled to 8 bits"
        case "F":
            raise ValueError("has floating-point values; save it with 8 or 16 bits a channel")
        case mode:
            return image.convert("RGB"), f"in mode {mode}, converted"


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
