"""Files of a study: written whole or not at all; records as JSON, read where they have the expected schema."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TypeVar

import msgspec

Record = TypeVar("Record", bound=msgspec.Struct)


class _Schema(msgspec.Struct):
    schema: int


def read_record(path: Path, kind: type[Record], schema: int, what: str) -> Record | None:
    """What the file holds, None where there is none; `what` names it in errors ("latency model").

    Raises ValueError for another schema, or a file that holds something else.
    """
    if not path.exists():
        return None
    content = path.read_bytes()
    try:
        found = msgspec.json.decode(content, type=_Schema).schema
        if found != schema:
            raise ValueError(
                f"{path} has schema {found} and this version of dorsal reads {schema}; use the version that wrote it, "
                "or name another folder"
            )
        return msgspec.json.decode(content, type=kind)
    except msgspec.DecodeError as error:
        raise ValueError(f"{str(path)!r} is no {what}: {error}") from None


def write_record(path: Path, record: msgspec.Struct) -> None:
    """Writes the file as `write_whole` does."""
    write_whole(path, msgspec.json.format(msgspec.json.encode(record)))


def write_whole(path: Path, content: bytes) -> None:
    """Writes `content` so that `path` holds either all of it or what it held before. Makes the folder.

    Raises OSError when the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
