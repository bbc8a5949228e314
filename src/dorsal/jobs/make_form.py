"""A deployed form made of a saved model, and held against it, in a process of its own. Imports torch."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from msgspec.structs import replace
from numpy.typing import NDArray
from torch import nn

from dorsal.deploy.bundle import BUNDLE_FILE, SCRIPT, Bundle, make_bundle, open_bundle, read_bundle, write_bundle
from dorsal.deploy.deployed import Deployed
from dorsal.deploy.executed import Executed, executed_by_onnx, executed_by_openvino
from dorsal.deploy.export import export_onnx, export_openvino
from dorsal.deploy.forms import FILES, Rewrite
from dorsal.deploy.pixels import take_pixels
from dorsal.deploy.programs import export_program
from dorsal.deploy.proof import Detections, OutputAgreement, agreement, agreement_of_found, unlike
from dorsal.deploy.quantize import quantize
from dorsal.deploy.rewrite import rewrites_of, rewritten
from dorsal.deploy.room import lacks_room
from dorsal.deploy.runtime import OnnxSession, OpenVinoSession
from dorsal.jobs.evaluate import prepared_images
from dorsal.jobs.forms import Calibration, Full, Made, Make
from dorsal.jobs.plan import describe_error
from dorsal.language.files import sha256_of
from dorsal.tasks.detect.detector import Detector, Found
from dorsal.tasks.saved import load_model
from dorsal.weights.card import MODEL_FILE, Card
from dorsal.weights.saved import REFERENCE, WEIGHTS

_ODD = (7, 5)
"""By so many pixels, height and width, images of an odd size are smaller."""
_DETECTED = 16
"""On so many images detectors are compared, which have many objects each."""


def make_form(job: Make) -> Made | Full | str:
    """Makes the form, as a bundle in its folder. What is raised is told, and the folder is left without a record."""
    torch.set_num_threads(job.threads)
    (job.folder / BUNDLE_FILE).unlink(missing_ok=True)
    try:
        model, card = load_model(job.model)
        inputs = read_inputs(job.inputs)
        bundle = _write(job, model, card, inputs)
        session = open_bundle(job.folder, job.threads)
        found, error = _compared(model, Deployed(session, bundle), card, bundle, job)
        size = sum((job.folder / name).stat().st_size for name in bundle.files) / 2**20
        return Made(agreement=found, error=error, size=size, executed=_executed(job, bundle, inputs))
    except Exception as error:
        return Full(str(job.folder)) if lacks_room(error) else describe_error(error)


def make_pixels(asked: tuple[Path, Make]) -> OutputAgreement | Full | str:
    """Makes the form in the first folder anew in that of the job, with images normalized in its graph. Returns how far
    it is from the model, or what was raised."""
    source, job = asked
    folder = job.folder
    torch.set_num_threads(job.threads)
    try:
        model, card = load_model(job.model)
        bundle = read_bundle(source)
        folder.mkdir(exist_ok=True)
        name = FILES[bundle.runtime][0]
        take_pixels(bundle.runtime, source / name, folder / name, bundle.preprocessing.normalization)
        shutil.copyfile(source / SCRIPT, folder / SCRIPT)
        files = {file: sha256_of(folder / file) for file in FILES[bundle.runtime]}
        bundle = replace(bundle, files=files, pixels=True)
        write_bundle(folder, bundle)
        return _compared(model, Deployed(open_bundle(folder, job.threads), bundle), card, bundle, job)[0]
    except Exception as error:
        return Full(str(folder)) if lacks_room(error) else describe_error(error)


def rewrites_in(model: Path) -> tuple[Rewrite, ...]:
    """The rewrites of the saved model in a folder that differ from each other."""
    return rewrites_of(load_model(model)[0])


def model_bytes(model: Path) -> int:
    """The size of a saved model's weights."""
    return (model / WEIGHTS).stat().st_size


def copy_model(model: Path, folder: Path) -> None:
    """Copies a saved model into another folder, which is made."""
    folder.mkdir(exist_ok=True)
    for name in (WEIGHTS, REFERENCE, MODEL_FILE):
        shutil.copyfile(model / name, folder / name)


