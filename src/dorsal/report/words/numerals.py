"""How figures are written in sentences and tables, alike on the terminal and on the page."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, isfinite, log10

from dorsal.deploy.forms import RUNTIMES
from dorsal.jobs.records import Latency
from dorsal.spec.cost import COSTS
from dorsal.stats import Estimate, Need

NONE = "–"
"""Stands where there is no figure."""
_RAISED = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def plural(number: int, noun: str) -> str:
    """A number with its noun: "1 seed", "3 seeds"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def listed(parts: Sequence[str]) -> str:
    """Parts of a sentence: "a", "a and b", "a, b and c"."""
    *before, last = parts
    return f"{', '.join(before)} and {last}" if before else last


def count(number: int) -> str:
    """Three significant digits with k, M or G."""
    for unit, name in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= 0.9995 * unit:
            value = number / unit
            digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
            return f"{value:.{digits}f} {name}"
    return str(number)


def amount(value: float) -> str:
    """A value of an axis or a cost, to four digits, thousands in groups."""
    if not isfinite(value) or value == 0 or abs(value) >= 1e15:
        return f"{value:g}"
    digits = max(0, 3 - floor(log10(abs(value))))
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def magnitude(number: float) -> str:
    """A size of a space: up to a million as it is, above as a power of ten with two digits."""
    if not isfinite(number):
        return "∞"
    if number < 1e6:
        return f"{number:,.0f}"
    mantissa, _, power = f"{number:.1e}".partition("e")
    return f"{mantissa} × 10{str(int(power)).translate(_RAISED)}"


def percent(estimate: Estimate | None) -> str:
    """A mean in percent with half of its interval; the mean alone where there is none, a dash without a result."""
    if estimate is None:
        return NONE
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.2f}"
    return f"{estimate.value:.2f} ± {(estimate.high - estimate.low) / 2:.2f}"


def half_width(half: float | None) -> str:
    """Half of an interval in a table; a dash where there is none."""
    return NONE if half is None else f"± {half:.2f}"


def chance(p: float | None) -> str:
    """A p value in a table; a dash where nothing was tested."""
    if p is None:
        return NONE
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def p_value(p: float) -> str:
    """A p value in a sentence: "p = 0.031", "p < 0.001"."""
    return f"p {chance(p)}" if p < 0.001 else f"p = {chance(p)}"


def decimals(low: float, high: float) -> int:
    """Decimals for figures with an interval: two significant digits of its half-width, from one to three."""
    return min(3, max(1, 1 - floor(log10((high - low) / 2)))) if high > low else 1


def interval(estimate: Estimate, confidence: float, digits: int = 2, of: str = "") -> str:
    """An interval in a sentence, "95 % interval 1.20 to 3.40"; nothing where there is none."""
    if estimate.low is None or estimate.high is None:
        return ""
    return f"{100 * confidence:g} % interval{of} {estimate.low:.{digits}f} to {estimate.high:.{digits}f}"


def roughly(need: Need, noun: str, most: int) -> str:
    """How many it takes, in round figures: "roughly 20 to 60 seeds"; `most` is the limit of what was asked."""
    low, high = (None if end is None else _round(end) for end in (need.low, need.high))
    if low is None:
        return f"more than {most:,} {noun}"
    if high is None:
        return f"roughly {low:,} to more than {most:,} {noun}"
    return f"roughly {low:,} {noun}" if low == high else f"roughly {low:,} to {high:,} {noun}"


def _round(number: int) -> int:
    """To two significant digits."""
    return int(float(f"{number:.2g}"))


def milliseconds(latency: Latency | None) -> str:
    """The median to three digits; a dash where it was not measured."""
    if latency is None:
        return NONE
    return f"{latency.median_ms:.{2 if latency.median_ms < 10 else 1 if latency.median_ms < 100 else 0}f}"


def seconds(duration: float) -> str:
    """A duration in the unit a reader would choose."""
    for unit, name in ((3600, "h"), (60, "min")):
        if duration >= unit:
            return f"{duration / unit:.1f} {name}"
    return f"{duration:.1f} s"


def cost_title(name: str, time: str = "") -> tuple[str, str, float]:
    """The name of a quantity, its title on an axis, and what it is divided by there; `time` says how one is known."""
    call, _, batch = name.removesuffix("_ms").partition("_b")
    if name.endswith("_ms") and batch.isdecimal():
        runtime, _, call = call.rpartition("_")
        inside = "".join(f" in {said}" for known, said in RUNTIMES.items() if known == runtime)
        called = f"{time} {'training step' if call == 'step' else call}{inside}".lstrip()
        return f"{called}, batch {batch}", f"{called}, ms, batch of {batch}", 1.0
    if name in COSTS:
        return COSTS[name].label, COSTS[name].title, COSTS[name].scale
    return name.replace("_", " "), name.replace("_", " "), 1.0
