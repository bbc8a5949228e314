"""Arms that begin from weights in words: what their differences are of, and what pretraining changes."""

from __future__ import annotations

from collections.abc import Iterator

from dorsal.findings.comparison import ComparisonFindings
from dorsal.findings.starts import StartEffect
from dorsal.jobs.records import Arm, Study
from dorsal.report.words.numerals import listed
from dorsal.report.words.verdicts import difference


def models_differ_in(first: Arm, second: Arm) -> str:
    """What the difference of two arms is of, where one begins from weights; "" where none does."""
    if first.start is None and second.start is None:
        return ""
    starts = [arm.start.sha256 if arm.start else "" for arm in (first, second)]
    parts = ["network"] if first.network_hash != second.network_hash else []
    parts += ["pretraining recipe", "pretraining data"] if starts[0] != starts[1] else []
    parts += ["training recipe"] if first.recipe != second.recipe else []
    return f"{listed(parts)} {'together' if len(parts) > 1 else 'alone'}"


def start_sentences(study: Study, found: ComparisonFindings) -> Iterator[str]:
    """What weights change between networks, and whether weights or networks weigh more."""
    recipes = {arm.label: arm.recipe for arm in study.arms}
    alike: dict[tuple[str, str, str], list[StartEffect]] = {}
    for effect in found.start_effects:
        alike.setdefault((*effect.scratch, recipes[effect.started[0]]), []).append(effect)
    for (first, second, own), effects in alike.items():
        ordered = sorted(effects, key=lambda effect: effect.change.value)
        ends = [f"{difference(each.change)} ({' and '.join(each.started)})" for each in (ordered[0], ordered[-1])]
        changes = ends[0] if len(effects) == 1 else f"{ends[0]} to {ends[1]}, over {len(effects)} pairs of weights"
        cause = f"pretraining, with {own} as recipe," if own else "pretraining"
        yield (
            f"From scratch the difference of {first} and {second} is {difference(effects[0].difference)} points; "
            f"{cause} changes it by {changes}."
        )
    if (spread := found.start_spread) is not None:
        more = "choice of weights weighs more than that of the network"
        if spread.spread < spread.best_spread:
            more = "choice of the network weighs more than that of weights"
        yield (
            f"The means of the {spread.weights} weights of {spread.network} spread over {spread.spread:.1f} points, "
            f"those of the best weights of the {spread.networks} networks over {spread.best_spread:.1f}: here the "
            f"{more}."
        )


def start_caveats(study: Study) -> Iterator[str]:
    """What differences between arms are differences of, where these begin from weights or have recipes of their own."""
    started = [arm for arm in study.arms if arm.start]
    if started:
        yield (
            f"{', '.join(arm.label for arm in started)}: trained models. A difference from or between them is not of "
            "the network alone, but also of pretraining data and pretraining recipe."
        )
    known = {arm.label: arm.start.trained_on or "data that nobody states" for arm in started if arm.start}
    if len(set(known.values())) > 1:
        told = "; ".join(f"{label} on {data}" for label, data in known.items())
        yield f"The weights learnt from different data: {told}."
    several = {arm.label: ", ".join(arm.differences) for arm in study.arms if len(arm.differences) > 1}
    if several and any({"start", "recipe"} & arm.differences.keys() for arm in study.arms):
        told = "; ".join(f"{label} ({names})" for label, names in several.items())
        first = study.arms[0].label
        yield f"In more than one thing differ from {first}: {told}. A difference is of all of these together."
