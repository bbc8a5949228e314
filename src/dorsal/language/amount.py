"""Large numbers as people write them: 20M, 1.5G, 300k."""

from __future__ import annotations

import re

_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}


def read_amount(field: str, text: str) -> int:
    """The number that `text` spells; ValueError naming `field` unless it is positive, with k, M, G or no unit."""
    number = re.fullmatch(r"(\d+(?:\.\d+)?)([kMG]?)", text.strip())
    if number is None or float(number[1]) == 0:
        raise ValueError(f"{field}={text!r} is not an amount; valid: a positive number as in 20M, 1.5G or 300k")
    return round(float(number[1]) * _UNITS[number[2]])


def show_bytes(number: int) -> str:
    """An amount of memory or disk in the unit a reader would choose, e.g. "3.2 GiB"."""
    for unit, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if number >= unit:
            return f"{number / unit:.3g} {name}"
    return f"{number} bytes"
