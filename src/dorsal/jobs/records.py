"""What a study is and what came of it: plain frozen data, written as JSON, read by findings and reports. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from dorsal.data.summary import DataSummary
from dorsal.jobs.remarks import StudyRemark
from dorsal.language.amounts import MARGIN
from dorsal.language.notebook import html_table
from dorsal.recipes.epoch import Epoch
from dorsal.recipes.probe import PenaltyChoice
from dorsal.recipes.text import AnyRecipe
from dorsal.spec.cost import Cost
from dorsal.spec.layers import Feature
from dorsal.spec.start import Start
from dorsal.spec.task import AnyTask, Classify
from dorsal.spec.timm import AnyNetwork

STUDY_SCHEMA = 3
Status = Literal["finished", "diverged", "failed"]
Kind = Literal["comparison", "population", "search"]


class Latency(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Measured time of one call in milliseconds: median and quartiles over `repeats`, with what was measured."""

    median_ms: float
    low_ms: float
    high_ms: float
    batch: int
    threads: int
    repeats: int
    device: str


class WholeCost(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a trunk costs with the heads of a task: parameters, and MACs of one image of the data."""

    params: int
    macs: int


class Arm(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One network of a study, fitted to its data.

    - `label`: its short name in tables. `text`: reads back as the network.
    - `network_hash`: see `spec.timm.hash_of`. `cost`: of one image of the data.
    - `space`, `row`: the design space it was drawn from and its place among the networks drawn there, from 0; "" and 0
      where it was named.
    - `changes`: what `--match` changed, in words. `differences`: its choices that are not those of the first arm
      (choice → [first arm's value, this arm's]).
    - `forward`, `train_step`: measured times, None where nothing was timed. `trunk_forward`: of the network alone,
      where the task adds heads to it.
    - `whole`: parameters and MACs of the model with these heads, on one image; None in a classification.
    - `features`: the pyramid of a network of timm; empty for Dorsal's own, whose pyramid follows from `network`.
    - `start`: the weights that it begins from, None for random ones. `recipe`: the name of the only recipe that it is
      trained by; "" where it is trained by all that are crossed with the arms.
    """

    label: str
    text: str
    network: AnyNetwork
    network_hash: str
    cost: Cost
    space: str = ""
    row: int = 0
    changes: str = ""
    differences: dict[str, tuple[str, str]] = {}
    forward: Latency | None = None
    train_step: Latency | None = None
    trunk_forward: Latency | None = None
    whole: WholeCost | None = None
    features: tuple[Feature, ...] = ()
    start: Start | None = None
    recipe: str = ""


class PlannedRun(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A run of a study: the key that the store knows it by, and the names of what it combines."""

    key: str
    arm: str
    recipe: str
    seed: int


def tuned_name(recipe: str) -> str:
    """The name that the tuned runs of a recipe are under."""
    return f"{recipe}, tuned"


class Try(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One setting of an arm's recipe that was tried, or, without a `status`, not tried.

    - `fields`: the values of the fields that were varied.
    - `score`: in percent, on images held out from the training images; None unless finished.
    """

    fields: dict[str, float]
    status: Status | None = None
    score: float | None = None


class Tuned(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What was chosen for an arm in place of the setting of a recipe.

    - `recipe`: the name of the recipe.
    - `tries`: the settings, that of the recipe first. `ranges`: from where to where each field was varied.
    - `chosen`: the place of the best in `tries`; None where none finished, so that the recipe's own is kept, and where
      nothing was chosen.
    - `averaged`: nothing was chosen, and the runs take the settings in turn: held-out images are too few to choose by.
    """

    arm: str
    recipe: str
    tries: tuple[Try, ...]
    ranges: dict[str, tuple[float, float]]
    chosen: int | None
    averaged: bool

    @property
    def tuned(self) -> str:
        """The name of the recipe that the runs with what was chosen are under."""
        return tuned_name(self.recipe)

    def setting(self, place: int) -> dict[str, float]:
        """The values that the run with this place among the seeds, from 0, takes."""
        return self.tries[place % len(self.tries) if self.averaged else self.chosen or 0].fields


class Trial(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="trial"):
    """What came of the training run with this key.

    - `score`: the last epoch's, in percent; None unless finished. `scores`: other scores of the last epoch by name.
    - `predictions`: sha256 of the file of what it said of each validation image, see `jobs.kept`; "" unless finished.
    - `choice`: what a probe chose. A probe has no epochs and no `curve`.
    """

    key: str
    status: Status
    score: float | None
    curve: tuple[Epoch, ...]
    seconds: float
    error: str = ""
    scores: dict[str, float] = {}
    predictions: str = ""
    choice: PenaltyChoice | None = None


class Visit(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="visit"):
    """What came of the measurement with this key: the median of a few calls, None where they failed with `error`.

    `seconds` is what all of the visit took.
    """

    key: str
    milliseconds: float | None
    error: str = ""
    seconds: float = 0.0


class ModelScore(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="model_score", kw_only=True):
    """What came of scoring the model with this key.

    - `score`, `scores`: in percent, as in `Trial`; None and empty where it failed with `error`.
    - `loss`: mean over `images` images. `per_class`: the score of each class of the model, None where it has no images.
    - `predictions`: sha256 of the file of what it said of each image, see `jobs.kept`.
    """

    key: str
    score: float | None
    scores: dict[str, float] = {}
    loss: float | None = None
    images: int = 0
    per_class: tuple[float | None, ...] = ()
    seconds: float
    error: str = ""
    predictions: str = ""


Outcome = Trial | Visit | ModelScore
"""What came of a job; every kind of job has its own."""


class Machine(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where it ran. `accelerator` is the name of the GPU, "" on the CPU, and where there is no name."""

    processor: str
    cores: int
    memory_gib: float
    system: str
    device: str
    workers: int
    threads: int
    accelerator: str = ""


class Study(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Networks trained under recipes and seeds: all that tables and pages show, and what it takes to run it again.

    - `kind`: the question that was asked. `name`: title, and name in the storage. `command`: asks the same again.
    - `task`: what the networks are trained to do, which decides what the score is.
    - `created`: when, ISO 8601, UTC. `machine`, `versions`: where and with what it ran last.
    - `arms`, `recipes` (by the name that tables use), `seeds`, `data`: what was combined.
    - `runs`: all planned runs, in the order in which they are made. `trials`: what came of those that have ended.
    - `notes`: sentences on the data. `remarks`: what else a reader should know.
    - `tuning`: what was chosen for arms whose recipe was tuned. The recipe of their tuned runs, in `recipes`, has the
      setting that it had before.
    - `most_seeds`: how many seeds there may be, where they are added until the arms are decided; else None.
    - `margin`: the points of the score within which arms count as practically equal.
    """

    kind: Kind
    name: str
    command: str
    created: str
    arms: tuple[Arm, ...]
    recipes: dict[str, AnyRecipe]
    seeds: tuple[int, ...]
    data: DataSummary
    machine: Machine
    versions: dict[str, str]
    runs: tuple[PlannedRun, ...]
    trials: tuple[Trial, ...] = ()
    notes: tuple[str, ...] = ()
    remarks: tuple[StudyRemark, ...] = ()
    task: AnyTask = Classify()
    tuning: tuple[Tuned, ...] = ()
    margin: float = MARGIN
    most_seeds: int | None = None
    schema: int = STUDY_SCHEMA

    def ended(self) -> Mapping[tuple[str, str, int], Trial]:
        """What came of the runs that have ended, by arm, recipe and seed, in the order of `runs`.

        Raises ValueError for a trial of a run that is not planned, and for two trials of one run.
        """
        planned, trials = {run.key for run in self.runs}, dict[str, Trial]()
        for trial in self.trials:
            if trial.key not in planned:
                raise ValueError(f"trials: {trial.key} is of no planned run; valid: the keys of the study's runs")
            if trial.key in trials:
                raise ValueError(f"trials: {trial.key} is recorded twice; each run has at most one trial")
            trials[trial.key] = trial
        return {(run.arm, run.recipe, run.seed): trials[run.key] for run in self.runs if run.key in trials}

    def _repr_html_(self) -> str:
        scores: dict[tuple[str, str], list[float]] = {}
        for (arm, recipe, _), trial in self.ended().items():
            if trial.score is not None:
                scores.setdefault((arm, recipe), []).append(trial.score)
        rows = [
            (
                arm.label,
                f"{arm.cost.params:,}",
                f"{arm.cost.macs:,}",
                *(_mean_of(scores.get((arm.label, recipe), []), len(self.seeds)) for recipe in self.recipes),
            )
            for arm in self.arms
        ]
        done = f"{len(self.trials):,} of {len(self.runs):,} runs have ended"
        title = f"{self.name}: {self.kind} on {self.data.description}; {done}; mean score in percent by recipe"
        return html_table(title, ("network", "params", "MACs", *self.recipes), rows)


def _mean_of(scores: Sequence[float], seeds: int) -> str:
    """The mean of the finished runs, with how many these are of how many seeds where some are missing."""
    if not scores:
        return "–"
    some = "" if len(scores) == seeds else f" ({len(scores)} of {seeds} seeds)"
    return f"{sum(scores) / len(scores):.2f}{some}"
