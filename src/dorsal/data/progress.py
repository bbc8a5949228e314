"""Progress of a check, and how it is shown."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from dorsal.data.errors import shown

Progress = Callable[[int, int], None]
"""A function of two numbers: files done, and files to be done. While files are listed: files found so far, and 0."""

_PATIENCE = 2.0
_TERMINAL, _PIPE = 0.5, 10.0
"""Seconds from one message to the next."""


def on_stderr(root: Path) -> Progress:
    """Shows progress on standard error once it takes two seconds: in place on a terminal, else line by line."""
    in_place = sys.stderr.isatty()
    began = time.monotonic()
    said = began + _PATIENCE - (_TERMINAL if in_place else _PIPE)
    first: tuple[float, int] | None = None

    def tell(done: int, total: int) -> None:
        nonlocal said, first
        now = time.monotonic()
        last = 0 < total == done
        if total and first is None:
            first = now, done
        if now - said < (_TERMINAL if in_place else _PIPE) and not (last and now - began > _PATIENCE):
            return
        said = now
        text = _sentence(shown(root), done, total, now, first)
        sys.stderr.write(f"\r\x1b[K{text}{chr(10) * last}" if in_place else f"{text}\n")
        sys.stderr.flush()

    return tell


def _sentence(name: str, done: int, total: int, now: float, first: tuple[float, int] | None) -> str:
    if first is None:
        return f"listing {name}: {done:,} files so far"
    seconds, images = now - first[0], done - first[1]
    if done == total:
        return f"checked {name}: {total:,} images in {_duration(seconds)}"
    text = f"checking {name}: {done:,} of {total:,} images"
    if seconds < 1 or not images:
        return text
    return f"{text}, {images / seconds:,.0f} a second, about {_duration((total - done) * seconds / images)} left"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
