"""What tuning gained, arm by arm, and where a wider search might have found more. Pure; no torch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TypeVar

import msgspec

from dorsal.findings.contributions import Contributions
from dorsal.jobs.records import Study, Tuned
from dorsal.stats import Estimate, pooled_means
from dorsal.stats.interval import Array

Value = TypeVar("Value", float, Array)

_EDGE = 1 / 8


class Edge(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The best `value` of a field lies in the outermost eighth of its range, from `low` to `high`."""

    field: str
    value: float
    low: float
    high: float


class TuningFindings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What tuning did for an arm under a recipe, whose tuned runs are under `tuned`.

    - `tries`: the number of settings; `lost` of them did not finish. `averaged`: as in `Tuned`.
    - `setting`: what was chosen, empty where the recipe's own is kept and where nothing was chosen.
    - `default`, `best`: the mean score in percent as the recipe is, and tuned. `gain`: tuned minus default in points,
      paired by seed. Intervals are by the noise of this arm alone, and over test images where these are known.
    - `edges`: the fields whose best value lies at the edge of their range.
    """

    arm: str
    recipe: str
    tuned: str
    tries: int
    lost: int
    averaged: bool
    setting: dict[str, float]
    default: Estimate | None
    best: Estimate | None
    gain: Estimate | None
    edges: tuple[Edge, ...]


def analyse_tuning(study: Study, known: Contributions) -> tuple[TuningFindings, ...]:
    """What tuning did, for each arm and recipe that was tuned."""
    return tuple(_of(study, known, each) for each in study.tuning)


def _of(study: Study, known: Contributions, each: Tuned) -> TuningFindings:
    keys = {(run.arm, run.recipe, run.seed): run.key for run in study.runs}
    scores = {trial.key: trial.score for trial in study.trials}
    own, tuned = ([keys.get((each.arm, name, seed), "") for seed in study.seeds] for name in (each.recipe, each.tuned))

    def mean(values: Sequence[float | None], images: Sequence[Array | None]) -> Estimate | None:
        return pooled_means({each.arm: values}, images={each.arm: images} if known.runs else None).get(each.arm)

    def images(of: Sequence[str]) -> list[Array | None]:
        return [known.runs[key].values() if key in known.runs else None for key in of]

    gains = [_less(scores.get(after), scores.get(before)) for after, before in zip(tuned, own, strict=True)]
    gains_of_images = [_less(after, before) for after, before in zip(images(tuned), images(own), strict=True)]
    return TuningFindings(
        arm=each.arm,
        recipe=each.recipe,
        tuned=each.tuned,
        tries=len(each.tries),
        lost=sum(one.status is not None and one.score is None for one in each.tries),
        averaged=each.averaged,
        setting=each.tries[each.chosen].fields if each.chosen else {},
        default=mean([scores.get(key) for key in own], images(own)),
        best=mean([scores.get(key) for key in tuned], images(tuned)),
        gain=mean(gains, gains_of_images),
        edges=tuple(_edges(each)),
    )


def _less(after: Value | None, before: Value | None) -> Value | None:
    return None if after is None or before is None else after - before


def _edges(each: Tuned) -> Iterator[Edge]:
    """Where the best value of a field is as good as the end of its range, and the field could go further."""
    if each.chosen is None:
        return
    for field, (low, high) in each.ranges.items():
        value = each.tries[each.chosen].fields[field]
        share = (value - low) / (high - low) if field == "level_decay" else math.log(value / low) / math.log(high / low)
        ends_there = high == 1 and field != "lr"  # no decay goes beyond 1
        if share < _EDGE or (share > 1 - _EDGE and not ends_there):
            yield Edge(field, value, low, high)
