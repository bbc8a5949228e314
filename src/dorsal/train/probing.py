"""A frozen network asked for the classes of images, instead of trained: its features, an answer, and a score."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from dorsal.data.dataset import EvaluationBatches, ImageData, Split
from dorsal.data.sampling import Draw, seed_of, whole
from dorsal.recipes.epoch import Step
from dorsal.recipes.probe import Neighbors, PenaltyChoice, Probe
from dorsal.recipes.recipe import Recipe
from dorsal.spec.timm import AnyNetwork, hash_of
from dorsal.tasks.classify.score import ClassifyScorer
from dorsal.tasks.model import make_model
from dorsal.tasks.score import Evidence, Score
from dorsal.train.features import Features, Level, feature_key, kept_features
from dorsal.train.probe import answer
from dorsal.weights.start import StartingWeights

BATCH = 64


class Probed(msgspec.Struct, frozen=True, eq=False):
    """What came of it: the score on the validation images, what was said of each, and what was chosen. `groups` are
    those of the validation images, see `Split`."""

    score: Score
    evidence: Evidence
    choice: PenaltyChoice | None
    groups: NDArray[np.int64] | None


@torch.random.fork_rng(devices=[])
def probe(
    network: AnyNetwork,
    recipe: Probe | Neighbors,
    data: ImageData,
    *,
    seed: int,
    start: StartingWeights | None,
    folder: Path,
    draw: Draw | None = None,
    device: str = "cpu",
    on_step: Callable[[Step], None] = lambda _: None,
    on_note: Callable[[str], None] = lambda _: None,
) -> Probed:
    """Asks a network for the classes of the validation images, from its features of the training images.

    With `start` it has these weights, and images are prepared as for them; without, it has random ones, which the seed
    draws. Features are kept in `folder` for other recipes and seeds; with a level, those of all levels. With `draw`
    (`data.sampling.resample`) it learns from the images that this says, and is asked for those. `on_step` is told of
    each batch whose features were computed.

    Raises ValueError where the images are too few (`recipes.probe.check_images`), the network lacks the level, or its
    features are not finite; OSError when these cannot be written.
    """
    prepared = data if start is None else data.prepared_as(start.about.preprocessing)

    def make() -> torch.nn.Module:
        torch.manual_seed(seed_of(seed))
        return make_model(network, Recipe(), start)

    weights = f"random, seed {seed}" if start is None else start.about.sha256
    levels: tuple[Level, ...] = (None,)
    if recipe.level is not None:
        with torch.device("meta"):
            levels = (None, *range(len(make_model(network, Recipe()).info)))

    def features(split: Split, name: str) -> Features:
        batches = EvaluationBatches(
            split, data.size, prepared.normalization, BATCH, prepared.resize, prepared.interpolation
        )
        key = feature_key(weights, hash_of(network), f"{data.fingerprint} {name}", prepared.preprocessing)
        found = kept_features(
            folder,
            key,
            make,
            lambda: batches,
            levels,
            torch.device(device),
            lambda number: on_step(Step(1, number, len(batches))),
            on_note,
        )
        return found[recipe.level]

    seen = [features(data.train, "train"), features(data.val, "val")]
    labels, groups = [data.train.labels, data.val.labels], data.val.groups
    if draw is not None:
        images, joined = whole(data), np.concatenate(seen)
        seen, labels = [joined[places] for places in draw], [images.labels[places] for places in draw]
        groups = None if images.groups is None else images.groups[draw.held]
    (learnt, asked), (known, truth) = map(torch.from_numpy, seen), map(torch.from_numpy, labels)
    logits, choice = answer(recipe, learnt, known, len(data.classes), asked, seed)
    scorer = ClassifyScorer(len(data.classes))
    scorer.add(range(len(truth)), logits, truth)
    return Probed(scorer.score(), scorer.evidence(), choice, groups)
