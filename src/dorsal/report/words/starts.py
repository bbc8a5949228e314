"""Arms that begin from weights in words: what their differences are of, and what pretraining changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dorsal.findings.comparison import ComparisonFindings
from dorsal.findings.starts import StartEffect
from dorsal.jobs.records import Arm, Study
from dorsal.report.words.numerals import listed
from dorsal.report.words.verdicts import difference
from dorsal.spec.start import Start


def models_differ_in(first: Arm, second: Arm) -> str:
    """What the difference of two arms is of, where one begins from weights; "" where none does."""
    if first.start is None and second.start is None:
        return ""
    parts = ["network"] if first.network_hash != second.network_hash else []
    parts += _pretraining(first.start, second.start)
    parts += ["training recipe"] if first.recipe != second.recipe else []
    return f"{listed(parts)} {'together' if len(parts) > 1 else 'alone'}"


def _pretraining(first: Start | None, second: Start | None) -> list[str]:
    """What two pretrainings differ in, as far as it is known; what nobody states may differ."""
    if first is None or second is None:
        return ["pretraining recipe", "pretraining data"]
    if first.sha256 == second.sha256:
        return []
    parts = ["pretraining recipe"] if not first.recipe or first.recipe != second.recipe else []
    parts += ["pretraining data"] if not first.trained_on or first.trained_on != second.trained_on else []
    return parts or ["run of pretraining"]


def start_sentences(study: Study, found: ComparisonFindings) -> Iterator[str]:
    """What weights change between networks, and how far both choices spread."""
    recipes = {arm.label: arm.recipe for arm in study.arms}
    alike: dict[tuple[str, str, str], list[StartEffect]] = {}
    for effect in found.start_effects:
        alike.setdefault((*effect.scratch, recipes[effect.started[0]]), []).append(effect)
    for (first, second, own), effects in alike.items():
        yield (
            f"From scratch the difference of {first} and {second} is {difference(effects[0].difference)} points; "
            f"{_changed(effects, own)}."
        )
    if (spread := found.start_spread) is not None:
        yield (
            f"The means of the {spread.weights} weights of {spread.network} spread over {spread.spread:.1f} points, "
            f"those of the best weights of the {spread.networks} networks over {spread.best_spread:.1f}. More weights "
            "spread farther by chance alone, so this does not say which of both choices weighs more."
        )


def _changed(effects: Sequence[StartEffect], recipe: str) -> str:
    """What weights do to the difference of two networks, as the end of a sentence."""
    cause = f"pretraining, with {recipe} as recipe," if recipe else "pretraining"
    ordered = sorted(effects, key=lambda effect: effect.change.value)
    ends = [f"{difference(each.change)} ({' and '.join(each.started)})" for each in (ordered[0], ordered[-1])]
    if len(effects) > 1:
        return (
            f"the change by {cause} is from {ends[0]} to {ends[1]} over {len(effects)} pairs of weights, each by itself"
        )
    low, high = effects[0].change.low, effects[0].change.high
    if low is not None and high is not None and low <= 0 <= high:
        return f"{cause} is not shown to change it, {ends[0]}"
    return f"{cause} changes it by {ends[0]}"


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
        yield f"These differ from {first} in more than one thing: {told}. A difference is of all of these together."
