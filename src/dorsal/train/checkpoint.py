"""One file a run, rewritten after every epoch: all that an unbroken run would know at that point.

No state of a random generator is in it: every epoch seeds its own from (seed, epoch), see `loop`.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

SCHEMA = 3
_DIGEST_BYTES = hashlib.sha256().digest_size


class CorruptError(Exception):
    """The file is not what was written: cut short, or altered."""


def save(path: Path, run: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Writes atomically: at any moment the file is the old one or the new one, whole.

    `run` says whose state this is, in plain values. Raises OSError when it cannot be written, e.g. on a full disk;
    the old file is then still there.
    """
    buffer = io.BytesIO()
    torch.save({"schema": SCHEMA, "run": dict(run), "state": dict(state)}, buffer)
    content = buffer.getvalue()
    temporary = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.write(hashlib.sha256(content).digest())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OSError(
            error.errno, f"checkpoint not written, the last one is kept: {error.strerror}", str(path)
        ) from error


def load(path: Path, run: Mapping[str, Any]) -> dict[str, Any]:
    """The state saved for `run`, tensors on the CPU.

    Raises FileNotFoundError; CorruptError; and ValueError for the whole checkpoint of another run, naming what differs.
    """
    content = path.read_bytes()
    content, digest = content[:-_DIGEST_BYTES], content[-_DIGEST_BYTES:]
    if hashlib.sha256(content).digest() != digest:
        raise CorruptError(f"checkpoint {path} is cut short or altered")
    saved = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    if saved["schema"] != SCHEMA:
        raise ValueError(f"checkpoint {path} has schema {saved['schema']}; this version of dorsal reads {SCHEMA}")
    there = saved["run"]
    if others := [key for key in {**there, **run} if there.get(key) != run.get(key)]:
        others.sort(key=lambda key: key != "task")  # what else differs may follow from that
        differing = [f"{key} is {there.get(key, 'not set')} there and {run.get(key, 'not set')} here" for key in others]
        raise ValueError(
            f"checkpoint {path} is of another run: {'; '.join(differing[:5])}{'; …' if len(differing) > 5 else ''}. "
            "Give each run a folder of its own"
        )
    state: dict[str, Any] = saved["state"]
    return state


def set_aside(path: Path) -> Path:
    """Renames a file so that nothing overwrites it, and returns its new path."""
    number = 1
    while (aside := path.with_name(f"{path.name}.corrupt{number}")).exists():
        number += 1
    return path.rename(aside)
