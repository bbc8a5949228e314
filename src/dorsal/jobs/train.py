"""Training as a job: what a plan needs to know of data and networks, one run, and its timing. Imports torch."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import math
import statistics
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from dorsal.annotations.annotation import Annotation
from dorsal.annotations.labels import Labels
from dorsal.data.annotated import AnnotatedData, ChosenAnnotated
from dorsal.data.geometry import map_image, resized
from dorsal.data.sampling import inner_data, resample, resampled_data
from dorsal.data.spec import DataSpec, format_data
from dorsal.data.split import ImageData, largest_share
from dorsal.data.summary import DataSummary, Resampling
from dorsal.data.transform import eval_crop
from dorsal.data.view import SeenBatches
from dorsal.jobs.engine import Message, Predictions
from dorsal.jobs.events import Note
from dorsal.jobs.forecast import RunTiming
from dorsal.jobs.kept import model_folder, pack
from dorsal.jobs.plan import Run, checkpoint_file
from dorsal.jobs.records import Arm, Latency, Trial, WholeCost
from dorsal.jobs.remarks import InputFinding
from dorsal.jobs.resources import Resources
from dorsal.jobs.shown import IMAGES, LONGEST, Shown, pack_shown
from dorsal.jobs.trained import DRAWN_ANEW, save_trained, trained_card
from dorsal.nn.timm import timm_cost, timm_features
from dorsal.recipes.epoch import Epoch, Step
from dorsal.recipes.probe import INNER_SHARE, Neighbors, Probe, check_images
from dorsal.recipes.recipe import Recipe
from dorsal.recipes.text import AnyRecipe
from dorsal.spec.layers import features
from dorsal.spec.network import Network
from dorsal.spec.start import Start
from dorsal.spec.task import AnyTask, Classify, Semantic, at
from dorsal.spec.timm import AnyNetwork, TimmNetwork, hash_of, timm_text
from dorsal.tasks.data import AnyData, open_for
from dorsal.tasks.method import method_of
from dorsal.tasks.model import make_model
from dorsal.tasks.trunk import OnTrunk
from dorsal.train.doctor.inputs import IMAGES as EXAMINED
from dorsal.train.doctor.inputs import examine_inputs, refusal
from dorsal.train.loop import fit
from dorsal.train.probing import probe
from dorsal.train.timing import time_forward, time_step, timed
from dorsal.weights.source import tags_of
from dorsal.weights.start import StartingWeights, load_start

_WARMUPS, _REPEATS, _SECONDS = 2, 30, 2.0
"""Warm-up calls, timed calls at most, and seconds at most; at least one call is timed."""
_EVALUATION_BATCH = 64
_STEP_IN_FORWARDS = 3
"""A training step takes about so many times as long as a forward pass of its images: the backward pass is two more."""
_LOOKED_AT = 200
"""Maps of classes that are read to say what a constant answer scores."""


def choose_device(device: str) -> str:
    """The device to use where this one is asked for: "auto" is cuda where that is there, else mps, else cpu.

    Raises ValueError for a device that is not there.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    valid = [name for name, available in there.items() if available]
    if device == "auto":
        return valid[0]
    if device not in valid:
        raise ValueError(f"device={device!r} is not there; valid: auto, {', '.join(valid)}")
    return device


def with_device(place: Resources) -> Resources:
    """The same place with the device that runs will use. On a cluster "auto" is cuda where runs have GPUs, else cpu.

    Raises ValueError for a device that is not there. Those of a cluster are checked on its nodes.
    """
    if place.ray is None:
        return msgspec.structs.replace(place, device=choose_device(place.device))
    on_nodes = "cuda" if place.gpus else "cpu"
    return msgspec.structs.replace(place, device=on_nodes if place.device == "auto" else place.device)


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
    _open.cache_clear()  # a folder may have changed since an earlier call
    data = _open(spec, fingerprint, task)
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
    labels = _open(data.spec, data.fingerprint, data.task).labels
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
    opened = _open(data.spec, data.fingerprint, data.task)
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
    opened = _open(data.spec, data.fingerprint, data.task)
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
    found = examine_inputs(model, images, prepared.preprocessing, card=card and card.at(data.size))
    if (why := refusal(found)) and not accept:
        raise ValueError(f"arm {name}: {why} --accept trains it all the same.")
    return tuple(InputFinding(name, finding) for finding in found if finding.verdict != "sound")


