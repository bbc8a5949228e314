"""Amounts and durations as people write them: `20M`, `1.5G`, `300k`; `10m`, `1h30m`, `45s`."""

from __future__ import annotations

import re
from math import inf

MARGIN = 1.0
"""Points of a score that are taken for practically equal, unless the user says otherwise."""

_UNITS = {"G": 10**9, "M": 10**6, "k": 10**3, "": 1}
_DURATION = re.compile(r"(?:(?P<h>\d+(?:\.\d+)?)h)?(?:(?P<m>\d+(?:\.\d+)?)m)?(?:(?P<s>\d+(?:\.\d+)?)s)?")


def read_amount(field: str, text: str) -> int:
    """Reads a positive number with k, M, G or no unit. `field` is what error messages call it.

    Raises ValueError for any other text, and for 0.
    """
    number = re.fullmatch(r"(\d+(?:\.\d+)?)([kMG]?)", text.strip())
    if number is None or float(number[1]) == 0:
        raise ValueError(f"{field}={text!r} is not an amount; valid: a positive number as in 20M, 1.5G or 300k")
    return round(float(number[1]) * _UNITS[number[2]])


def show_amount(value: float) -> str:
    """A number to six digits with k, M or G: `399.98M`."""
    unit = next((unit for unit, size in _UNITS.items() if value >= size), "")
    return f"{value / _UNITS[unit]:.6g}{unit}"


def show_bytes(number: int) -> str:
    """An amount of memory or disk in the unit a reader would choose, e.g. "3.2 GiB"."""
    for unit, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if number >= unit:
            return f"{number / unit:.3g} {name}"
    return f"{number} bytes"


def read_duration(text: str, field: str = "budget") -> float:
    """Seconds of a duration such as `10m`, `1h30m` or `45s`. `field` is what error messages call it.

    Raises ValueError for any other text, and for a duration of 0.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None or not any(match.groups()):
        raise ValueError(f"{field}={text!r} is not a duration; valid: hours, minutes, seconds as in 10m, 1h30m or 45s")
    seconds = float(match["h"] or 0) * 3600 + float(match["m"] or 0) * 60 + float(match["s"] or 0)
    if seconds <= 0:
        raise ValueError(f"{field}={text!r} must be positive, e.g. 10m")
    return seconds


def show_duration(seconds: float) -> str:
    """A duration in its two largest units, as `read_duration` reads it: `45s`, `3m20s`, `1h30m`."""
    whole = max(round(seconds), 1)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60}s" if whole % 60 else f"{whole // 60}m"
    minutes = round(whole / 60)
    return f"{minutes // 60}h{minutes % 60}m" if minutes % 60 else f"{minutes // 60}h"


def check_margin(margin: float) -> None:
    """Raises ValueError unless a margin of practical equality is above 0 and finite."""
    if not 0 < margin < inf:
        raise ValueError(f"margin={margin:g} must be above 0, for example {abs(margin) if 0 < -margin < inf else 1:g}")
