"""Measuring as a job: one visit to a network. Imports torch."""

from __future__ import annotations

import contextlib
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import msgspec
import torch
from torch import Tensor

from dorsal.deploy.export import export_onnx, export_openvino
from dorsal.deploy.forms import FILES, Form
from dorsal.deploy.quantize import Quantization, quantize
from dorsal.deploy.rewrite import rewritten
from dorsal.deploy.room import lacks_room
from dorsal.deploy.runtime import OnnxSession, OpenVinoSession, Session
from dorsal.jobs.engine import Message
from dorsal.jobs.events import Note
from dorsal.jobs.plan import Measure
from dorsal.jobs.records import Visit
from dorsal.spec.network import network_hash
from dorsal.tasks.model import make_model
from dorsal.train.timing import time_forward, time_step

_WARMUPS = 2
_CALLS = 3
"""Timed calls in each visit, after the warm-up."""
_CALIBRATION = 16
"""Random images from which int8 has its ranges: no time depends on what these are."""


class NoRoom(Note, frozen=True):
    """There was no room on the disk to write a form, whose path is the text. That is no fault of the network."""


def measure(job: Measure, tell: Callable[[Message], None], *, threads: int, device: str, forms: Path) -> Visit:
    """Times one call of a network in this process. Whatever is raised, out of memory included, is the visit's error.

    Deployed forms are made in the folder `forms`, where they are not there yet. Where there is no room for one, that is
    told first.
    """
    torch.set_num_threads(threads)
    began = time.monotonic()
    try:
        if job.form is not None:
            seconds = _deployed(job, job.form, threads, forms)
        else:
            timed = _forward if job.call == "forward" else _step
            # Weights are cast in every call, as in training: cached casts would outlive the update.
            with torch.autocast(device, torch.bfloat16, enabled=job.bfloat16, cache_enabled=False):
                seconds = timed(job, device)
        return Visit(job.key, 1e3 * seconds, seconds=time.monotonic() - began)
    except Exception as error:
        if lacks_room(error):
            tell(NoRoom(str(forms)))
        return job.failed(f"{type(error).__name__}: {' '.join(str(error).split())}")


@torch.random.fork_rng(devices=[])
def _forward(job: Measure, device: str) -> float:
    model = make_model(job.network, job.recipe).to(device).to(memory_format=torch.channels_last).eval()  # as the loop
    return statistics.median(time_forward(model, _images(job, job.batch).to(device), calls=_CALLS))


def _step(job: Measure, device: str) -> float:
    made = msgspec.structs.replace(job.recipe, batch=job.batch)
    return time_step(job.network, made, job.image_size, device=device, steps=_CALLS)


@torch.random.fork_rng(devices=[])
def _deployed(job: Measure, form: Form, threads: int, forms: Path) -> float:
    images = _images(job, job.batch).numpy()
    session = _opened(_made(job, form, forms), form, threads, images.shape)
    session.timed([images], _WARMUPS)
    return statistics.median(session.timed([images], _CALLS)) / 1e3


def _images(job: Measure, count: int) -> Tensor:
    return torch.randn(count, job.network.in_channels, job.image_size, job.image_size)


def _opened(path: Path, form: Form, threads: int, shape: tuple[int, ...]) -> Session:
    if form.runtime == "onnxruntime":
        return OnnxSession(path, threads)
    return OpenVinoSession(path, threads, form.precision, shape=shape)


def _made(job: Measure, form: Form, forms: Path) -> Path:
    """The file of the form of the job's network, made if it is not there. Broken off, it leaves none."""
    folder = forms / f"{network_hash(job.network)}-{job.image_size}-{form.name}"
    if not folder.exists():
        part = folder.with_name(f".{folder.name}")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        try:
            _write(job, form, part / FILES[form.runtime][0])
            part.rename(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return folder / FILES[form.runtime][0]


def _write(job: Measure, form: Form, path: Path) -> None:
    """Exports the network with random weights for any number of images of any size, as `dorsal deploy` does."""
    with contextlib.suppress(ImportError):  # a lock of its own would outlive a worker that is stopped, which is told
        import_module("tqdm").tqdm.set_lock(threading.RLock())
    model = rewritten(make_model(job.network, job.recipe), form.rewrite)
    images = _images(job, _CALIBRATION)
    export = export_onnx if form.runtime == "onnxruntime" else export_openvino
    if form.precision != "int8":
        export(model, [images[:2]], path, any_size=True)
        return
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        graph = Path(folder, path.name)
        export(model, [images[:2]], graph, any_size=True)
        singly = [each[None] for each in images.numpy()]
        quantize(form.runtime, graph, path, singly, Quantization(ranges="minmax", images=_CALIBRATION))
