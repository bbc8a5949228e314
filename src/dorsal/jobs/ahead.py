"""What a plan needs to know of data, networks and weights before anything is trained. Imports torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec
import numpy as np
import torch

from dorsal.annotations.labels import Labels
from dorsal.data.sampling import resample
from dorsal.data.spec import DataSpec
from dorsal.data.split import ImageData, largest_share
from dorsal.data.summary import DataSummary, Resampling
from dorsal.data.transform import eval_crop
from dorsal.jobs.inputs import open_once
from dorsal.jobs.records import Arm
from dorsal.jobs.remarks import InputFinding
from dorsal.nn.timm import timm_cost, timm_features
from dorsal.recipes.probe import check_images
from dorsal.recipes.recipe import Recipe
from dorsal.recipes.text import AnyRecipe
from dorsal.spec.layers import features
from dorsal.spec.network import Network
from dorsal.spec.start import Start
from dorsal.spec.task import AnyTask, Classify, Semantic, at
from dorsal.spec.timm import AnyNetwork, TimmNetwork, hash_of, timm_text
from dorsal.tasks.data import AnyData
from dorsal.tasks.method import method_of
from dorsal.tasks.model import make_model
from dorsal.train.doctor.inputs import IMAGES as EXAMINED
from dorsal.train.doctor.inputs import examine_inputs, refusal
from dorsal.weights.source import tags_of
from dorsal.weights.start import StartingWeights, load_start

_LOOKED_AT = 200
"""Maps of classes that are read to say what a constant answer scores."""


def data_summary(
    spec: DataSpec,
    fingerprint: str | None = None,
    resampling: Resampling | None = None,
    task: AnyTask = Classify(),
) -> DataSummary:
    """Opens the data for a task and says what a plan needs to know. What the task leaves open is filled in.

    With the `fingerprint` of data that were opened before, a folder is not looked at again. `resampling` is how each
    seed draws its own images. Raises ValueError for data that are unknown or unsound, and as `resample` does.
    """
    open_once.cache_clear()  # a folder may have changed since an earlier call
    data = open_once(spec, fingerprint, task)
    if resampling is not None:
        resample(data, resampling, seed=1)
    return DataSummary(
        spec=spec,
        classes=data.classes,
        mean=data.normalization.mean,
        std=data.normalization.std,
        fingerprint=data.fingerprint,
        train_images=len(data.train),
        val_images=len(data.val),
        constant=_constant(data, task),
        notes=(data.summary, *data.notes),
        resample=resampling,
        task=at(task, data.size),
    )


def _constant(data: AnyData, task: AnyTask) -> float:
    """The score in percent of saying the same of every validation image: of the class, or of all pixels the class, that
    is there most. 0 where objects are looked for. Of a large set, the pixels of `_LOOKED_AT` images are counted."""
    if isinstance(data, ImageData):
        return largest_share(data.val.labels)
    if not isinstance(task, Semantic):
        return 0.0
    pixels = np.zeros(len(data.classes), np.int64)
    for index in np.unique(np.linspace(0, len(data.val) - 1, min(_LOOKED_AT, len(data.val))).astype(np.int64)).tolist():
        classes = data.val.annotation(index).semantic
        assert classes is not None
        pixels += np.bincount(classes.ravel(), minlength=np.iinfo(classes.dtype).max + 1)[: len(pixels)]
    return 100 * float(pixels.max()) / float(pixels.sum()) / int((pixels > 0).sum()) if pixels.any() else 0.0


def summaries_at_sizes(data: DataSummary) -> Callable[[int], DataSummary]:
    """The same data seen at a size in pixels; each size is opened once.

    Raises ValueError for a size that they cannot be seen at.
    """
    known = {data.image_size: data}

    def at(size: int) -> DataSummary:
        if size not in known:
            spec = msgspec.structs.replace(data.spec, size=size)
            known[size] = data_summary(spec, data.fingerprint, task=data.task)
        return known[size]

    return at


def check_models(networks: Mapping[str, AnyNetwork], data: DataSummary) -> None:
    """Raises ValueError where the task cannot be built on one of the networks, by name, as `check_model` does.

    Of networks whose maps have the same strides one is looked at: a design space may have hundreds of them.
    """
    if isinstance(data.task, Classify):
        return
    labels = open_once(data.spec, data.fingerprint, data.task).labels
    seen = set[object]()
    for name, network in networks.items():
        form = tuple(level.stride for level in features(network)) if isinstance(network, Network) else network
        if form in seen:
            continue
        seen.add(form)
        try:
            check_model(network, data.task, labels)
        except ValueError as error:
            raise ValueError(f"network {name!r}: {error}") from None


def check_model(network: AnyNetwork, task: AnyTask, labels: Labels) -> None:
    """Raises ValueError where the task cannot be built on the network, such as one whose strides do not double.
    Classification can be on any."""
    if not isinstance(task, Classify):
        with torch.device("meta"):
            method_of(task, labels).build(network, Recipe(), None)


def timm_arms(
    networks: Iterable[TimmNetwork], recipes: Mapping[str, Recipe], image_size: int
) -> dict[TimmNetwork, Arm]:
    """The networks of timm as arms, with their costs and pyramids, if they can be trained by these recipes.

    Raises ValueError for a name that timm does not know, images that do not suit the network, or a recipe that asks for
    something the network has no use for; ModuleNotFoundError without timm.
    """
    arms = {}
    for network in networks:
        arms[network] = Arm(
            label=network.full_name,
            text=timm_text(network),
            network=network,
            network_hash=hash_of(network),
            cost=timm_cost(network, image_size),
            features=timm_features(network),
        )
        for name, asked in recipes.items():
            try:
                with torch.device("meta"):
                    make_model(network, asked)
            except ValueError as error:
                raise ValueError(f"recipe {name}: {error}") from None
    return arms


def check_probes(recipes: Iterable[AnyRecipe], data: DataSummary) -> None:
    """Raises ValueError where a probe among these has too few training images to learn the classes from."""
    opened = open_once(data.spec, data.fingerprint, data.task)
    if not isinstance(opened, ImageData):
        return  # there is no probe among them; see `jobs.plan`
    images = np.bincount(opened.train.labels, minlength=len(opened.classes)).tolist()
    for recipe in recipes:
        if not isinstance(recipe, Recipe):
            check_images(recipe, images, opened.classes)


def find_start(weights: str, network: AnyNetwork) -> Start:
    """What is known of the weights that a network is to begin from, fetched where they are published.

    Raises ValueError where there are none of this name, they cannot be had, or they are of another network.
    """
    return load_start(weights, network).about


def examine_start(arm: Arm, data: DataSummary, accept: bool) -> tuple[InputFinding, ...]:
    """What `examine_images` finds of an arm's weights. Raises ValueError as that and `find_start` do."""
    assert arm.start is not None
    opened = open_once(data.spec, data.fingerprint, data.task)
    return examine_images(arm.label, arm.network, load_start(arm.start.weights, arm.network), opened, accept)


