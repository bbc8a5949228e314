"""How long forward passes and training steps take, for forecasts and for latency models."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from math import inf

import torch
from torch import nn

from dorsal.recipes.text import Recipe
from dorsal.spec.timm import AnyNetwork
from dorsal.tasks.classify.method import cross_entropy
from dorsal.tasks.model import make_model
from dorsal.train.optim import make_optimizer
from dorsal.weights.start import StartingWeights

_WARMUPS = 2


def time_forward(model: nn.Module, images: torch.Tensor, *, calls: int, most_seconds: float = inf) -> list[float]:
    """Seconds of forward passes of a module in evaluation mode, after some to warm up.

    At most `calls` of them; fewer, but one at least, when they have taken `most_seconds` in all.
    """
    # An asynchronous device is done when a value can be read.
    return timed(lambda: float(model(images)[0, 0]), calls, most_seconds)


def timed(call: Callable[[], object], calls: int, most_seconds: float = inf) -> list[float]:
    """Seconds of calls without gradients, as `time_forward` has them."""
    seconds: list[float] = []
    with torch.inference_mode():
        for _ in range(_WARMUPS):
            call()
        while not seconds or (len(seconds) < calls and sum(seconds) < most_seconds):
            began = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - began)
    return seconds


@torch.random.fork_rng(devices=[])
def time_step(
    network: AnyNetwork,
    recipe: Recipe,
    image_size: int,
    *,
    device: str = "cpu",
    steps: int = 5,
    start: StartingWeights | None = None,
) -> float:
    """Median seconds of a training step, forward, backward and update, on one batch of `recipe.batch` random images.

    Loading and augmenting images, the moving average and evaluation are not in it. Raises ValueError when `steps` is
    below 1.
    """
    if steps < 1:
        raise ValueError(f"steps={steps} is below 1; nearest valid: 1")
    model = make_model(network, recipe, start).to(device).to(memory_format=torch.channels_last)  # as the loop trains it
    optimizer = make_optimizer(model, recipe)
    images = torch.randn(recipe.batch, network.in_channels, image_size, image_size, device=device)
    labels = torch.randint(network.head.classes, (recipe.batch,), device=device)
    seconds = []
    for _ in range(_WARMUPS + steps):
        began = time.perf_counter()
        value = cross_entropy(model(images), labels, recipe.label_smoothing)
        optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        value.item()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[_WARMUPS:])
