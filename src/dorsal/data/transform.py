"""What happens to every image alike: resize, centre crop, normalize. Augmentation is the recipe's."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import center_crop, resize

from dorsal.spec.preprocessing import Normalization

Interpolation = Literal["bilinear", "bicubic"]


def histogram(images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """How often each value occurs in each channel, [C, 256], of images [..., C, H, W]."""
    channels = np.moveaxis(images, -3, 0)
    return np.stack([np.bincount(channel.ravel(), minlength=256) for channel in channels])


def measured(counts: NDArray[np.int64]) -> Normalization:
    """The normalization of the images whose `histogram` this is.

    Pass the training split only. A channel that never varies gets one grey level, 1/255, as standard
    deviation, so that dividing by it stays harmless.
    """
    values = np.arange(256) / 255
    share = counts / counts.sum(axis=1, keepdims=True)
    mean = (share * values).sum(axis=1)
    std = np.sqrt((share * (values - mean[:, None]) ** 2).sum(axis=1)).clip(min=1 / 255)
    return Normalization(mean=tuple(mean.tolist()), std=tuple(std.tolist()))


def to_float(normalization: Normalization) -> Callable[[Tensor], Tensor]:
    """uint8 [..., C, H, W] to normalized float32 of the same shape, channels in the normalization's order.

    Training and evaluation both use it. It can be pickled.
    """
    # (x / 255 - mean) / std as one product and one sum: half the passes over memory
    std = torch.tensor(normalization.std).view(-1, 1, 1)
    shift = -torch.tensor(normalization.mean).view(-1, 1, 1) / std
    return partial(_to_float, scale=1 / (255 * std), shift=shift, reverse=normalization.color_order == "bgr")


def _to_float(image: Tensor, scale: Tensor, shift: Tensor, reverse: bool) -> Tensor:
    converted = image.to(torch.float32).mul_(scale.to(image.device)).add_(shift.to(image.device))
    return converted.flip(-3) if reverse else converted


def usual_resize(size: int) -> int:
    """The short side in pixels from which a crop of `size` is cut by default: size * 256 / 224.

    He et al. 2015 (arXiv:1512.03385, section 3.4) and torchvision's reference evaluation have it at 224.
    """
    return round(size * 256 / 224)


def eval_crop(
    size: int, resize_to: int | None = None, interpolation: Interpolation = "bilinear"
) -> Callable[[Tensor], Tensor]:
    """uint8 [..., C, H, W] to uint8 [..., C, size, size].

    Resize the short side to `resize_to`, `usual_resize` where that is None, antialiased; then crop the centre. Images
    that are size x size already stay untouched.
    """
    short_side = usual_resize(size) if resize_to is None else resize_to

    def crop(image: Tensor) -> Tensor:
        if image.shape[-2:] == (size, size):
            return image
        resized = resize(image, [short_side], interpolation=InterpolationMode(interpolation), antialias=True)
        cropped: Tensor = center_crop(resized, [size, size])
        return cropped

    return crop


def eval_transform(
    size: int,
    normalization: Normalization,
    resize_to: int | None = None,
    interpolation: Interpolation = "bilinear",
) -> Callable[[Tensor], Tensor]:
    """`eval_crop`, then `to_float`: uint8 [..., C, H, W] to normalized float32 [..., C, size, size]."""
    crop, convert = eval_crop(size, resize_to, interpolation), to_float(normalization)
    return lambda image: convert(crop(image))