def published_tags(network: Network) -> tuple[str, ...]:
    """Which weights of this network are published."""
    return tags_of(network)


def run_trial(run: Run, tell: Callable[[Message], None], *, folder: Path, place: Resources, keep_models: bool) -> Trial:
    """Makes one run, going on from its checkpoint if the study in `folder` has one. Its model is kept there if wanted.

    Whatever is raised, out-of-memory included, makes a trial of status "failed" with type, message and place.
    """
    torch.set_num_threads(place.threads)
    if not isinstance(run.recipe, Recipe):
        return _probe_trial(run, run.recipe, tell, folder, place)
    curve: list[Epoch] = []

    def on_epoch(epoch: Epoch) -> None:
        curve.append(epoch)
        tell(epoch)

    try:
        data, start = data_of(run), starting_weights(run)
        result = fit(
            run.network,
            run.recipe,
            data,
            seed=run.seed,
            device=place.device,
            precision=place.precision,
            micro_batch=place.micro_batch,
            loader_processes=place.loader_processes,
            checkpoint=checkpoint_file(folder, run.key),
            on_step=tell,
            on_epoch=on_epoch,
            start=start,
            task=run.task,
        )
        if keep_models and result.score is not None and isinstance(run.network, Network):
            card = trained_card(run.network, data, _origin(run), run.recipe, run.start, run.task)
            save_trained(model_folder(folder, run.key), result.model, card, result.score.score)
    except Exception as error:
        return run.failed(describe_error(error), tuple(curve))
    for note in result.notes:
        tell(Note(f"{run.name}: {note}"))
    seconds = sum(epoch.seconds for epoch in result.curve)
    if result.score is None or result.evidence is None:
        return Trial(run.key, "diverged", None, result.curve, seconds, result.error)
    content = pack(result.evidence, data.val.groups)
    tell(Predictions(content, _shown(run, result.model, data, place) if run.show else b""))
    digest = hashlib.sha256(content).hexdigest()
    return Trial(run.key, "finished", result.score.score, result.curve, seconds, "", result.score.scores, digest)


def _shown(run: Run, model: nn.Module, data: AnyData, place: Resources) -> bytes:
    """Some validation images with what the model finds in them; none in a classification."""
    if isinstance(data, ImageData):
        return b""
    places = np.unique(np.linspace(0, len(data.val) - 1, min(IMAGES, len(data.val))).astype(np.int64))
    method, chosen = method_of(run.task, data.labels), ChosenAnnotated(data.val, places)
    batches, device = SeenBatches(chosen, data.size, data.normalization, 1), torch.device(place.device)
    found = {}
    with torch.inference_mode():
        for number, (images, seen) in enumerate(batches):
            (said,) = method.predict(model.eval(), images.to(device), seen)
            (at,) = batches.indices(number)
            found[at] = Shown(
                name=f"validation image {places[at] + 1:,}",
                thumbnail=_thumbnail(chosen.image(at)),
                truth=_asked(seen[0].truth, run.task),
                found=said,
            )
    return pack_shown([found[at] for at in sorted(found)])


def _asked(truth: Annotation, task: AnyTask) -> Annotation:
    """Of what is known of an image, what the task asks for."""
    if isinstance(task, Semantic):
        return msgspec.structs.replace(truth, objects=None, label=None)
    return msgspec.structs.replace(truth, semantic=None, label=None)


def _thumbnail(image: torch.Tensor) -> NDArray[np.uint8]:
    """Uint8 [h, w, C] with a longest side of LONGEST pixels at most."""
    height, width = image.shape[-2:]
    share = min(LONGEST / max(height, width), 1.0)
    size = (max(round(share * height), 1), max(round(share * width), 1))
    small = map_image(image, resized((height, width), size), size)
    return np.ascontiguousarray(small.permute(1, 2, 0).numpy())


