"""Tuning in words: what it gained, and what it may have missed."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from dorsal.findings.tuning import TuningFindings
from dorsal.jobs.records import Study
from dorsal.recipes.probe import FEW
from dorsal.recipes.text import recipe_text
from dorsal.report.words.numerals import decimals, listed, plural


def tuning_sentences(found: Sequence[TuningFindings]) -> Iterator[str]:
    """What tuning gained for each arm and recipe."""
    for each in found:
        scope = f"{each.arm} under {each.recipe}"
        if each.averaged:
            yield f"{scope}: {_gained(each, 'the average over the settings')}."
        elif each.setting:
            yield f"{scope}: {_gained(each, 'tuning')}, with {setting(each)}, the best of {each.tries} settings."
        elif each.lost == each.tries:
            yield f"{scope}: none of {each.tries} settings finished, so the recipe's own is kept."
        else:
            yield f"{scope}: the recipe's own setting is the best of {each.tries}; tuning changes nothing."


def tuning_caveats(study: Study, found: Sequence[TuningFindings]) -> Iterator[str]:
    """How arms were tuned, and where a wider search might find more."""
    tries = found[0].tries
    ranges = listed(list(dict.fromkeys(field for each in study.tuning for field in each.ranges)))
    if found[0].averaged:
        yield (
            f"Nothing was tuned: a fifth of the training images is fewer than {FEW} of each class, too few to choose "
            f"by. The seeds of the tuned runs take {tries} settings of {ranges} in turn, so that their mean is an "
            "average over settings."
        )
        return
    yield (
        f"Each arm was tuned under each recipe by {tries} settings of {ranges}, one run each, scored on a fifth of the "
        "training images: more settings may change the order. What is concluded rests on the tuned runs."
    )
    if lost := sum(each.lost for each in found):
        yield f"{plural(lost, 'setting')} that did not finish counted as tried."
    for each in found:
        if each.edges:
            yield _edge_sentence(study, each)


def _edge_sentence(study: Study, each: TuningFindings) -> str:
    where = listed([f"{edge.field}={edge.value:g} of {edge.low:g} to {edge.high:g}" for edge in each.edges])
    given = study.recipes[each.recipe]
    wider = recipe_text(replace(given, **{edge.field: edge.value for edge in each.edges}))
    return (
        f"{each.arm} under {each.recipe}: the best setting lies at the edge of the range ({where}). For a range around "
        f"it, {in_place_of(study, each.arm, each.recipe, wider)}."
    )


def in_place_of(study: Study, arm: str, recipe: str, other: str) -> str:
    """How to ask for another recipe of the arm, as the end of a sentence."""
    own = any(each.label == arm and each.recipe for each in study.arms)
    how = f"name the arm with {other}" if own else f"for all arms, give --recipe {shlex.quote(other)}"
    return f"{how} in place of {recipe}"


def setting(each: TuningFindings) -> str:
    """What was chosen, as a recipe has it: "lr=0.004, weight_decay=0.01"."""
    return ", ".join(f"{field}={value:g}" for field, value in each.setting.items())


def _gained(each: TuningFindings, what: str) -> str:
    gain = each.gain
    if gain is None or each.default is None or each.best is None:
        return "tuned and default runs have no seed in common yet"
    means = f"from {each.default.value:.2f} to {each.best.value:.2f} %"
    if gain.low is None or gain.high is None:
        return f"{what} changes the score by {gain.value:+.2f} points, {means}, without an interval"
    digits = decimals(gain.low, gain.high)
    loses = gain.high < 0
    value, low, high = (-gain.value, -gain.high, -gain.low) if loses else (gain.value, gain.low, gain.high)
    size = f"{value:.{digits}f} points, 95 % interval {low:.{digits}f} to {high:.{digits}f}, {means}"
    if gain.low > 0:
        return f"{what} gains {size}"
    return f"{what} loses {size}" if loses else f"no gain of {what} is shown ({size})"
