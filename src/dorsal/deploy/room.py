"""Graphs written where there may be no room for them. No torch."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def save_openvino(model: Any, path: Path) -> None:
    """Writes a graph of OpenVINO in the precision that it has. Raises OSError when it cannot be written."""
    import openvino

    try:
        openvino.save_model(model, path, compress_to_fp16=False)
    except RuntimeError as error:
        raise OSError(f"OpenVINO cannot write {path}: {error}") from error


def lacks_room(error: Exception) -> bool:
    """Whether an error is for want of room on the disk; OpenVINO does not tell why it cannot write."""
    return isinstance(error, OSError) and (error.errno in _NO_ROOM or "cannot write" in str(error))
