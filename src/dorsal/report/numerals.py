"""How figures are written, alike on the terminal and on the page."""

from __future__ import annotations

from dorsal.jobs.records import Latency
from dorsal.spec.cost import COSTS


def count(number: int) -> str:
    """Three significant digits with k, M or G."""
    for unit, name in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= 0.9995 * unit:
            value = number / unit
            digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
            return f"{value:.{digits}f} {name}"
    return str(number)


def milliseconds(latency: Latency | None) -> str:
    """The median to three digits; a dash where it was not measured."""
    if latency is None:
        return "–"
    return f"{latency.median_ms:.{2 if latency.median_ms < 10 else 1 if latency.median_ms < 100 else 0}f}"


def plural(number: int, noun: str) -> str:
    """A number with its noun, e.g. "1 seed", "3 seeds"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


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
        called = f"{time} {'training step' if call == 'step' else call}".lstrip()
        return f"{called}, batch {batch}", f"{called}, ms, batch of {batch}", 1.0
    if name in COSTS:
        return COSTS[name].label, COSTS[name].title, COSTS[name].scale
    return name.replace("_", " "), name.replace("_", " "), 1.0
