"""The analysis of a population on the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table

from dorsal.findings.fronts import Front
from dorsal.findings.population.records import AxisFinding, Importance, PopulationFindings, SpaceFinding
from dorsal.report.terminal import head, points, table_of
from dorsal.report.words.learning import error_words
from dorsal.report.words.numerals import NONE, chance, count, magnitude, plural
from dorsal.report.words.populations import conclusions, no_importances, no_profile, notes, rule_sentence
from dorsal.report.words.schedule import schedule_sentences
from dorsal.stats import Estimate

SEARCHES = (1, 4, 16, 64, 256)
"""Numbers of networks tried whose expected best is shown."""


def print_population(found: PopulationFindings, console: Console) -> None:
    """Prints the conclusions, the spaces, their axes, the fronts, the evidence on the schedule, and the limits of it.

    Where nothing was learnt, what errors would show is left out. Fits 80 columns; long labels wrap.
    """
    schedule = f"{found.recipe}, {plural(found.epochs, 'epoch')}, {plural(found.seeds, 'seed')}"
    head(console, f"{found.name}: {schedule} a network")
    console.print(points(conclusions(found)))
    errors = error_words(found.learning.metric).replace("error", "Errors")
    head(console, f"{errors} in percent, with {100 * found.confidence:g} % intervals")
    console.print(table_of("space", ("networks", "mean", "median", "least", "most"), map(_errors, found.spaces)))
    learnt = not found.learning.nothing
    if learnt and any(space.summary and space.summary.searches for space in found.spaces):
        head(console, "Expected error of the best of n networks")
        console.print(_searches(found.spaces))
    head(console, "How the spaces were drawn")
    columns = ("points", "dimensions", "candidates", "accepted")
    console.print(table_of("space", columns, (row for space in found.spaces for row in _drawn(space))))
    for space in found.spaces if learnt else ():
        head(console, f"Axes of {space.name}")
        if any(axis.profiled for axis in space.axes):
            console.print(table_of("axis", ("share of variance", "noise up to", "good values", "p"), _axes(space)))
        console.print(points(_beside_axes(space, found.confidence)))
    if learnt:
        head(console, "Networks that no other beats in both error and a cost (•)")
        console.print(_fronts(found))
    head(console, f"{'Is' if found.epochs == 1 else 'Are'} {plural(found.epochs, 'epoch')} enough?")
    console.print(points(schedule_sentences(found.reliability)))
    head(console, "What this does not show")
    console.print(points(notes(found)))


def _errors(space: SpaceFinding) -> list[str]:
    counts, summary = space.counts, space.summary
    lost = [(counts.diverged, "diverged"), (counts.failed, "failed"), (counts.waiting, "waiting")]
    networks = "\n".join([str(counts.finished), *(f"{number} {what}" for number, what in lost if number)])
    if summary is None:
        return [space.name, networks, *[NONE] * 4]
    ends = (f"{network.error:.2f}" for network in (summary.best, summary.worst))
    return [space.name, networks, _estimate(summary.mean), _estimate(summary.median), *ends]


def _estimate(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.2f}"
    return f"{estimate.value:.2f}\n{estimate.low:.2f}–{estimate.high:.2f}"


def _searches(spaces: Sequence[SpaceFinding]) -> Table:
    expected = {
        space.name: {point.k: point.expected for point in space.summary.searches} for space in spaces if space.summary
    }
    reached = [k for k in SEARCHES if any(k in known for known in expected.values())]
    rows = ([name, *(_estimate(known[k]) if k in known else NONE for k in reached)] for name, known in expected.items())
    return table_of("space", map(str, reached), rows)


def _drawn(space: SpaceFinding) -> Iterator[list[str]]:
    """The spaces that this one was made from, and how it was sampled itself."""
    for step in space.history:
        yield [f"{step.of}: {step.change}", magnitude(step.points)]
    drawn = space.sampling
    share = f"{100 * drawn.acceptance:.3g} %"
    yield [space.name, magnitude(drawn.points), str(drawn.dimensions), f"{drawn.candidates:,}", share]


def _axes(space: SpaceFinding) -> Iterator[list[str]]:
    """Axes in the order drawn, without those of which nothing can be said."""
    shares = {axis.name: axis for axis in space.importances.axes}
    for axis in space.axes:
        if axis.profiled or axis.name in shares:
            yield [axis.name, *_share(shares.get(axis.name)), _good(axis), chance(axis.adjusted_p)]


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


def _beside_axes(space: SpaceFinding, confidence: float) -> list[str]:
    """Why axes and shares are missing, each reason once, and the linear rule."""
    reasons: dict[str, list[str]] = {}
    for axis in space.axes:
        if reason := no_profile(axis):
            reasons.setdefault(reason, []).append(axis.name)
    lines = [f"No numbers for {'; '.join(names)}: {reason}." for reason, names in reasons.items()]
    if missing := no_importances(space.importances):
        lines.append(f"No shares of variance: {missing}.")
    else:
        lines.append(f"Shares: intervals and noise from {space.importances.resamples} samples each.")
    return [*lines, rule_sentence(space.linear_rule, confidence)]


def _fronts(found: PopulationFindings) -> Table:
    """Networks on any front, the best first."""
    errors = {label: error for front in found.fronts for label, error in zip(front.labels, front.errors, strict=True)}
    costs = {
        label: [column[row] for column in (space.costs[front.cost] for front in found.fronts)]
        for space in found.spaces
        for row, label in enumerate(space.labels)
        if label in errors
    }
    rows = (
        [
            label,
            f"{errors[label]:.2f}",
            *(
                _cost(front, cost) + (" •" if label in front.labels else "  ")
                for front, cost in zip(found.fronts, costs[label], strict=True)
            ),
        ]
        for label in sorted(errors, key=lambda label: errors[label])
    )
    return table_of("network", ("error", *(front.cost for front in found.fronts)), rows)


def _cost(front: Front, value: float) -> str:
    return f"{value:.3g}" if front.cost.endswith("_ms") else count(round(value))
