"""Evaluation as a job: which images a model is scored on and how they are prepared, and its score. Imports torch."""

from __future__ import annotations

import functools
import hashlib
import math
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dorsal.data.annotated import AnnotatedImages, AnnotatedSplit, ChosenAnnotated, Relabelled
from dorsal.data.dataset import (
    ChosenImages,
    EvaluationBatches,
    ImageData,
    Images,
    JoinedSplits,
    Split,
    open_annotated_images,
    open_for_scoring,
)
from dorsal.data.decode import Levels
from dorsal.data.sampling import whole
from dorsal.data.spec import DataSpec, Folder, data_spec, format_data, nearest
from dorsal.data.view import SeenBatches
from dorsal.deploy.bundle import is_bundle, other_versions, read_bundle
from dorsal.deploy.deployed import load_model, read_card
from dorsal.jobs.device import choose_device
from dorsal.jobs.engine import Message, Predictions
from dorsal.jobs.kept import pack
from dorsal.jobs.plan import Evaluate, ScoredSplit, describe_error
from dorsal.jobs.records import ModelScore
from dorsal.jobs.resources import Resources
from dorsal.jobs.trained import DRAWN_ANEW
from dorsal.language.fields import check_word, show
from dorsal.language.files import PathLike, as_path
from dorsal.language.reader import whole_number, wrong_type
from dorsal.recipes.epoch import Step
from dorsal.spec.preprocessing import IMAGENET, Preprocessing
from dorsal.spec.task import AnyTask, Classify, Detect, Kind, Semantic, any_task, at, metric_of, needs, task_text
from dorsal.tasks.data import AnyData, open_for
from dorsal.tasks.detect.detector import Detector
from dorsal.tasks.method import Method, Validation, method_of
from dorsal.tasks.score import Score, Scorer
from dorsal.tasks.semantic.method import SemanticMethod
from dorsal.train.evaluate import scored
from dorsal.weights.card import Card

_CLASSIFIED, _BATCH = 128, 8
"""Images at a time to classify, and for other tasks, whose images are large."""
_LARGEST_SCALE = 4.0
TIMED_IMAGES = 32
"""Images timed for the forecast."""


class ModelPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A model and what it is to be scored on.

    - `job`: as a worker gets it. `card`: the model's. `preprocessing`: the card's, for the image size that is asked.
    - `summary`: which images, and `images` how many. `has_training`: whether training images are among them.
    - `notes`: sentences on what is not as one might think.
    """

    job: Evaluate
    card: Card
    preprocessing: Preprocessing
    summary: str
    images: int
    has_training: bool
    notes: tuple[str, ...]


def plan_evaluation(
    model: str,
    name: str,
    data: DataSpec | PathLike,
    split: ScoredSplit | None,
    image_size: int | None,
    batch: int | None,
    scales: tuple[float, ...] = (1.0,),
    flip: bool = False,
    only: tuple[int, ...] = (),
) -> ModelPlan:
    """Reads the card of the model in folder `model`, saved or deployed, and opens the images. `name` is what it is
    called. Scenes that are given as text are those of the model's task. `only` as in `Evaluate`.

    Raises ValueError where there is no model, it has no classifier, it takes other channels than are asked for, or the
    data have a class that it has not; and as `open_for_scoring` does.
    """
    folder = as_path("model", model)
    card = read_card(folder)
    if isinstance(card.task, Classify) and not card.classes:
        raise ValueError(f"{model} has no classifier, so there is no accuracy to measure")
    if not isinstance(card.task, Semantic) and (flip or scales != (1.0,)):
        what = "flip" if flip else f"scales={show(scales)}"
        raise ValueError(f"{what} is for segmenters, and {model} is of task {task_text(card.task)}; leave it out")
    if max(scales) > _LARGEST_SCALE:
        raise ValueError(f"scales={show(scales)} go beyond {_LARGEST_SCALE:g}; nearest valid: {_LARGEST_SCALE:g}")
    data = in_channels_of(card.network.in_channels, data_spec(data, card.task))
    opened = _open(data, split, card.preprocessing.levels, needs(card.task))
    check_classes(card, opened)
    prepared = _prepared(card, image_size)
    parts: list[Any] = [card.sha256, card.network_hash, card.classes, card.class_names, prepared, opened.digest]
    if flip or scales != (1.0,):
        parts.append([scales, flip])
    if only:
        parts.append(only)
    return ModelPlan(
        job=Evaluate(
            key=hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:16],
            name=name,
            model=str(folder.resolve()),
            data=data,
            split=split,
            digest=opened.digest,
            image_size=image_size,
            batch=batch or (_CLASSIFIED if isinstance(card.task, Classify) else _BATCH),
            scales=scales,
            flip=flip,
            only=only,
        ),
        card=card,
        preprocessing=prepared,
        summary=opened.summary,
        images=len(only or opened.images),
        has_training=opened.has_training,
        notes=(
            *opened.notes,
            *_notes(card.preprocessing, image_size, data),
            *_data_notes(opened, card),
            *_deployed_notes(folder),
        ),
    )


def evaluate(
    model: nn.Module | PathLike,
    split: Split | ScoredSplit | None = None,
    data: AnyData | DataSpec | PathLike = "scenes",
    device: str | torch.device = "auto",
    batch: int | None = None,
    task: AnyTask | str | None = None,
) -> Score:
    """The score of a model on images of `data`: "train", "val" or "all", or for a module any split of its own.

    Without `split` that is val; a saved model is scored on all images where the data have no splits. Images are
    prepared for a module as the data say, and for the folder of a saved model as its card says, as `dorsal evaluate`
    does. A module is moved to `device`, and its training mode is kept; `task` is what it does, by default to classify,
    and a saved model knows its own. `batch` is the number of images at a time: 128 to classify, else 8.

    Raises ValueError as `open_data`, `load_model` and `choose_device` do, and where the data have a class that the
    saved model has not, a saved model is of another task, or a module does not say what its task has it say.
    """
    if batch is not None and whole_number("batch", batch) < 1:
        raise ValueError(f"batch={batch} is below 1; nearest valid: 1")
    if isinstance(split, str):
        check_word("split", split, get_args(ScoredSplit))
    device = torch.device(choose_device(device) if isinstance(device, str) else device)
    if isinstance(model, (str, os.PathLike)):
        if not (split is None or isinstance(split, str)):
            raise wrong_type("split", split, "val, train, all or None for a saved model: evaluate(folder, 'val', data)")
        if isinstance(data, AnyData):
            raise wrong_type("data", data, "a text, a path or a record for a saved model, which prepares images itself")
        forget_images()
        own = read_card(as_path("model", model)).task
        if task is not None and type(any_task(task)) is not type(own):
            raise ValueError(f"task={task_text(any_task(task))}: {model} is of task {task_text(own)}; leave it out")
        plan = plan_evaluation(os.fspath(model), os.fspath(model), data, split, None, batch)
        return score_model(plan.job, str(device)).score()
    if not isinstance(model, nn.Module):
        raise wrong_type("model", model, "a torch module, or the folder of a saved model")
    task = Classify() if task is None else any_task(task)
    if isinstance(model, Detector) is not isinstance(task, Detect):
        what = "is a detector" if isinstance(model, Detector) else "is no detector, see dorsal.task_model"
        raise ValueError(f"task={task_text(task)}: the module {what}")
    opened = open_for(task, data)
    task = at(task, opened.size)
    split = "val" if split is None else split
    if split == "all":
        images: Any = whole(opened)
    else:
        images = {"train": opened.train, "val": opened.val}[split] if isinstance(split, str) else split
    batches: Validation
    if isinstance(opened, ImageData):
        batches = EvaluationBatches(images, opened.size, opened.normalization, batch or _CLASSIFIED)
    else:
        batches = SeenBatches(images, opened.size, opened.normalization, batch or _BATCH)
    return scored(method_of(task, opened.labels), model.to(device), batches, device).score()


def training_images(plan: ModelPlan) -> tuple[int, str] | None:
    """How many training images the data of a plan have, and their digest; None where they have no splits."""
    try:
        opened = _open(plan.job.data, "train", plan.preprocessing.levels, needs(plan.card.task))
    except ValueError:
        return None
    return len(opened.images), opened.digest


def forget_images() -> None:
    """The next plan looks at its images again: a folder may have changed."""
    _open.cache_clear()


def score_model(job: Evaluate, device: str, tell: Callable[[Message], None] = lambda _: None) -> Scorer:
    """Scores a model in this process.

    Raises ValueError where images or model are not those of the plan, and where the loss is not finite.
    """
    scorer, _ = _score(job, device, tell)
    return scorer


def _score(job: Evaluate, device: str, tell: Callable[[Message], None]) -> tuple[Scorer, Split | AnnotatedSplit]:
    """The score, and the images that it is on."""
    model, card = load_model(job.model, torch.get_num_threads())
    images = _images(job, card)
    batches, method = _batches(images, card, job.image_size, job.batch), _method(card, job)
    scorer = scored(
        method,
        model.to(device),
        batches,
        torch.device(device),
        on_batch=lambda number: tell(Step(1, number, len(batches))),
    )
    loss = scorer.score().loss
    if loss is not None and not math.isfinite(loss):
        raise ValueError(f"{job.name}: the loss on these images is {loss}, so its outputs mean nothing")
    return scorer, images


def evaluate_job(job: Evaluate, tell: Callable[[Message], None], *, place: Resources) -> ModelScore:
    """Scores a model, and tells what it said of each image. An error that is raised becomes the outcome's."""
    torch.set_num_threads(place.threads)
    began = time.monotonic()
    try:
        scorer, images = _score(job, place.device, tell)
        found, content = scorer.score(), pack(scorer.evidence(), images.groups)
    except Exception as error:
        return job.failed(describe_error(error))
    tell(Predictions(content))
    return model_score(job.key, found, content, time.monotonic() - began)