def examine_images(
    name: str, network: AnyNetwork, start: StartingWeights, data: AnyData, accept: bool
) -> tuple[InputFinding, ...]:
    """What is not well with the training images as weights will be given them; see `train.doctor`. `name` is the arm's.

    Raises ValueError where another preparation fits the weights, unless that is accepted.
    """
    card = start.about.preprocessing
    prepared = data.prepared_as(card)
    crop = eval_crop(data.size, prepared.preprocessing.resize, prepared.preprocessing.interpolation)
    spread = np.linspace(0, len(data.train) - 1, min(EXAMINED, len(data.train))).astype(int).tolist()
    images = torch.stack([crop(data.train.image(index)) for index in spread])
    model = make_model(network, Recipe(), start)
    stated = card and card.at(data.size)
    if stated and not isinstance(data, ImageData):  # whole images are not resized to be cropped
        stated = msgspec.structs.replace(stated, resize=data.size)
    found = examine_inputs(model, images, prepared.preprocessing, card=stated)
    if (why := refusal(found)) and not accept:
        raise ValueError(f"arm {name}: {why} --accept trains it all the same.")
    return tuple(InputFinding(name, finding) for finding in found if finding.verdict != "sound")


def published_tags(network: Network) -> tuple[str, ...]:
    """Which weights of this network are published."""
    return tags_of(network)
