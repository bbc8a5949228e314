"""Deployed models where models are asked for: scored and asked as modules. Imports torch."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from dorsal.deploy.bundle import Bundle, is_bundle, open_bundle, read_bundle
from dorsal.deploy.runtime import Outputs, Session
from dorsal.language.files import PathLike, as_path
from dorsal.tasks import saved
from dorsal.tasks.detect.detector import Found
from dorsal.weights import saved as weights
from dorsal.weights.card import Card


class Deployed(nn.Module):
    """A form as a module. It takes what the model takes, on any device, and says what the model says."""

    def __init__(self, session: Session, bundle: Bundle) -> None:
        super().__init__()
        self._session, self._bundle = session, bundle

    def forward(self, images: Tensor, sizes: Tensor | None = None) -> Tensor | Found:
        """Normalized images [N, C, H, W], of detectors with the heights and widths that are no padding, int64 [N, 2].

        Raises ValueError for images of a size that the form does not take.
        """
        bundle = self._bundle
        if bundle.size is not None and tuple(images.shape[-2:]) != bundle.size:
            wanted, given = ("x".join(map(str, size)) for size in (bundle.size, images.shape[-2:]))
            raise ValueError(f"the deployed model takes images of {wanted} pixels, not {given}")
        inputs = [self._pixels(images) if bundle.pixels else images.cpu().numpy()]
        if sizes is not None:
            inputs.append(sizes.cpu().numpy())
        found = [torch.from_numpy(each).to(images.device) for each in self._said(inputs)]
        return found[0] if bundle.task != "detect" else Found(*found)

    def _said(self, inputs: list[np.ndarray]) -> Outputs:
        """All images together, or as many at a time as the form takes, the last ones repeated."""
        batch, count = self._bundle.batch, len(inputs[0])
        if batch is None or batch == count:
            return self._session(*inputs)
        places = np.arange(-(-count // batch) * batch).clip(max=count - 1).reshape(-1, batch)
        parts = [self._session(*(each[place] for each in inputs)) for place in places]
        return tuple(np.concatenate(part)[:count] for part in zip(*parts, strict=True))

    def _pixels(self, images: Tensor) -> np.ndarray:
        """uint8 [N, H, W, C] of normalized images: what they were made of, exactly."""
        prepared = self._bundle.preprocessing
        mean, std = (torch.tensor(each, device=images.device).view(-1, 1, 1) for each in (prepared.mean, prepared.std))
        values = images.flip(-3) if prepared.color_order == "bgr" else images
        return ((values * std + mean) * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()


def load_model(folder: PathLike, threads: int | None = None) -> tuple[nn.Module, Card]:
    """The model in `folder`, saved or deployed, in evaluation mode, and its card. `threads` are for a deployed one,
    which is opened for one call after another.

    Raises ValueError as `tasks.saved.load_model` and `open_bundle` do.
    """
    path = as_path("folder", folder)
    if not is_bundle(path):
        return saved.load_model(path)
    bundle = read_bundle(path)
    return Deployed(open_bundle(path, threads, aim="latency"), bundle).eval(), bundle.known_card


def read_card(folder: PathLike) -> Card:
    """The card of the model in `folder`, saved or deployed. Raises ValueError as `weights.saved.read_card` does."""
    path = as_path("folder", folder)
    return read_bundle(path).known_card if is_bundle(path) else weights.read_card(path)