def model_score(key: str, found: Score, content: bytes, seconds: float) -> ModelScore:
    """What came of a job, with the fingerprint of its predictions, which are `content`."""
    return ModelScore(
        key=key,
        score=found.score,
        scores=found.scores,
        loss=found.loss,
        images=found.images,
        per_class=found.per_class,
        seconds=seconds,
        predictions=hashlib.sha256(content).hexdigest(),
    )


def time_evaluation(job: Evaluate, *, place: Resources) -> float | str:
    """Seconds that the job takes, from a few of its images after a first batch; what is raised where that cannot be."""
    torch.set_num_threads(place.threads)
    try:
        model, card = load_model(job.model, place.threads)
        images, method = _images(job, card), _method(card, job)
        few = _some(images, card, np.arange(TIMED_IMAGES))
        device = torch.device(place.device)
        model.to(device)
        first = _some(few, card, np.arange(job.batch))
        # The first batch is slower than all that come after it.
        scored(method, model, _batches(first, card, job.image_size, job.batch), device).score()
        began = time.monotonic()
        scored(method, model, _batches(few, card, job.image_size, job.batch), device).score()
        return (time.monotonic() - began) / len(few) * len(images)
    except Exception as error:
        return describe_error(error)


def _method(card: Card, job: Evaluate) -> Method:
    """How the model is asked."""
    if isinstance(card.task, Semantic):
        return SemanticMethod(card.task, card.known, job.scales, job.flip)
    return method_of(card.task, card.known)


def _some(images: Any, card: Card, places: NDArray[np.int64]) -> Split | AnnotatedSplit:
    """The images with these places, as far as there are so many."""
    places = places[places < len(images)]
    return ChosenImages(images, places) if isinstance(card.task, Classify) else ChosenAnnotated(images, places)


@functools.lru_cache(maxsize=1)
def _open(
    data: DataSpec, split: ScoredSplit | None, levels: Levels | None, kinds: frozenset[Kind]
) -> Images | AnnotatedImages:
    """Models that see the same images open them once."""
    if kinds == needs(Classify()):
        return open_for_scoring(data, split, levels=levels)
    return open_annotated_images(data, kinds, split)


def _prepared(card: Card, image_size: int | None) -> Preprocessing:
    return card.preprocessing if image_size is None else card.preprocessing.at(image_size)


def _images(job: Evaluate, card: Card) -> Split | AnnotatedSplit:
    """The images of a job, labelled in the order of the model's classes."""
    opened = _open(job.data, job.split, card.preprocessing.levels, needs(card.task))
    if opened.digest != job.digest:
        raise ValueError(f"data {format_data(job.data)!r} changed after the evaluation was planned")
    known = _known(card, opened)
    images: Any = opened.images
    if opened.classes != known:
        labels = [known.index(name) for name in opened.classes]
        images = Relabelled(images, labels) if isinstance(opened, AnnotatedImages) else JoinedSplits([images], labels)
    return _some(images, card, np.array(job.only)) if job.only else images


