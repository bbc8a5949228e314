"""How figures are written, alike on the terminal and on the page."""

from __future__ import annotations

from dorsal.report.analysis import Cell
from dorsal.stats import Interval
from dorsal.study.records import Arm, Latency

COSTS = ("params", "MACs", "activations", "forward", "train step")


def percent(interval: Interval | None) -> str:
    """Mean and half-width of the interval in percent; the mean alone for one seed, a dash without a result."""
    if interval is None:
        return "–"
    if interval.low is None or interval.high is None:
        return f"{interval.mean:.2f}"
    return f"{interval.mean:.2f} ± {(interval.high - interval.low) / 2:.2f}"


def spread(seeds: int) -> str:
    """What stands beside an accuracy in a table."""
    return f"mean and 95 % interval over {plural(seeds, 'seed')}" if seeds > 1 else "one seed, hence no interval"


def runs(cell: Cell) -> str:
    """The runs of a cell that did not finish, or nothing, e.g. "1 diverged, 2 missing"."""
    counts = ((cell.diverged, "diverged"), (cell.failed, "failed"), (cell.missing, "missing"))
    return ", ".join(f"{count} {what}" for count, what in counts if count)


def costs(arm: Arm) -> tuple[str, ...]:
    """The costs of an arm in the order of COSTS: counts with M or G, measured times in milliseconds."""
    cost = arm.cost
    return (
        count(cost.params),
        count(cost.macs),
        count(cost.activations),
        milliseconds(arm.forward),
        milliseconds(arm.train_step),
    )


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
