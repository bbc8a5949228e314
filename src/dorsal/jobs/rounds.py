"""The rounds of a choice as jobs: candidates are probed on some training images, and scored on others. Imports torch.

The features of an image are computed once: each round adds those of its new images to what earlier rounds kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dorsal.data.annotated import AnnotatedData
from dorsal.data.colors import color_histograms
from dorsal.data.dataset import EvaluationBatches, ImageData, Split
from dorsal.data.growing import added, class_ranks, ranks
from dorsal.data.sampling import seed_of
from dorsal.jobs.engine import Message, Predictions
from dorsal.jobs.evaluate import model_score
from dorsal.jobs.events import Note
from dorsal.jobs.inputs import data_of, starting_weights
from dorsal.jobs.kept import pack, read_predictions
from dorsal.jobs.plan import Portion, ProbeRound, Run, describe_error
from dorsal.jobs.records import ModelScore
from dorsal.jobs.resources import Resources
from dorsal.recipes.epoch import Step
from dorsal.recipes.probe import Probe, check_images
from dorsal.recipes.recipe import Recipe
from dorsal.spec.timm import hash_of
from dorsal.stats import Ratios
from dorsal.tasks.classify.score import ClassifyScorer
from dorsal.tasks.contributions import LARGE, accuracy_contributions
from dorsal.tasks.model import make_model
from dorsal.train.features import feature_key, kept_features
from dorsal.train.probe import answer

_FIRST_EACH, _GROWTH = 40, 4
_DRAWS = 4
_FEWEST_HELD = 500
_SEED = 0
_BATCH = 64


def portions_of(run: Run) -> tuple[Portion, ...]:
    """What each round looks at: 40 images of each class in four draws, then 4 times as many, and all in the end.

    The last round has one draw: all images are what there is to learn from, while few of them might favor a candidate
    by chance. Where a class has fewer than four images there are as many draws as it has. A round is scored on as many
    held-out images as it learns from, and on 500 at least, as far as there are so many.

    Raises ValueError where a class has no image to learn from.
    """
    data = data_of(run)
    assert not isinstance(data, AnnotatedData)
    of_class = np.bincount(data.train.labels, minlength=len(data.classes))
    check_images(Probe(), of_class.tolist(), data.classes)
    most = int(of_class.max())
    each, step = list[int](), _FIRST_EACH
    while 2 * step <= most:
        each.append(step)
        step *= _GROWTH
    each.append(most)
    learnt = [int(np.minimum(of_class, count).sum()) for count in each]
    draws, held = min(_DRAWS, int(of_class.min())), len(data.val)
    *first, last = zip(each, learnt, strict=True)
    return (
        *(Portion(count, images, min(max(images, _FEWEST_HELD), held), draws) for count, images in first),
        Portion(*last, held),
    )


def probe_round(job: ProbeRound, tell: Callable[[Message], None], *, folder: Path, place: Resources) -> ModelScore:
    """Probes a candidate with each draw, and tells what it said of each held-out image, draw by draw. An error that is
    raised becomes the outcome's."""
    torch.set_num_threads(place.threads)
    began = time.monotonic()
    try:
        data = data_of(job.run)
        assert not isinstance(data, AnnotatedData)
        learnt = added(data.train, class_ranks(data.train.labels, _SEED), [size.each for size in job.portions])
        held = added(data.val, ranks(len(data.val), _SEED), [size.held for size in job.portions])
        features = _Features(job, data, folder / "features", place.device, tell)
        known, asked = features.of(learnt, "learnt"), features.of(held, "held")
        labels, truth = (
            torch.from_numpy(np.concatenate([part.labels for part in side.values()])) for side in (learnt, held)
        )
        draws = job.portions[-1].draws
        draw_of = torch.from_numpy(class_ranks(labels.numpy(), _SEED) % draws)
        scorer = ClassifyScorer(len(data.classes))
        for draw in range(draws):
            drawn = draw_of == draw
            logits, _ = answer(Probe(), known[drawn], labels[drawn], len(data.classes), asked, _SEED)
            scorer.add(range(draw * len(truth), (draw + 1) * len(truth)), logits, truth)
        groups = [part.groups for part in held.values() if part.groups is not None]
        found, content = scorer.score(), pack(scorer.evidence(), np.concatenate(groups * draws) if groups else None)
    except Exception as error:
        return job.failed(describe_error(error))
    tell(Predictions(content))
    return model_score(job.key, found, content, time.monotonic() - began)


def ratios_of(outcome: ModelScore, draws: int, folder: Path) -> list[Ratios]:
    """What each held-out image contributes to the score of each draw. Raises ValueError where the folder has lost
    that."""
    said = read_predictions(folder, outcome, LARGE)
    by_draw = {name: np.split(values, draws) for name, values in said.items()}
    return [accuracy_contributions({name: parts[draw] for name, parts in by_draw.items()}) for draw in range(draws)]


class _Features:
    """The features of a candidate, those of earlier rounds from the folder."""

    def __init__(
        self, job: ProbeRound, data: ImageData, folder: Path, device: str, tell: Callable[[Message], None]
    ) -> None:
        self._job, self._data, self._folder, self._device, self._tell = job, data, folder, device, tell
        self._start = None if job.colors else starting_weights(job.run)
        self._prepared = data if self._start is None else data.prepared_as(self._start.about.preprocessing)

    def of(self, images: Mapping[str, Split], side: str) -> torch.Tensor:
        """Float32 [n, channels], of the images that each round added."""
        return torch.from_numpy(np.concatenate([self._part(part, f"{side} {name}") for name, part in images.items()]))

    def _part(self, images: Split, name: str) -> NDArray[np.float32]:
        data, prepared = self._data, self._prepared
        if self._job.colors:
            return color_histograms(images, data.channels)
        batches = EvaluationBatches(
            images, data.size, prepared.normalization, _BATCH, prepared.resize, prepared.interpolation
        )
        weights = f"random, seed {_SEED}" if self._start is None else self._start.about.sha256
        key = feature_key(weights, hash_of(self._job.run.network), f"{data.fingerprint} {name}", prepared.preprocessing)
        return kept_features(
            self._folder,
            key,
            self._make,
            lambda: batches,
            device=torch.device(self._device),
            on_batch=lambda number: self._tell(Step(1, number, len(batches))),
            on_note=lambda text: self._tell(Note(f"{self._job.name}: {text}")),
        )[None]

    def _make(self) -> nn.Module:
        torch.manual_seed(seed_of(_SEED))
        return make_model(self._job.run.network, Recipe(), self._start)