def prepared_images(
    card: Card, data: DataSpec, split: ScoredSplit | None, places: NDArray[np.int64]
) -> Iterator[tuple[NDArray[Any], ...]]:
    """Images of the data, one by one, as the model takes them: float32 [1, C, H, W], and for a detector its size."""
    opened = _open(data, split, card.preprocessing.levels, needs(card.task))
    batches = _batches(_some(opened.images, card, places), card, None, 1)
    for number in range(len(batches)):
        images, seen = batches.batch(number)
        more = [np.array([each.frame.size for each in seen])] if isinstance(card.task, Detect) else []
        yield images.numpy(), *more


def _batches(images: Any, card: Card, image_size: int | None, batch: int) -> Validation:
    prepared = _prepared(card, image_size)
    if not isinstance(card.task, Classify):
        return SeenBatches(images, prepared.image_size, prepared.normalization, batch)
    return EvaluationBatches(
        images,
        prepared.image_size,
        prepared.normalization,
        batch,
        resize_to=prepared.resize,
        interpolation=prepared.interpolation,
    )


def _known(card: Card, opened: Images | AnnotatedImages) -> tuple[str, ...]:
    """The names of the model's classes in which the data name theirs."""
    if card.labels is not None:
        return card.label_names
    return card.class_names if set(opened.classes) <= set(card.class_names) else card.classes


def check_classes(card: Card, opened: Images | AnnotatedImages) -> None:
    """Raises ValueError where the data have a class that is not among the model's."""
    known = _known(card, opened)
    strange = [name for name in opened.classes if name not in known]
    if strange:
        more = ", ..." if len(strange) > 5 else ""
        raise ValueError(
            f"{len(strange)} of the data's {len(opened.classes)} classes are not among the model's {len(known)}: "
            f"{', '.join(strange[:5])}{more}{nearest(strange[0], known)}"
        )


def in_channels_of(wanted: int, data: DataSpec) -> DataSpec:
    """The data in as many channels as the model takes. Raises ValueError where they have other channels by request."""
    if data.channels not in (3, wanted):
        raise ValueError(f"channels={data.channels} of the data, but the model takes {wanted}; leave it out")
    return msgspec.structs.replace(data, channels=wanted)


def _data_notes(opened: Images | AnnotatedImages, card: Card) -> list[str]:
    """What the score does not say by itself: classes without images, and images that the model has learnt from."""
    notes = []
    known = len(_known(card, opened))
    absent = known - len(opened.classes)
    if absent:
        verb = "has" if absent == 1 else "have"
        score = metric_of(card.task).short
        notes.append(f"{absent} of the model's {known} classes {verb} no images here and no {score}")
    if opened.fingerprint and opened.fingerprint[:16] in card.origin:
        learnt = "the model was trained on a part of these images"
        if DRAWN_ANEW in card.origin:
            notes.append(f"{learnt}, drawn by its seed; its card has the score on the others")
        elif opened.has_training:
            notes.append(f"{learnt}; --split val scores those it has not seen")
    return notes


def _deployed_notes(folder: Path) -> list[str]:
    """What is to know of a deployed model on this machine."""
    note = other_versions(read_bundle(folder)) if is_bundle(folder) else ""
    return [note] if note else []


def _notes(card: Preprocessing, image_size: int | None, data: DataSpec) -> list[str]:
    """What the user asked for that is not what the weights were published or trained with."""
    notes = []
    unset = next(field.default for field in msgspec.structs.fields(data) if field.name == "size")
    if image_size not in (None, card.image_size):
        notes.append(f"--image-size {image_size} is not the model's: its card says {card.describe()}; leave it out")
    if image_size is None and data.size not in (card.image_size, unset):
        notes.append(
            f"size={data.size} of the data is not used: the card says {card.describe()}; --image-size {data.size} "
            "would set it"
        )
    differs = (card.mean, card.std) != (IMAGENET.mean, IMAGENET.std)
    if isinstance(data, Folder) and data.normalization == "imagenet" and differs:
        notes.append(f"normalization=imagenet of the data is not used: the card says {card.describe()}; leave it out")
    return notes
