"""The timing of a run: its network, its training step, and what an epoch will take. Imports torch."""

from __future__ import annotations

import contextlib
import math
import statistics
import time

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from dorsal.data.annotated import AnnotatedData
from dorsal.data.split import ImageData
from dorsal.jobs.forecast import RunTiming
from dorsal.jobs.inputs import data_of, starting_weights
from dorsal.jobs.plan import Run, describe_error
from dorsal.jobs.records import Latency, WholeCost
from dorsal.jobs.resources import Resources
from dorsal.recipes.epoch import Step
from dorsal.recipes.recipe import Recipe
from dorsal.tasks.data import AnyData
from dorsal.tasks.method import method_of
from dorsal.tasks.model import make_model
from dorsal.tasks.trunk import OnTrunk
from dorsal.train.loop import fit
from dorsal.train.timing import time_forward, time_step, timed
from dorsal.weights.start import StartingWeights

_WARMUPS, _REPEATS, _SECONDS = 2, 30, 2.0
"""Warm-up calls, timed calls at most, and seconds at most; at least one call is timed."""
_EVALUATION_BATCH = 64
_STEP_IN_FORWARDS = 3
"""A training step takes about so many times as long as a forward pass of its images: the backward pass is two more."""


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
