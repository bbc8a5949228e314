"""The analysis of a population on the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dorsal.findings.fronts import Front
from dorsal.findings.population.records import AxisFinding, Importance, PopulationFindings, SpaceFinding
from dorsal.report.comparison.terminal import head, points
from dorsal.report.numerals import count, plural
from dorsal.report.population.numerals import chance, magnitude, searches
from dorsal.stats.bootstrap import Estimate

SEARCHES = (1, 4, 16, 64, 256)
"""Numbers of networks tried whose expected best is shown."""
NONE = "–"


def print_population(analysis: PopulationFindings, console: Console) -> None:
    """Prints the conclusions, the spaces, their axes, the fronts, the evidence on the schedule, and the limits of it.

    Fits 80 columns; long labels wrap.
    """
    schedule = f"{analysis.recipe}, {plural(analysis.epochs, 'epoch')}, {plural(analysis.seeds, 'seed')}"
    head(console, f"{analysis.name}: {schedule} a network")
    console.print(points(analysis.sentences))
    head(console, f"Errors in percent, with {100 * analysis.confidence:g} % intervals")
    console.print(_errors(analysis.spaces))
    if any(space.summary and searches(space.summary) for space in analysis.spaces):
        head(console, "Error to expect of the best of so many networks, drawn from these")
        console.print(_searches(analysis.spaces))
    head(console, "How the spaces were drawn")
    console.print(_drawn(analysis.spaces))
    for space in analysis.spaces:
        head(console, f"Axes of {space.name}")
        if not all(axis.reason for axis in space.axes):
            console.print(_axes(space))
        console.print(points(_beside_axes(space)))
    head(console, "Networks that no other beats in both error and a cost (•)")
    console.print(_fronts(analysis))
    head(console, f"{'Is' if analysis.epochs == 1 else 'Are'} {plural(analysis.epochs, 'epoch')} enough?")
    console.print(points(_evidence(analysis)))
    head(console, "What this does not show")
    console.print(points(analysis.notes))


def _table(first: str, *others: str) -> Table:
    table = Table()
    table.add_column(first, overflow="fold")
    for name in others:
        table.add_column(name, justify="right", overflow="fold")
    return table


def _errors(spaces: Sequence[SpaceFinding]) -> Table:
    table = _table("space", "networks", "mean", "median", "least", "most")
    for space in spaces:
        counts, found = space.counts, space.summary
        lost = [(counts.diverged, "diverged"), (counts.failed, "failed"), (counts.waiting, "waiting")]
        networks = "\n".join([str(counts.finished), *(f"{number} {what}" for number, what in lost if number)])
        errors = (
            [NONE] * 4
            if found is None
            else [_estimate(found.mean), _estimate(found.median), f"{found.best.error:.2f}", f"{found.worst.error:.2f}"]
        )
        table.add_row(Text(space.name), networks, *errors)
    return table


def _estimate(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.2f}"
    return f"{estimate.value:.2f}\n{estimate.low:.2f}–{estimate.high:.2f}"


def _searches(spaces: Sequence[SpaceFinding]) -> Table:
    points = {
        space.name: {point.k: point.expected for point in searches(space.summary)} for space in spaces if space.summary
    }
    reached = [k for k in SEARCHES if any(k in known for known in points.values())]
    table = _table("space", *map(str, reached))
    for name, known in points.items():
        table.add_row(Text(name), *(_estimate(known[k]) if k in known else NONE for k in reached))
    return table


def _drawn(spaces: Sequence[SpaceFinding]) -> Table:
    table = _table("space", "points", "dimensions", "candidates", "accepted")
    for space in spaces:
        for step in space.history:
            table.add_row(Text(f"{step.of}: {step.change}"), magnitude(step.points))
        share = f"{100 * space.acceptance:.3g} %"
        table.add_row(Text(space.name), magnitude(space.points), str(space.dimensions), f"{space.candidates:,}", share)
    return table


def _axes(space: SpaceFinding) -> Table:
    """Axes in the order drawn, without those of which nothing can be said."""
    shares = {axis.name: axis for axis in space.importances.axes}
    table = _table("axis", "share of variance", "noise up to", "good values", "p")
    for axis in space.axes:
        if axis.reason and axis.name not in shares:
            continue
        table.add_row(Text(axis.name), *_share(shares.get(axis.name)), Text(_good(axis)), chance(axis.adjusted_p))
    return table


def _share(found: Importance | None) -> tuple[str, str]:
    if found is None:
        return NONE, NONE
    share = found.share
    interval = "" if share.low is None or share.high is None else f" {100 * share.low:.0f}–{100 * share.high:.0f}"
    return f"{100 * share.value:.0f} %{interval}", f"{100 * found.null_high:.0f} %"


def _good(axis: AxisFinding) -> str:
    """The good range or the good values."""
    if axis.good_range is not None:
        return f"{axis.good_range.low:g} to {axis.good_range.high:g}"
    if axis.good_values is not None:
        return ", ".join(value.value for value in axis.good_values.values if value.good)
    return NONE


def _beside_axes(space: SpaceFinding) -> list[str]:
    """Why axes and shares are missing, each reason once, and the linear rule."""
    reasons: dict[str, list[str]] = {}
    for axis in space.axes:
        if axis.reason:
            reasons.setdefault(axis.reason, []).append(axis.name)
    lines = [f"No numbers for {'; '.join(names)}: {reason}." for reason, names in reasons.items()]
    if space.importances.reason:
        lines.append(f"No shares of variance: {space.importances.reason}.")
    else:
        lines.append(f"Shares: intervals and noise from {space.importances.resamples} samples each.")
    return [*lines, space.linear_rule.sentence]


def _fronts(analysis: PopulationFindings) -> Table:
    """Networks on any front, the best first."""
    table = _table("network", "error", *(front.cost for front in analysis.fronts))
    errors = {
        label: error for front in analysis.fronts for label, error in zip(front.labels, front.errors, strict=True)
    }
    costs = {
        label: [column[row] for column in (space.costs[front.cost] for front in analysis.fronts)]
        for space in analysis.spaces
        for row, label in enumerate(space.labels)
        if label in errors
    }
    for label in sorted(errors, key=lambda label: errors[label]):
        cells = [
            _cost(front, cost) + (" •" if label in front.labels else "  ")
            for front, cost in zip(analysis.fronts, costs[label], strict=True)
        ]
        table.add_row(Text(label), f"{errors[label]:.2f}", *cells)
    return table


def _cost(front: Front, value: float) -> str:
    return f"{value:.3g}" if front.cost.endswith("_ms") else count(round(value))


def _evidence(analysis: PopulationFindings) -> list[str]:
    found = analysis.reliability
    if not found.ranks:
        return [found.sentence]
    ranks = [f"{rank.space}: {sentence}" for rank in found.ranks for sentence in rank.sentences]
    return ranks + [sentence for order in found.orders for sentence in order.sentences]
