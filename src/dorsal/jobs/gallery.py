"""Validation images with what a trained model finds in them, for the page of a study. Imports torch."""

from __future__ import annotations

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dorsal.annotations.annotation import Annotation
from dorsal.data.annotated import ChosenAnnotated
from dorsal.data.geometry import map_image, resized
from dorsal.data.split import ImageData
from dorsal.data.view import SeenBatches
from dorsal.jobs.plan import Run
from dorsal.jobs.resources import Resources
from dorsal.jobs.shown import IMAGES, LONGEST, Shown, pack_shown
from dorsal.spec.task import AnyTask, Semantic
from dorsal.tasks.data import AnyData
from dorsal.tasks.method import method_of


def gallery_of(run: Run, model: nn.Module, data: AnyData, place: Resources) -> bytes:
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
