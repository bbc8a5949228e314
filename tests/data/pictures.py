"""Image files for tests, written byte by byte where Pillow cannot write them, and folders of them."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dorsal.data.folder import FolderSplit
from dorsal.data.split import ImageData, Split


def picture(seed: int, size: tuple[int, int] = (24, 16)) -> Image.Image:
    """A smooth RGB image of (width, height) pixels, so that JPEG keeps it nearly as it is."""
    corners = np.random.default_rng(seed).integers(0, 256, (2, 2, 3), dtype=np.uint8)
    return Image.fromarray(corners).resize(size, Image.Resampling.BILINEAR)


def fill(root: Path, classes: dict[str, int], suffix: str = ".png") -> Path:
    for number, (name, count) in enumerate(classes.items()):
        (root / name).mkdir(parents=True)
        for index in range(count):
            picture(1000 * number + index).save(root / name / f"{index:03}{suffix}")
    return root


def paths(split: Split) -> tuple[Path, ...]:
    assert isinstance(split, FolderSplit)
    return tuple(split.path(index) for index in range(len(split)))


def all_paths(data: ImageData) -> tuple[Path, ...]:
    return paths(data.train) + paths(data.val)


def ppm(values: NDArray[np.integer], maximum: int = 255) -> bytes:
    """[H, W, 3] as a binary pixmap."""
    height, width, _ = values.shape
    kind = ">u2" if maximum > 255 else "u1"
    return f"P6 {width} {height} {maximum}\n".encode() + values.astype(kind).tobytes()


def png16(values: NDArray[np.integer]) -> bytes:
    """[H, W, bands] as a PNG of 16 bits: grey, grey with alpha, colour, or colour with alpha."""
    height, width, bands = values.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[bands]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    packed = (struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d)) for t, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def tiff16(values: NDArray[np.integer], order: str = "<") -> bytes:
    """[H, W, 3 or 4] as an uncompressed TIFF of 16 bits in one strip; a fourth band is alpha."""
    height, width, bands = values.shape
    pixels = values.astype(f"{order}u2").tobytes()
    depths = struct.pack(f"{order}{bands}H", *[16] * bands)
    entries = [  # tag, type (3 short, 4 long), count, value or place
        (256, 3, 1, width),
        (257, 3, 1, height),
        (258, 3, bands, 8),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, 1, 8 + len(depths)),
        (277, 3, 1, bands),
        (278, 3, 1, height),
        (279, 4, 1, len(pixels)),
        *([(338, 3, 1, 2)] if bands == 4 else []),
    ]
    place = 8 + len(depths) + len(pixels)
    table = struct.pack(f"{order}H", len(entries))
    for tag, kind, count, value in entries:
        packed = struct.pack(f"{order}{'H2x' if kind == 3 and count == 1 else 'I'}", value)
        table += struct.pack(f"{order}HHI", tag, kind, count) + packed
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", place)
    return head + depths + pixels + table + bytes(4)
