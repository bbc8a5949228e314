"""How figures of populations are written."""

from __future__ import annotations

from math import floor, isfinite, log10

from msgspec.structs import replace

from dorsal.findings.population.records import Errors
from dorsal.stats import Estimate
from dorsal.stats.best_of import BestOf
from dorsal.stats.sample_size import NetworksNeeded

MANY = "over a million"
_RAISED = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def magnitude(number: float) -> str:
    """A size of a space: up to a million as it is, above as a power of ten with two digits."""
    if not isfinite(number):
        return "∞"
    if number < 1e6:
        return f"{number:,.0f}"
    mantissa, _, power = f"{number:.1e}".partition("e")
    return f"{mantissa} × 10{str(int(power)).translate(_RAISED)}"


def estimated(estimate: Estimate | None, digits: int = 2, sign: str = "") -> str:
    """A value and below it, as HTML, its interval; a dash where there is no value. `sign` "+" shows it always."""
    if estimate is None:
        return "–"
    value = f"{estimate.value:{sign}.{digits}f}"
    if estimate.low is None or estimate.high is None:
        return f"{value}<small>no interval</small>"
    return f"{value}<small>{estimate.low:{sign}.{digits}f} to {estimate.high:{sign}.{digits}f}</small>"


def searches(found: Errors) -> list[BestOf]:
    """The search curve up to a quarter of the networks: further on it would but find their best again.

    What to expect of one network is the mean, here with the interval that it has everywhere.
    """
    points = [point for point in found.search.points if point.expected.low is not None] if found.search else []
    return [replace(point, expected=found.mean) if point.k == 1 else point for point in points]


def chance(p: float | None) -> str:
    """A p value; a dash where nothing was tested."""
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def needed(need: NetworksNeeded) -> str:
    """Networks needed and below them, as HTML, their interval."""
    if need.networks is None:
        return MANY
    low, high = (f"{end:,}" if end is not None else MANY for end in (need.low, need.high))
    return f"{need.networks:,}<small>{low} to {high}</small>"


def amount(value: float) -> str:
    """A value of an axis or a cost, to four digits, thousands in groups."""
    if not isfinite(value) or value == 0 or abs(value) >= 1e15:
        return f"{value:g}"
    digits = max(0, 3 - floor(log10(abs(value))))
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
