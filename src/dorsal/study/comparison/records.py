"""What a comparison has beside its study: several data sets, and deployed arms. Written as JSON. No torch."""

from __future__ import annotations

import msgspec

from dorsal.deploy.forms import Form
from dorsal.deploy.proof import Drop
from dorsal.jobs.forms import BUSY
from dorsal.jobs.records import Machine, Study
from dorsal.language.notebook import html_table

DATA_SETS_SCHEMA = 1
ARMS_FILE, ARMS_SCHEMA = "deployed.json", 1


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


class DeployedArm(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An arm of a comparison as it is deployed.

    - `recipe`, `seed`, `key`: of the run that trained the model. `score`: of this model, in percent.
    - `folder`: where it is in that of the study. `files`: the sha256 of each model file there. `form`: what is kept.
    - `rounds`: the median call of each round in milliseconds; `plain`: of PyTorch eager in float32 in the same rounds,
      empty where that is not among the forms or is the one that is kept.
    - `loses`: what the form loses; None in float32, which loses nothing.
    """

    arm: str
    recipe: str
    seed: int
    key: str
    folder: str
    files: dict[str, str]
    form: Form
    rounds: tuple[float, ...]
    plain: tuple[float, ...]
    loses: Drop | None
    score: float


class DeployedArms(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The arms of a comparison deployed on one machine, timed in one contest.

    - `left_out`: why each other arm is not deployed.
    - `shape`: of what forms were timed with, [N, C, H, W]. `pixels`: they were given pixels, because one of them
      normalizes images in its graph.
    - `threads`, `others`, `machine`, `instructions`, `versions`: as in `DeploymentStudy`.
    """

    created: str
    arms: tuple[DeployedArm, ...]
    left_out: dict[str, str]
    shape: tuple[int, ...]
    pixels: bool
    threads: int
    others: float
    machine: Machine
    instructions: tuple[str, ...]
    versions: dict[str, str]
    schema: int = ARMS_SCHEMA

    @property
    def is_trusted(self) -> bool:
        """Whether the machine was idle but for the forms."""
        return self.others <= BUSY
