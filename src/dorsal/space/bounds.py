"""Bounds on the cost of a network, as people write them: `360M..400M`, `..5M`, `1.5M..`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from math import inf, isfinite, nan
from typing import Any, NamedTuple

import numpy as np

from dorsal.language.amounts import read_amount
from dorsal.language.reader import suggest
from dorsal.space.costs import QUANTITIES
from dorsal.space.table import Column, Mask

_LARGE = ("params", "macs", "activations", "activations_pycls", "pycls_flops")
_LEAST_LARGE = 10_000
"""No useful network has fewer parameters, MACs or activations. A smaller bound probably lacks its unit."""


class Bound(NamedTuple):
    """A closed interval for a quantity. `text` is what the user wrote."""

    quantity: str
    low: float
    high: float
    text: str

    def met_by(self, value: Column) -> Mask:
        """Which values are in the interval."""
        found: Mask = (value >= self.low) & (value <= self.high)
        return found

    def away(self, value: Column | float) -> Any:
        """The distance of values from the interval, negative inside it."""
        return np.maximum(self.low - value, value - self.high)


def read_bounds(texts: Mapping[str, str], predicted: Iterable[str] = ()) -> tuple[Bound, ...]:
    """Bounds from text, by quantity.

    A quantity is one of `costs.QUANTITIES`, with amounts such as 400M (k, M, G), or one of `predicted`, with plain
    numbers. Raises ValueError for an unknown quantity, with near matches; for text that is not a range; and for a
    forgotten unit, with the likely meaning.
    """
    known = (*QUANTITIES, *predicted)
    bounds = []
    for quantity, text in texts.items():
        if quantity not in known:
            raise ValueError(f"unknown bound {quantity!r}{suggest(quantity, known)}")
        bounds.append(_read(quantity, text))
    return tuple(bounds)


def _read(quantity: str, text: str) -> Bound:
    low_text, dots, high_text = (part.strip() for part in text.partition(".."))
    if not dots:
        unit = "M" if quantity in _LARGE and _is_bare(low_text) else ""
        meant = f"did you mean ..{low_text}{unit}?" if low_text[:1].isdigit() else "valid: from..to"
        raise ValueError(f"{quantity}={text!r} is not a range as 360M..400M, ..400M or 360M..; {meant}")
    if not low_text and not high_text:
        raise ValueError(f"{quantity}={text!r} bounds nothing; valid: from..to, as in 360M..400M, ..400M or 360M..")
    if quantity in _LARGE:
        _check_units(quantity, text, low_text, high_text)
    amount = read_amount if quantity in QUANTITIES else _read_number
    low = amount(quantity, low_text) if low_text not in ("", "0") else -inf
    high = amount(quantity, high_text) if high_text else inf
    if low > high:
        raise ValueError(
            f"{quantity}={text!r}: the low end is above the high end; did you mean {high_text}..{low_text}?"
        )
    return Bound(quantity, low, high, f"{low_text}..{high_text}")


def _read_number(quantity: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = nan
    if not isfinite(number):
        raise ValueError(f"{quantity}={text!r} is not a number; valid: as in 1.5..2.5")
    return number


def _is_bare(end: str) -> bool:
    return re.fullmatch(r"\d+(\.\d+)?", end) is not None and 0 < float(end) < _LEAST_LARGE


def _check_units(quantity: str, text: str, low: str, high: str) -> None:
    """Raises ValueError if a unit was probably forgotten: `360..400M`, `360..400`, `..5`."""
    ends = [end for end in (low, high) if end]
    bare = [end for end in ends if _is_bare(end)]
    if not bare:
        return
    unit = next((end[-1] for end in ends if end[-1] in "kMG"), "M")
    meant = "..".join(f"{end}{unit}" if end in bare else end for end in (low, high))
    raise ValueError(
        f"{quantity}={text!r}: {bare[0]} without a unit is {bare[0]} {quantity}, less than any network has; "
        f"did you mean {meant}?"
    )
