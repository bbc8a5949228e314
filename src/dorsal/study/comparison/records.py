"""A comparison on several data sets as data: what is planned, and what came of it. Written as JSON. No torch."""

from __future__ import annotations

import msgspec

from dorsal.jobs.records import Study
from dorsal.language.notebook import html_table

DATA_SETS_SCHEMA = 1


class NamedData(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One of several data sets. Its comparison is in the folder `name` beside the plan.

    `data` names it, as in `Comparison`; `fingerprint` is that of its images and labels.
    """

    name: str
    data: str
    fingerprint: str


class DataSetsPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The data sets of a comparison, in the order asked for.

    `name` and `margin` are as in `Study`. `command` asks the same again. `created` is when, ISO 8601, UTC.
    """

    name: str
    command: str
    created: str
    margin: float
    data_sets: tuple[NamedData, ...]
    schema: int = DATA_SETS_SCHEMA


class DataSetStudies(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A comparison on several data sets. `studies` has the comparison on each by the name of the data set, as far as
    it has begun."""

    plan: DataSetsPlan
    studies: dict[str, Study]

    def _repr_html_(self) -> str:
        arms = dict.fromkeys(arm.label for study in self.studies.values() for arm in study.arms)
        means = {name: _means(study) for name, study in self.studies.items()}
        rows = [(arm, *(found.get(arm, "–") for found in means.values())) for arm in arms]
        ended = sum(len(study.trials) for study in self.studies.values())
        planned = sum(len(study.runs) for study in self.studies.values())
        title = (
            f"{self.plan.name}: comparison on {len(self.plan.data_sets)} data sets; {ended:,} of {planned:,} runs have "
            "ended; mean score in percent by data set"
        )
        return html_table(title, ("network", *means), rows)


def _means(study: Study) -> dict[str, str]:
    """The mean over all finished runs of each arm."""
    scores: dict[str, list[float]] = {}
    for (arm, _, _), trial in study.ended().items():
        if trial.score is not None:
            scores.setdefault(arm, []).append(trial.score)
    return {arm: f"{sum(found) / len(found):.2f}" for arm, found in scores.items()}
