"""What a saved model of any task sees in image files. Imports torch."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dorsal.annotations.annotation import Annotation
from dorsal.data.decode import Reading, read_pixels, scan
from dorsal.data.geometry import map_image
from dorsal.data.transform import eval_transform, to_float
from dorsal.data.view import Seen, padded, stacked, whole
from dorsal.deploy.bundle import is_bundle, other_versions, read_bundle
from dorsal.deploy.deployed import load_model
from dorsal.jobs.device import choose_device
from dorsal.language.files import PathLike, as_path
from dorsal.language.reader import wrong_type
from dorsal.spec.task import Classify
from dorsal.tasks.method import Method, method_of
from dorsal.weights.card import Card


class Prediction(msgspec.Struct, frozen=True, eq=False):
    """An image file, its pixels uint8 [H, W, channels], and what a model sees there, in these pixels."""

    path: Path
    pixels: NDArray[np.uint8]
    found: Annotation


def predict(model: PathLike, images: Sequence[PathLike], device: str | torch.device = "auto") -> list[Annotation]:
    """What the saved model in a folder sees in each of these image files, in their pixels. Raises as `Predictor`."""
    if isinstance(images, str | os.PathLike):
        raise wrong_type("images", images, f"a list of image files: [{os.fspath(images)!r}]")
    paths = [as_path("images", image) for image in images]
    return [seen.found for seen in Predictor(model, device).files(paths)]


class Predictor:
    """A saved model, ready to be asked. `card` is the model's, `note` what is to know of it here, or empty."""

    def __init__(self, model: PathLike, device: str | torch.device = "auto") -> None:
        """Raises ValueError for a folder without a model, a model without a classifier, and a device that is not
        there."""
        folder = as_path("model", model)
        self._device = torch.device(choose_device(device) if isinstance(device, str) else device)
        net, self.card = load_model(folder)
        if isinstance(self.card.task, Classify) and not self.card.classes:
            raise ValueError(f"{folder} has no classifier, so it names no class")
        self.note = other_versions(read_bundle(folder)) if is_bundle(folder) else ""
        self._net, self._folder = net.to(self._device), folder
        self._method = method_of(self.card.task, self.card.known)

    def files(self, paths: Sequence[Path]) -> Iterator[Prediction]:
        """What the model sees in each file, in turn. All files are read before it runs.

        Raises ValueError, before any other work, naming every file that cannot be read, and for outputs that are not
        finite.
        """
        card, reading = self.card, Reading(channels=self.card.network.in_channels)
        if bad := [f"{path} {found.problem}" for path in paths if (found := scan(path, reading)).problem]:
            raise ValueError("; ".join(bad))
        return (self._file(path, read_pixels(path, reading, card.preprocessing.levels)) for path in paths)

    def _file(self, path: Path, pixels: NDArray[np.uint8]) -> Prediction:
        image = torch.from_numpy(pixels)
        with torch.inference_mode():
            found = (
                _classified(self._net, self.card, image, self._device)
                if isinstance(self.card.task, Classify)
                else _seen(self._net, self._method, self.card, image, self._device)
            )
        if found is None:
            raise ValueError(f"{path}: the outputs of {self._folder} on it are not finite, so they name no class")
        return Prediction(path, np.ascontiguousarray(np.moveaxis(pixels, 0, -1)), found)


def _classified(net: nn.Module, card: Card, image: torch.Tensor, device: torch.device) -> Annotation | None:
    """The probability of each class; None where they are not finite."""
    prep = card.preprocessing
    prepare = eval_transform(prep.image_size, prep.normalization, prep.resize, prep.interpolation)
    probabilities = net(prepare(image)[None].to(device))[0].softmax(0).cpu()
    if not probabilities.isfinite().all():
        return None
    label = int(probabilities.argmax())
    return Annotation(size=_size(image), label=label, probabilities=probabilities.numpy())


def _seen(net: nn.Module, method: Method, card: Card, image: torch.Tensor, device: torch.device) -> Annotation:
    """What is found in the whole image, its short side resized as the card says."""
    prep, size = card.preprocessing, _size(image)
    frame = whole(size, prep.image_size)
    view = to_float(prep.normalization)(map_image(image, frame.affine, frame.size))
    batch = stacked([view], padded(frame.size)).to(device)
    (found,) = method.predict(net, batch, [Seen(frame, Annotation(size=size))])
    return found  # type: ignore[no-any-return]


def _size(image: torch.Tensor) -> tuple[int, int]:
    return image.shape[1], image.shape[2]