def read_inputs(path: Path) -> tuple[NDArray[Any], ...]:
    """The arrays of a file by `rivals.write_inputs`."""
    with np.load(path) as arrays:
        return tuple(arrays[name] for name in sorted(arrays.files))


def calibration_images(card: Card, calibration: Calibration, places: Sequence[int]) -> Iterable[tuple[Any, ...]]:
    """Images of the data by their places, one by one, as the model takes them."""
    return prepared_images(card, calibration.data, calibration.split, np.array(places, np.int64))


def _write(job: Make, model: nn.Module, card: Card, inputs: Sequence[NDArray[Any]]) -> Bundle:
    form, folder = job.form, job.folder
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILES[form.runtime][0]
    fixed = form.runtime == "aoti"
    # An exporter takes a number of images for any number only where it is not 1.
    twice = not fixed and len(inputs[0]) == 1
    tensors = [torch.from_numpy(np.concatenate([each, each]) if twice else each) for each in inputs]
    if job.quantization is not None:
        assert job.graph is not None
        images = [
            each if len(each) > 1 else each[0]
            for each in calibration_images(card, job.calibration, job.calibration.places)
        ]
        quantize(form.runtime, job.graph / path.name, path, images, job.quantization)
    elif job.graph is not None:
        for name in FILES[form.runtime]:
            shutil.copyfile(job.graph / name, folder / name)
    else:
        graph = rewritten(model, form.rewrite)
        match form.runtime:
            case "onnxruntime":
                export_onnx(graph, tensors, path, any_size=True)
            case "openvino":
                export_openvino(graph, tensors, path, any_size=True)
            case _:
                export_program(graph, tensors, form, path)
    return make_bundle(
        folder,
        form,
        card,
        aim=job.aim,
        threads=job.threads,
        batch=len(inputs[0]) if fixed else None,
        size=tuple(inputs[0].shape[-2:]) if fixed else None,
        quantization=job.quantization,
        instructions=torch.backends.cpu.get_cpu_capability() if form.runtime == "aoti" else "",
    )


@torch.inference_mode()
def _compared(
    model: nn.Module, deployed: Deployed, card: Card, bundle: Bundle, job: Make
) -> tuple[OutputAgreement, float]:
    """How far the form is from the model on held-out images: one by one, several at once, and of an odd size where it
    takes them."""
    held = [
        [torch.from_numpy(part) for part in each]
        for each in calibration_images(card, job.calibration, job.calibration.held)
    ]
    if isinstance(model, Detector):
        held = held[:_DETECTED]
        several = [parts for parts in held if parts[0].shape == held[0][0].shape][:3]
        held.append([torch.cat(each) for each in zip(*several, strict=True)])
        said, exact = ([_found(each(*inputs)) for inputs in held] for each in (deployed, model))
        return agreement_of_found(said, exact, model.task.least_score), unlike(said, exact)
    images = [each[0] for each in held]
    alike = [each for each in images if each.shape == images[0].shape]
    groups = [*images, torch.cat(alike[:3])]
    if bundle.size is None:
        groups += [each[..., : -_ODD[0], : -_ODD[1]] for each in images[:4] if min(each.shape[-2:]) > 2 * max(_ODD)]
    agreed = agreement(
        [row for group in groups for row in deployed(group).numpy()],
        [row for group in groups for row in model(group).numpy()],
    )
    return agreed, agreed.error


def _found(found: Found) -> Detections:
    masks = None if found.masks is None else found.masks.numpy()
    return Detections(found.boxes.numpy(), found.scores.numpy(), found.labels.numpy(), masks)


def _executed(job: Make, bundle: Bundle, inputs: Sequence[NDArray[Any]]) -> Executed | None:
    """In which precision the form computes, on inputs of the shape that it is timed with."""
    path = job.folder / next(iter(bundle.files))
    match job.form.runtime:
        case "openvino":
            shape = inputs[0].shape
            return executed_by_openvino(OpenVinoSession(path, job.threads, job.form.precision, job.aim, shape))
        case "onnxruntime":
            return executed_by_onnx(OnnxSession(path, job.threads, profile=job.folder / ".profile"), *inputs)
        case _:
            return None