def _origin(run: Run) -> str:
    """How the model of a run comes to be."""
    drawn = "" if run.resample is None else f", {DRAWN_ANEW}"
    return f"run {run.key} of a study: {run.name}, data {run.fingerprint[:16]}{drawn}"


def data_of(run: Run) -> AnyData:
    """The images of a run. Raises ValueError where they are not those of the plan."""
    data = _whole_data(run)
    if run.resample is not None:
        return resampled_data(data, run.resample, run.seed)
    return data if run.inner is None else inner_data(data, INNER_SHARE, run.inner)


def _whole_data(run: Run) -> AnyData:
    """The data that the images of a run are from. Raises ValueError where they are not those of the plan."""
    data = _open(run.data, run.fingerprint, run.task)
    if data.fingerprint != run.fingerprint:
        raise ValueError(f"data {format_data(run.data)!r} changed after the study was planned")
    return data


def _probe_trial(
    run: Run, recipe: Probe | Neighbors, tell: Callable[[Message], None], folder: Path, place: Resources
) -> Trial:
    """As `run_trial`, of a run that asks a frozen network. Its features are kept for other runs of the study."""
    began = time.monotonic()
    try:
        whole = _whole_data(run)
        assert isinstance(whole, ImageData)
        found = probe(
            run.network,
            recipe,
            whole,
            draw=None if run.resample is None else resample(whole, run.resample, run.seed),
            seed=run.seed,
            start=starting_weights(run),
            folder=folder / "features",
            device=place.device,
            on_step=tell,
            on_note=lambda text: tell(Note(f"{run.name}: {text}")),
        )
        content = pack(found.evidence, found.groups)
    except Exception as error:
        return run.failed(describe_error(error))
    tell(Predictions(content))
    return Trial(
        key=run.key,
        status="finished",
        score=found.score.score,
        curve=(),
        seconds=time.monotonic() - began,
        scores=found.score.scores,
        predictions=hashlib.sha256(content).hexdigest(),
        choice=found.choice,
    )


def time_run(run: Run, *, place: Resources) -> RunTiming | str:
    """Measures the run's network and recipe on this machine; what is raised where that cannot be.

    Training steps are timed in the loop itself, so that loading and augmenting images are in them.
    """
    torch.set_num_threads(place.threads)
    device = place.device
    try:
        data, start = data_of(run), starting_weights(run)
        if not isinstance(data, ImageData):
            assert isinstance(run.recipe, Recipe)
            return _time_task(run, run.recipe, data, start, place)
        made = run.recipe if isinstance(run.recipe, Recipe) else Recipe()
        model = make_model(run.network, made, start).to(device).eval()
        with torch.autocast(device, torch.bfloat16, enabled=place.precision == "bf16"):
            forward = _forward_seconds(model, 1, data, device)
            evaluation = _forward_seconds(model, _EVALUATION_BATCH, data, device)
        if not isinstance(run.recipe, Recipe):
            batches = math.ceil((len(data.train) + len(data.val)) / _EVALUATION_BATCH)
            return RunTiming(_latency(forward, 1, place), None, batches * statistics.mean(evaluation))
        steps = _step_seconds(run, made, data, place, start) or [
            time_step(run.network, made, data.size, device=device, start=start)
        ]
    except Exception as error:
        return describe_error(error)
    evaluations = math.ceil(len(data.val) / _EVALUATION_BATCH)
    epoch = math.ceil(len(data.train) / made.batch) * statistics.mean(steps) + evaluations * statistics.mean(evaluation)
    return RunTiming(
        forward=_latency(forward, 1, place),
        train_step=_latency(steps, made.batch, place),
        epoch_seconds=epoch,
    )


