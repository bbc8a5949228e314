"""Jobs before they are done: all that a worker needs, and the key that each is known by. No torch."""

from __future__ import annotations

import hashlib
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from dorsal.data.spec import DataSpec
from dorsal.data.summary import DataSummary, Resampling
from dorsal.deploy.forms import Form
from dorsal.jobs.records import Arm, ModelScore, Outcome, PlannedRun, Trial, Tuned, Visit
from dorsal.jobs.remarks import StudyRemark
from dorsal.jobs.resources import ResourceOptions
from dorsal.recipes.epoch import Epoch
from dorsal.recipes.probe import check_level
from dorsal.recipes.recipe import Recipe
from dorsal.recipes.suits import check_suits
from dorsal.recipes.text import AnyRecipe, check_start, recipe_hash
from dorsal.spec.network import Network
from dorsal.spec.start import Start
from dorsal.spec.task import AnyTask, Classify, task_name, task_text
from dorsal.spec.timm import AnyNetwork, TimmNetwork

ScoredSplit = Literal["val", "train", "all"]


class Job(Protocol):
    """Something to be done by a worker: a training run, a measurement. It is pickled on its way there."""

    @property
    def key(self) -> str:
        """What it is known by, in the store and beside it."""

    @property
    def name(self) -> str:
        """What it is called in sentences."""

    def failed(self, error: str) -> Outcome:
        """Its outcome where an error ended it."""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One training run. `key` is its name in checkpoints and store, `arm` and `recipe_name` are those of tables.

    A run refuses data that do not have the `fingerprint`, and weights that do not have the sha256 of `start`. `inner`
    is the seed by which training images are held out, to be scored on in place of the validation images; or None.
    `resample` is how the run's own seed draws its images, as in `DataSummary`. `task` is what is learnt. `show` says
    whether some validation images are kept with what the run finds in them.
    """

    key: str
    arm: str
    network: AnyNetwork
    recipe_name: str
    recipe: AnyRecipe
    seed: int
    data: DataSpec
    fingerprint: str
    start: Start | None = None
    inner: int | None = None
    resample: Resampling | None = None
    task: AnyTask = Classify()
    show: bool = False

    @property
    def planned(self) -> PlannedRun:
        """The run as a study keeps it."""
        return PlannedRun(self.key, self.arm, self.recipe_name, self.seed)

    @property
    def name(self) -> str:
        """The run in a sentence."""
        return f"{self.arm}, {self.recipe_name}, seed {self.seed}"

    def failed(self, error: str, curve: tuple[Epoch, ...] = ()) -> Trial:
        """The trial of a run that an error ended."""
        return Trial(self.key, "failed", None, curve, sum(epoch.seconds for epoch in curve), error)


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """One visit to a network: a few calls of it are timed. `name` says of what, for sentences.

    `call`: "forward", in evaluation mode without gradients, or "step", a training step by the recipe, of `batch` images
    of `image_size` pixels. `form` is the deployed form that is called, None for the module in PyTorch eager, where
    `bfloat16` is torch's autocast.
    """

    key: str
    name: str
    network: Network
    image_size: int
    call: Literal["forward", "step"]
    batch: int
    recipe: Recipe
    bfloat16: bool
    form: Form | None = None

    def failed(self, error: str) -> Visit:
        """The outcome of a visit that an error ended."""
        return Visit(self.key, None, error)


class Evaluate(msgspec.Struct, frozen=True, kw_only=True):
    """A model to be scored. `name` says which, for sentences; `model` is its folder.

    `data` have the model's channels. `split` and `image_size` are None for the data's own and the card's. The job
    refuses images that do not have the `digest`. Of a segmenter, probabilities are averaged over `scales` of the images
    and, with `flip`, over their mirror images. `only` are the places of the images to score, empty for all.
    """

    key: str
    name: str
    model: str
    data: DataSpec
    split: ScoredSplit | None
    digest: str
    image_size: int | None
    batch: int
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    only: tuple[int, ...] = ()

    def failed(self, error: str) -> ModelScore:
        """The outcome of a job that an error ended."""
        return ModelScore(key=self.key, score=None, seconds=0.0, error=error)


class Portion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many training images a round of a choice looks at: `each` of every class to learn from, `learnt` in all, and
    `held` others to be scored on. A larger portion has all images of a smaller one.

    The images to learn from are shared out to so many `draws`, and a probe learns from each of them alone.
    """

    each: int
    learnt: int
    held: int
    draws: int = 1

    @property
    def of_draw(self) -> int:
        """The images of a draw; one more or less for some of them."""
        return round(self.learnt / self.draws)


