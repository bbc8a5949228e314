"""Images that a comparison shows, with their truth and what a run found in them. No torch.

gallery/KEY.msgpack    some validation images of the run with this key; see `Shown`
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from dorsal.annotations.annotation import Annotation, Objects, Segments
from dorsal.annotations.rle import Rle
from dorsal.jobs.json_file import write_whole

IMAGES = 6
"""How many images are shown, spread evenly over the validation images."""
LONGEST = 256
"""Pixels of the longest side of a thumbnail."""


class Shown(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """An image: its `name`, a `thumbnail` uint8 [h, w, C], what is true of it and what was found."""

    name: str
    thumbnail: npt.NDArray[np.uint8]
    truth: Annotation
    found: Annotation


def pack_shown(images: Sequence[Shown]) -> bytes:
    """The images as the content of a file."""
    return msgspec.msgpack.encode(images, enc_hook=_plain)


def write_shown(folder: Path, key: str, content: bytes) -> None:
    """Writes the file of a run atomically. Raises OSError when it cannot be written."""
    path = _file(folder, key)
    path.parent.mkdir(exist_ok=True)
    write_whole(path, content)


def read_shown(folder: Path, key: str) -> tuple[Shown, ...]:
    """What the folder keeps of a run; none where it has no such file, or one that is damaged."""
    try:
        entries = msgspec.msgpack.decode(_file(folder, key).read_bytes())
        return tuple(
            Shown(
                name=entry["name"],
                thumbnail=_array(entry["thumbnail"]),
                truth=_annotation(entry["truth"]),
                found=_annotation(entry["found"]),
            )
            for entry in entries
        )
    except (OSError, msgspec.DecodeError, KeyError, TypeError, ValueError):
        return ()


def _file(folder: Path, key: str) -> Path:
    return folder / "gallery" / f"{key}.msgpack"


def _plain(value: Any) -> Any:
    """Arrays in parts that the format knows."""
    if isinstance(value, np.ndarray):
        return {"type": value.dtype.str, "shape": value.shape, "data": np.ascontiguousarray(value).tobytes()}
    raise NotImplementedError(f"{type(value).__name__} cannot be written")


def _array(said: dict[str, Any]) -> npt.NDArray[Any]:
    return np.frombuffer(said["data"], said["type"]).reshape(said["shape"])


def _fields(said: dict[str, Any]) -> dict[str, Any]:
    """The fields of a struct, arrays among them."""
    return {
        name: _array(value) if isinstance(value, dict) and "data" in value else value for name, value in said.items()
    }


def _annotation(said: dict[str, Any]) -> Annotation:
    fields = _fields(said)
    if fields["objects"] is not None:
        objects = _fields(fields["objects"])
        if objects["masks"] is not None:
            objects["masks"] = tuple(Rle(tuple(mask["size"]), _array(mask["runs"])) for mask in objects["masks"])
        fields["objects"] = Objects(**objects)
    if fields["segments"] is not None:
        fields["segments"] = Segments(**_fields(fields["segments"]))
    return Annotation(**{**fields, "size": tuple(fields["size"])})
