"""The tables of a population's page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from dorsal.findings.population.records import (
    AxisFinding,
    OrderReliability,
    PopulationFindings,
    RankReliability,
    Retraining,
    SpaceFinding,
)
from dorsal.report.parts import estimated, swatch, table
from dorsal.report.shell import prose
from dorsal.report.words.numerals import NONE, amount, chance, plural, roughly
from dorsal.report.words.populations import no_profile
from dorsal.stats import Need
from dorsal.stats.populations import Effect
from dorsal.stats.sample_size import MOST_NETWORKS


def sample_table(spaces: Sequence[SpaceFinding]) -> str:
    """How each space was sampled, and what became of its networks."""
    rows = []
    for index, space in enumerate(spaces):
        counts, drawn = space.counts, space.sampling
        bounds = "<br>".join(escape(f"{name} {text}") for name, text in drawn.bounds.items())
        accepted = f"{drawn.accepted:,}<small>{100 * drawn.acceptance:.3g}&nbsp;% of {drawn.candidates:,}</small>"
        fared = (len(space.labels), counts.finished, counts.diverged, counts.failed, counts.waiting)
        rows.append([_name(index, space.name), bounds or "none", accepted, *(f"{number:,}" for number in fared)])
    head = ("space", "bounds", "candidates met all", "networks", "finished", "diverged", "failed", "waiting")
    return table("Sampling and counts", head, rows)


def candidates(spaces: Sequence[SpaceFinding]) -> str:
    """Why candidates were left out, space by space; nothing where none was."""
    if not any(space.sampling.met or space.sampling.rejected for space in spaces):
        return ""
    rows = []
    for index, space in enumerate(spaces):
        drawn = space.sampling
        met = [f"{name}: {100 * number / drawn.candidates:.3g} %" for name, number in drawn.met.items()]
        rejected = [f"{reason}: {number:,}" for reason, number in drawn.rejected.items()]
        cells = ["<br>".join(map(escape, lines)) or "–" for lines in (met, rejected)]
        rows.append([_name(index, space.name), *cells])
    found = table("Candidates", ("space", "met each bound alone", "no networks"), rows, "words")
    return f"<details><summary>Candidates that were left out</summary>{found}</details>"


def errors(analysis: PopulationFindings) -> str:
    """Where the errors of each space lie."""
    rows = []
    for index, space in enumerate(analysis.spaces):
        found = space.summary
        if found is None:
            cells = ["–"] * 5
        else:
            marked = [
                f"{network.error:.2f}<small>{escape(network.label)}</small>" for network in (found.best, found.worst)
            ]
            cells = [estimated(found.mean), estimated(found.median), *marked, f"{space.counts.finished:,}"]
        rows.append([_name(index, space.name), *cells])
    return table("Errors", ("space", "mean, %", "median, %", "best, %", "worst, %", "networks"), rows)


def pairs(analysis: PopulationFindings) -> str:
    """Differences of every two spaces that can be compared."""
    compared = [(pair, pair.comparison) for pair in analysis.pairs if pair.comparison is not None]
    if not compared:
        return ""
    rows = [
        [
            f"{escape(pair.a)} − {escape(pair.b)}",
            *(_effect(effect) for effect in (found.mean, *found.quantiles)),
            f"{found.distance:.2f}<small>p {chance(found.distance_test.adjusted_p)}</small>",
            _needed(found.needed),
        ]
        for pair, found in compared
    ]
    statistics = [_statistic(effect.quantile) for effect in (compared[0][1].mean, *compared[0][1].quantiles)]
    interval = f"{100 * analysis.confidence:g}&nbsp;% interval"
    head = [
        "difference, points of error",
        *(f"{statistic}<small>{interval}<br>p, adjusted</small>" for statistic in statistics),
        "distance of<br>distributions<small>p, adjusted</small>",
        "networks of each<br>to show it",
    ]
    said = (
        "An interval is of one difference alone, while p is adjusted for all tests of all pairs (Holm). So an interval "
        f"may leave out 0 where p is above {1 - analysis.confidence:.2g}, and no difference is shown there."
    )
    return f'{table("Differences between spaces", head, rows)}<p class="soft">{prose(said)}</p>'


def _effect(effect: Effect) -> str:
    return f"{estimated(effect.difference, sign='+')}<small>p {chance(effect.test.adjusted_p)}</small>"


def _statistic(quantile: float | None) -> str:
    if quantile is None:
        return "mean"
    return "median" if quantile == 0.5 else f"{100 * quantile:g} % quantile"


def plans(analysis: PopulationFindings) -> str:
    """Networks of each space that it takes to see differences."""
    if not analysis.planner.plans:
        return ""
    head = ("difference, points of error", "networks of each<br>by the mean", "by the distance<br>of distributions")
    rows = [[f"{plan.difference:g}", _needed(plan.mean), _alone(plan.distance)] for plan in analysis.planner.plans]
    return table("Networks of each space needed", head, rows)


def good_values(axes: Sequence[AxisFinding]) -> str:
    """Good ranges and values of axes in numbers; for an axis that has none the reason."""
    rows = [[escape(axis.name), *_good(axis)] for axis in axes]
    head = ("axis", "good range", "networks inside", "were it irrelevant", "p", "p, all axes")
    return table("Good ranges", head, rows, "words")


def _good(axis: AxisFinding) -> list[str]:
    if found := axis.good_range:
        between = f"{amount(found.low)} to {amount(found.high)}<small>likely best {amount(found.median)}</small>"
        shares = [f"{100 * share:.0f}&nbsp;%" for share in (found.inside, found.inside_if_irrelevant)]
        return [between, *shares, chance(found.p), chance(axis.adjusted_p)]
    if values := axis.good_values:
        good = [f"{escape(value.value)} ({100 * value.wins:.0f}&nbsp;%)" for value in values.values if value.good]
        return ["<br>".join(good), f"{100 * values.inside:.0f}&nbsp;%", "–", chance(values.p), chance(axis.adjusted_p)]
    return [f"<small>{escape(no_profile(axis))}</small>", *[NONE] * 4]


def ranks(found: Sequence[RankReliability]) -> str:
    """Agreement of ranks between schedules, and of each with itself."""
    rows = []
    for each in found:
        if each.reliability is None:
            continue
        best = f"<small>of the best {each.reliability.k}</small>"
        for own in each.reliability.ceilings:
            what = f"{escape(own.budget)}, two seeds"
            kept = f"{estimated(own.top)}{best}"
            rows.append([escape(each.space), what, estimated(own.tau), "–", kept, "–", "", ""])
        for pair in each.reliability.agreements:
            luck = "" if pair.top_by_chance is None else f"<small>{pair.top_by_chance:.2f} by chance</small>"
            kept = f"{estimated(pair.top)}{best}{luck}"
            what = f"{escape(pair.short)} and {escape(pair.long)}"
            cells = [estimated(pair.tau), estimated(pair.true_tau), kept, str(pair.n), pair.verdict, pair.schedule]
            rows.append([escape(each.space), what, *cells])
    if not rows:
        return ""
    head = ("space", "schedules", "tau", "tau without<br>noise of seeds", "share kept", "networks", "one run is")
    return table("Agreement of ranks", (*head, "the schedule"), rows)


def retrained_counts(found: Sequence[Retraining]) -> str:
    """What became of the networks that were trained again."""
    rows = []
    for each in found:
        counts = (each.counts.finished, each.counts.diverged, each.counts.failed, each.counts.waiting)
        rows.append([escape(each.space), escape(each.budget), *(f"{number:,}" for number in (sum(counts), *counts))])
    head = ("space", "schedule", "networks", "finished", "diverged", "failed", "waiting")
    return table("Trained again", head, rows) if rows else ""


def order_table(found: Sequence[OrderReliability]) -> str:
    """Whether spaces keep their order from a short schedule to a long one."""
    rows = []
    for each in found:
        if each.reliability is None:
            continue
        for survival in each.reliability.survivals:
            kept = "–" if survival.kept is None else f"{100 * survival.kept:.0f}&nbsp;%"
            differences = [
                estimated(difference, sign="+") for difference in (survival.short_difference, survival.long_difference)
            ]
            what = [_statistic(survival.quantile), f"{escape(survival.short)} and {escape(survival.long)}"]
            rows.append([f"{escape(each.a)} − {escape(each.b)}", *what, *differences, kept, survival.verdict])
    if not rows:
        return ""
    head = ("difference, points of error", "of the", "schedules", "at the short", "at the long", "same order", "order")
    return table("Order of spaces", head, rows)


def lost(analysis: PopulationFindings) -> str:
    """In a sentence the networks without a result."""
    parts = []
    for what in ("diverged", "failed"):
        number = sum(getattr(space.counts, what) for space in analysis.spaces)
        if number:
            parts.append(f"{plural(number, 'network')} {what}")
    return f"{' and '.join(parts)}: counted above, in no figure, listed under how it was run." if parts else ""


def _needed(need: Need | None) -> str:
    """Networks needed, in round figures."""
    return NONE if need is None else roughly(need, "networks", MOST_NETWORKS).removesuffix(" networks")


def _alone(networks: int | None) -> str:
    """A need without an interval."""
    return _needed(Need(value=networks, low=networks, high=networks))


def _name(index: int, name: str) -> str:
    return f"{swatch(index)}{escape(name)}"
