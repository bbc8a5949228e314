"""How figures of comparisons are written, alike on the terminal and on the page."""

from __future__ import annotations

from dorsal.findings.comparison import Cell
from dorsal.jobs.records import Arm
from dorsal.report.numerals import count, milliseconds, plural
from dorsal.stats import Interval

COST_COLUMNS = ("params", "MACs", "activations", "forward", "train step")


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
    """The costs of an arm in the order of COST_COLUMNS: counts with M or G, measured times in milliseconds."""
    cost = arm.cost
    return (
        count(cost.params),
        count(cost.macs),
        count(cost.activations),
        milliseconds(arm.forward),
        milliseconds(arm.train_step),
    )
