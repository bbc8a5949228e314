"""Measuring as a job: one visit to a network. Imports torch."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import msgspec
import torch

from dorsal.jobs.engine import Message
from dorsal.jobs.plan import Measure
from dorsal.jobs.records import Visit
from dorsal.tasks.model import make_model
from dorsal.train.timing import time_forward, time_step

_CALLS = 3
"""Timed calls in each visit, after the warm-up."""


def measure(job: Measure, _tell: Callable[[Message], None], *, threads: int, device: str) -> Visit:
    """Times one call of a network in this process. Whatever is raised, out of memory included, is the visit's error."""
    torch.set_num_threads(threads)
    timed = _forward if job.call == "forward" else _step
    began = time.monotonic()
    try:
        # Weights are cast in every call, as in training: cached casts would outlive the update.
        with torch.autocast(device, torch.bfloat16, enabled=job.bfloat16, cache_enabled=False):
            return Visit(job.key, 1e3 * timed(job, device), seconds=time.monotonic() - began)
    except Exception as error:
        return job.failed(f"{type(error).__name__}: {' '.join(str(error).split())}")


@torch.random.fork_rng(devices=[])
def _forward(job: Measure, device: str) -> float:
    model = make_model(job.network, job.recipe).to(device).to(memory_format=torch.channels_last).eval()  # as the loop
    images = torch.randn(job.batch, job.network.in_channels, job.image_size, job.image_size, device=device)
    return statistics.median(time_forward(model, images, calls=_CALLS))


def _step(job: Measure, device: str) -> float:
    made = msgspec.structs.replace(job.recipe, batch=job.batch)
    return time_step(job.network, made, job.image_size, device=device, steps=_CALLS)