def _time_task(
    run: Run, recipe: Recipe, data: AnnotatedData, start: StartingWeights | None, place: Resources
) -> RunTiming:
    """As `time_run`, of a task that adds heads to the network. The time of a call of the whole model is told of one
    validation image, the first; that of the trunk of an image of that size. Where an epoch has too few steps for one to
    be timed, the epoch is guessed from these calls."""
    device = torch.device(place.device)
    method = method_of(run.task, data.labels)
    model = method.build(run.network, recipe, start).to(device).to(memory_format=torch.channels_last).eval()
    assert isinstance(model, OnTrunk)
    images, seen = method.validation(data, 1).batch(0)
    images = images.to(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=place.precision == "bf16"):
        trunk = timed(lambda: float(model.trunk(images)[-1].flatten()[0]), _REPEATS, _SECONDS)
        whole = timed(lambda: list(method.predict(model, images, seen)), _REPEATS, _SECONDS)
    with torch.inference_mode(), FlopCounterMode(display=False) as flops:
        list(method.predict(model, images, seen))
    steps = _step_seconds(run, recipe, data, place, start)
    step = statistics.mean(steps) if steps else _STEP_IN_FORWARDS * recipe.batch * statistics.mean(whole)
    epoch = math.ceil(method.training(recipe, data, run.seed).length / recipe.batch) * step
    return RunTiming(
        forward=_latency(whole, 1, place),
        train_step=_latency(steps, recipe.batch, place) if steps else None,
        epoch_seconds=epoch + len(data.val) * statistics.mean(whole),
        trunk_forward=_latency(trunk, 1, place),
        whole=WholeCost(sum(each.numel() for each in model.parameters()), flops.get_total_flops() // 2),
    )


@functools.lru_cache(maxsize=1)
def _open(spec: DataSpec, fingerprint: str | None, task: AnyTask) -> AnyData:
    """A worker opens its data once, not once a run, and from the index of the data that were planned with."""
    return open_for(task, spec, fingerprint)


def starting_weights(run: Run) -> StartingWeights | None:
    """The weights that a run begins from. Raises ValueError where they are not there, or not those of the plan."""
    if run.start is None:
        return None
    found = _load_start(run.start.weights, run.network)
    if found.about.sha256 != run.start.sha256:
        raise ValueError(f"weights {run.start.weights} changed after the study was planned")
    return found


@functools.lru_cache(maxsize=1)
def _load_start(weights: str, network: AnyNetwork) -> StartingWeights:
    """Runs of one arm after another load its weights once."""
    return load_start(weights, network)


def describe_error(error: Exception) -> str:
    """Type, message and the last frame of an error, on one line."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{place}"


class _EnoughError(Exception):
    """Enough steps have been timed."""


def _step_seconds(
    run: Run, made: Recipe, data: AnyData, place: Resources, start: StartingWeights | None
) -> list[float]:
    """Seconds of some training steps after the first few; none where an epoch is too short for that."""
    seconds: list[float] = []
    last = 0.0

    def on_step(step: Step) -> None:
        nonlocal last
        now = time.perf_counter()
        if step.step > _WARMUPS:
            seconds.append(now - last)
        if step.step == step.steps or _enough(seconds):
            raise _EnoughError
        last = now

    with contextlib.suppress(_EnoughError):
        fit(
            run.network,
            made,
            data,
            seed=0,
            device=place.device,
            precision=place.precision,
            micro_batch=place.micro_batch,
            loader_processes=place.loader_processes,
            on_step=on_step,
            start=start,
            task=run.task,
        )
    return seconds


def _forward_seconds(model: nn.Module, batch: int, data: ImageData, device: str) -> list[float]:
    images = torch.randn(batch, data.channels, data.size, data.size, device=device)
    return time_forward(model, images, calls=_REPEATS, most_seconds=_SECONDS)


def _enough(seconds: list[float]) -> bool:
    return len(seconds) == _REPEATS or sum(seconds) > _SECONDS


def _latency(seconds: list[float], batch: int, place: Resources) -> Latency:
    low, median, high = (
        statistics.quantiles(seconds, n=4, method="inclusive") if len(seconds) > 1 else (seconds[0],) * 3
    )
    return Latency(1e3 * median, 1e3 * low, 1e3 * high, batch, place.threads, len(seconds), place.device)
