"""What each test image contributes to the scores of a study, from the predictions that its folder keeps. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from dorsal.jobs.kept import read_predictions
from dorsal.jobs.records import Study, Trial
from dorsal.jobs.scores import Scores
from dorsal.spec.task import metric_of
from dorsal.stats import Comparisons, Contribution, compare_arms
from dorsal.tasks.contributions import LARGE, contributions

_TOLERANCE = 1e-6
"""The score of a run and that of its predictions differ by rounding only."""


class Contributions(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What each test image contributes to the score of every finished run.

    - `runs`: by the key of the run. Empty if they are not to be had of all runs: `lost` then says why, "" where nothing
      was looked for.
    """

    runs: Mapping[str, Contribution] = {}
    lost: str = ""


def read_contributions(study: Study, folder: Path) -> Contributions:
    """The contributions to all finished runs of the study, from its folder. Never raises for what the folder lacks."""
    finished = [trial for trial in study.trials if trial.status == "finished"]
    runs, lost = dict[str, Contribution](), list[str]()
    for trial in finished:
        try:
            runs[trial.key] = _read(study, folder, trial)
        except (ValueError, OSError) as error:
            lost.append(str(error))
    if not lost:
        return Contributions(runs=runs)
    more = f" (and {len(lost) - 1} more)" if len(lost) > 1 else ""
    return Contributions(lost=f"{lost[0]}{more}")


def _read(study: Study, folder: Path, trial: Trial) -> Contribution:
    if not trial.predictions:
        raise ValueError(f"run {trial.key} kept nothing of single images")
    found = contributions(study.task, read_predictions(folder, trial, LARGE))
    if trial.score is None or abs(found.score() - trial.score) > _TOLERANCE:
        raise ValueError(f"the predictions of run {trial.key} do not give its score")
    return found


def compare_models(scores: Scores, folder: Path) -> Comparisons | None:
    """The scored models against each other, over test images alone: nothing is said of other seeds.

    None unless two or more were scored on the same images, by what `folder` keeps of each.
    """
    found = dict[str, Contribution]()
    for model in scores.models:
        if model.result.score is not None and model.images == scores.models[0].images:
            with suppress(ValueError, OSError):
                found[model.name] = contributions(model.task, read_predictions(folder, model.result, LARGE))
    metrics = {metric_of(model.task) for model in scores.models}
    if len(found) < 2 or len(metrics) > 1 or len({part.images for part in found.values()}) > 1:
        return None
    return compare_arms(
        {name: [part.score()] for name, part in found.items()},
        images={name: [part.values()] for name, part in found.items()},
    )
