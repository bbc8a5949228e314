"""Files that an option names."""

from __future__ import annotations

from pathlib import Path


def replacing(path: Path) -> str:
    """What to say beside the name of a file that is about to be written: whether it replaces one."""
    return " (replaced)" if path.exists() else ""
