"""All bits of colour images of more than 8 bits a channel; Pillow hands on the upper 8. No torch."""

from __future__ import annotations

import re
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps


def is_deep(image: ImageFile.ImageFile, data: bytes) -> bool:
    """Whether the colour image in `data`, opened as `image` and not yet loaded, has more than 8 bits a channel."""
    if image.format == "JPEG2000":
        size = data.find(b"\xff\x51", 0, 4096)  # where sizes are marked; 40 bytes on: bits of the first channel, less 1
        return size >= 0 and data[size + 40] & 0x7F > 7
    return any(_raw_mode(tile) or _maximum(tile) > 255 for tile in image.tile)


def all_bits(
    image: ImageFile.ImageFile, again: ImageFile.ImageFile, data: bytes, turned: bool
) -> NDArray[np.int32] | None:
    """All 16 bits of a deep colour image, [bands, H, W], `turned` as its EXIF orientation says or not.

    `image` and `again` are the image in `data` opened twice; one or both are loaded. Grey with transparency has two
    bands. None where Pillow has no way to all bits.
    """
    return _pixmap(image, data) if image.format == "PPM" else _both_bytes(image, again, turned)


def upright(image: Image.Image, turned: bool = True) -> Image.Image:
    """`image` itself, loaded, and `turned` in place as its EXIF orientation says or not."""
    image.load()
    if turned:
        ImageOps.exif_transpose(image, in_place=True)
    return image


def _raw_mode(tile: Any) -> str:
    """Pillow's name for the layout of a tile in its file if that has 16 bits a channel, else ""."""
    mode = tile.args if isinstance(tile.args, str) else (tile.args or ("",))[0]
    return mode if isinstance(mode, str) and re.search(";16[BLN]$", mode) else ""


def _maximum(tile: Any) -> int:
    """The largest value that a portable pixmap says it may have; 0 for other formats."""
    return int(tile.args[1]) if tile.codec_name.startswith("ppm") else 0


def _both_bytes(image: ImageFile.ImageFile, again: ImageFile.ImageFile, turned: bool) -> NDArray[np.int32] | None:
    """Pillow's decoders keep one byte of each 16-bit value: the upper one. If they are told the other order of bytes,
    they keep the lower one."""
    if any(_raw_mode(tile) == "LA;16B" for tile in again.tile):  # grey and transparency fit into four bytes
        again.tile = [tile._replace(args="RGBA") for tile in again.tile]
        upper, lower = (
            np.moveaxis(np.asarray(upright(again, turned)).astype(np.int32), -1, 0)
            .reshape(2, 2, *again.size[::-1])
            .swapaxes(0, 1)
        )
        return upper * 256 + lower
    other = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
    tiles = []
    for tile in again.tile:
        mode = _raw_mode(tile)
        if mode[:2] not in ("RG", "CM") or mode.startswith("RGBa"):  # others: no second order, or values multiplied
            return None
        mode = mode[:-1] + other[mode[-1]]
        tiles.append(tile._replace(args=(mode, *tile.args[1:]) if isinstance(tile.args, tuple) else mode))
    again.tile = tiles
    high, low = (np.asarray(upright(half, turned)).astype(np.int32) for half in (image, again))
    return np.ascontiguousarray(np.moveaxis(high * 256 + low, -1, 0))


def _pixmap(image: ImageFile.ImageFile, data: bytes) -> NDArray[np.int32] | None:
    """The values of a binary pixmap (P6) of 16 bits, scaled to 0..65535 as Pillow scales those of a graymap (P5)."""
    tile = image.tile[0]
    if tile.codec_name != "ppm":
        return None
    values = np.frombuffer(data, ">u2", 3 * image.width * image.height, tile.offset).astype(np.int64)
    scaled = (values * 0xFFFF + _maximum(tile) // 2) // _maximum(tile)
    return np.ascontiguousarray(np.moveaxis(scaled.reshape(image.height, image.width, 3), -1, 0)).astype(np.int32)
