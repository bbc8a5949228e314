"""Scores beside the one that is compared: described, not tested. Pure; no torch."""

from __future__ import annotations

from statistics import fmean

import msgspec

from dorsal.jobs.records import Study


class SecondaryScores(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The means over the finished runs of an arm under a recipe, in percent, by the names of the scores.

    A score that some of these runs lack is not there.
    """

    arm: str
    recipe: str
    means: dict[str, float]


def secondary_scores(study: Study) -> tuple[SecondaryScores, ...]:
    """The other scores of each arm under each recipe that has a finished run with any, in the order of the runs."""
    found: dict[tuple[str, str], list[dict[str, float]]] = {}
    for (arm, recipe, _), trial in study.ended().items():
        if trial.status == "finished" and trial.scores:
            found.setdefault((arm, recipe), []).append(trial.scores)
    return tuple(
        SecondaryScores(
            arm=arm,
            recipe=recipe,
            means={
                name: fmean(scores[name] for scores in runs)
                for name in runs[0]
                if all(name in scores for scores in runs)
            },
        )
        for (arm, recipe), runs in found.items()
    )
