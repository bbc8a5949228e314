"""Accuracy against the latency of what will run: the deployed arms of a comparison. Pure; no torch."""

from __future__ import annotations

from collections.abc import Mapping
from math import hypot

import msgspec
import numpy as np

from dorsal.deploy.choose import median_of, ratio
from dorsal.deploy.proof import Drop
from dorsal.findings.fronts import Front, front_of
from dorsal.jobs.records import Study
from dorsal.stats import Estimate
from dorsal.study.comparison.records import DeployedArm, DeployedArms

_WIDER = 1.96 / 1.645
"""A loss has bounds that each are missed with 5 %, and a score those that both together are."""


class DeployedRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A deployed arm.

    - `median`: of its rounds in milliseconds. `slower`: that over the fastest arm's; `gain`: PyTorch eager's in float32
      over that, None where that was not timed. Both are paired by rounds.
    - `score`: the mean of the arm under the recipe of its model, as in `Cell`, less what the form loses of that model.
      Its interval has the noise of both, as if one did not depend on the other.
    """

    arm: str
    median: Estimate
    slower: Estimate
    gain: Estimate | None
    score: Estimate | None


class DeployedFindings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What deployed arms show.

    - `measured`: what was deployed and timed, without arms that are no longer in the study. `rows`: in the same order.
    - `front`: the arms that no other beats in both the mean error and the median time.
    """

    measured: DeployedArms
    rows: tuple[DeployedRow, ...]
    front: Front

    def arm(self, label: str) -> DeployedArm:
        """What was measured of an arm that has a row."""
        return next(each for each in self.measured.arms if each.arm == label)


def analyse_deployed(
    measured: DeployedArms | None, study: Study, scores: Mapping[tuple[str, str], Estimate | None]
) -> DeployedFindings | None:
    """What deployed arms show; `scores` are means by arm and recipe. None without an arm that the study has."""
    runs = {(run.arm, run.key) for run in study.runs}
    arms = () if measured is None else tuple(each for each in measured.arms if (each.arm, each.key) in runs)
    if measured is None or not arms:
        return None
    fastest = min(arms, key=lambda each: median_of(np.array(each.rounds)).value)
    rows = tuple(_row(each, fastest, scores[each.arm, each.recipe]) for each in arms)
    plane = {each.arm: (each.median.value, 100 - each.score.value) for each in rows if each.score is not None}
    return DeployedFindings(
        measured=msgspec.structs.replace(measured, arms=arms), rows=rows, front=front_of("deployed_ms", plane)
    )


def _row(arm: DeployedArm, fastest: DeployedArm, score: Estimate | None) -> DeployedRow:
    times = np.array(arm.rounds)
    return DeployedRow(
        arm=arm.arm,
        median=median_of(times),
        slower=ratio(times, np.array(fastest.rounds)),
        gain=ratio(np.array(arm.plain), times) if arm.plain else None,
        score=_less(score, arm.loses) if score and arm.loses else score,
    )


def _less(score: Estimate, drop: Drop) -> Estimate:
    value = score.value - drop.value
    if score.low is None or score.high is None:
        return Estimate(value=value, low=None, high=None)
    return Estimate(
        value=value,
        low=value - hypot(score.value - score.low, _WIDER * (drop.high - drop.value)),
        high=value + hypot(score.high - score.value, _WIDER * (drop.value - drop.low)),
    )