class ProbeRound(msgspec.Struct, frozen=True, kw_only=True):
    """A round of a choice for one candidate: what it knows is asked by a probe, on the last of `portions`.

    Those before are of earlier rounds, whose features are kept. `run` has the network, its weights and the data. With
    `colors` the probe is given color histograms of the images instead of the network's features.
    """

    key: str
    name: str
    run: Run
    portions: tuple[Portion, ...]
    colors: bool = False

    def failed(self, error: str) -> ModelScore:
        """The outcome of a round that an error ended."""
        return ModelScore(key=self.key, score=None, seconds=0.0, error=error)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A question worked out. The order of `runs` is such that a study that is broken off is balanced. `remarks` are
    what was found while it was worked out, `tuning` what was chosen for some of the runs."""

    arms: tuple[Arm, ...]
    recipes: Mapping[str, AnyRecipe]
    seeds: tuple[int, ...]
    data: DataSummary
    runs: tuple[Run, ...]
    remarks: tuple[StudyRemark, ...] = ()
    tuning: tuple[Tuned, ...] = ()


def checkpoint_file(folder: Path, key: str) -> Path:
    """Where the study in `folder` has the checkpoint of the run with this key while it is made."""
    return folder / "checkpoints" / f"{key}.pt"


def distinct_runs(runs: Iterable[Run]) -> tuple[Run, ...]:
    """Each run once, by the first name it has: two spaces may draw one network."""
    first: dict[str, Run] = {}
    for run in runs:
        first.setdefault(run.key, run)
    return tuple(first.values())


def run_of(
    arm: Arm,
    recipe_name: str,
    recipe: AnyRecipe,
    seed: int,
    data: DataSummary,
    place: ResourceOptions,
    inner: int | None = None,
) -> Run:
    """One run of an arm, on the data as that arm sees them, made with what `place` says; `inner` as in `Run`.

    Raises ValueError where the recipe would keep random weights, or has no use for a start.
    """
    try:
        _check_arm(recipe, arm, data.task)
    except ValueError as error:
        raise ValueError(f"{arm.label} under {recipe_name}: {error}") from None
    return Run(
        key=run_key(arm, recipe, seed, data, place, inner),
        arm=arm.label,
        network=arm.network,
        recipe_name=recipe_name,
        recipe=recipe,
        seed=seed,
        data=data.spec,
        fingerprint=data.fingerprint,
        start=arm.start,
        inner=inner,
        resample=data.resample,
        task=data.task,
    )


def _check_arm(recipe: AnyRecipe, arm: Arm, task: AnyTask) -> None:
    """Raises ValueError where the recipe asks for something that the arm has not. timm is asked elsewhere."""
    network = arm.network
    levels = len(arm.features) if isinstance(network, TimmNetwork) else len(network.stages) + 1
    if not isinstance(recipe, Recipe):
        if not isinstance(task, Classify):
            raise ValueError(f"a probe answers with one class for an image; task {task_name(task)} has to be trained")
        check_level(recipe.level, levels, arm.text)
        return
    check_suits(recipe, task)
    check_start(recipe, arm.start is not None)
    if isinstance(network, TimmNetwork):
        return
    if recipe.freeze != "all" and recipe.freeze > levels:
        raise ValueError(f"freeze={recipe.freeze} is more than its {levels} levels; nearest valid: freeze=all")
    if recipe.norm != "train" and network.norm != "batch":
        raise ValueError(f"norm={recipe.norm} of the recipe is for batch norm, and the network has norm={network.norm}")


def run_key(
    arm: Arm, recipe: AnyRecipe, seed: int, data: DataSummary, place: ResourceOptions, inner: int | None = None
) -> str:
    """16 hexadecimal digits of what a run's result depends on: network, recipe, seed, data; the task, unless it is
    classification; the weights that it begins from, and how images are prepared for these; which training images are
    held out, and how seeds draw images; where there are several processes or micro-batches their number or size, for
    batch norm and mixing see the images of one alone; and the precision, unless it is float32.

    Thread count, device and library versions change a result by rounding only. They are left out, so that going on with
    another number of workers, or after an upgrade, runs nothing twice.
    """
    seen = [data.fingerprint, data.image_size, data.mean, data.std]
    parts = [arm.network_hash, recipe_hash(recipe), seed, *seen]
    if arm.start is not None:
        parts.append([arm.start.sha256, arm.start.preprocessing])
    if inner is not None:
        parts.append(f"inner {inner}")
    if not isinstance(data.task, Classify):
        parts.append(task_text(data.task))
    if data.resample is not None:
        parts.append(f"resample {data.resample}")
    if place.processes > 1:
        parts.append(place.processes)
    if place.precision != "float32":
        parts.append(place.precision)
    if isinstance(recipe, Recipe) and place.micro_batch is not None and place.micro_batch < recipe.batch:
        parts.append(f"micro-batch {place.micro_batch}")
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:16]


def describe_error(error: Exception) -> str:
    """Type, message and the last frame of an error, on one line."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{place}"
