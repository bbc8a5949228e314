"""Durations as people write them: `10m`, `1h30m`, `45s`."""

from __future__ import annotations

import re

_FORM = re.compile(r"(?:(?P<h>\d+(?:\.\d+)?)h)?(?:(?P<m>\d+(?:\.\d+)?)m)?(?:(?P<s>\d+(?:\.\d+)?)s)?")


def read_duration(text: str) -> float:
    """Seconds of a duration such as `10m`, `1h30m` or `45s`.

    Raises ValueError for any other form, and for a duration of nothing.
    """
    match = _FORM.fullmatch(text.strip())
    if match is None or not any(match.groups()):
        raise ValueError(f"budget={text!r} is not a duration; valid: hours, minutes, seconds as in 10m, 1h30m or 45s")
    seconds = float(match["h"] or 0) * 3600 + float(match["m"] or 0) * 60 + float(match["s"] or 0)
    if seconds <= 0:
        raise ValueError(f"budget={text!r} must be positive, e.g. 10m")
    return seconds


def show_duration(seconds: float) -> str:
    """A duration in its two leading units, as `read_duration` reads it: `45s`, `3m20s`, `1h30m`."""
    whole = max(round(seconds), 1)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60}s" if whole % 60 else f"{whole // 60}m"
    minutes = round(whole / 60)
    return f"{minutes // 60}h{minutes % 60}m" if minutes % 60 else f"{minutes // 60}h"
