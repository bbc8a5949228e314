"""How an image becomes the input of a network: one description for data, weights and deployment. No torch."""

from __future__ import annotations

from typing import Literal

import msgspec

Channels = tuple[float, ...]


class Normalization(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Mean and standard deviation of each channel of values in 0..1.

    `color_order` is the order of channels afterwards: weights trained with OpenCV's images want "bgr". Mean and
    standard deviation are given red, green, blue all the same. Only images of three channels can be "bgr".

    Raises ValueError if mean and standard deviation differ in length, a deviation is not above 0, or grey is "bgr".
    """

    mean: Channels
    std: Channels
    color_order: Literal["rgb", "bgr"] = "rgb"

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std):
            raise ValueError(f"mean={self.mean} and std={self.std} differ in their number of channels")
        if min(self.std) <= 0:
            raise ValueError(f"std={list(self.std)} must be above 0 in every channel")
        if self.color_order == "bgr" and len(self.mean) != 3:
            raise ValueError(f"color_order=bgr needs 3 channels, not {len(self.mean)}; nearest valid: color_order=rgb")


IMAGENET = Normalization(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
"""Of photographs as most published weights expect them."""


class Preprocessing(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How an image becomes the input of a network.

    The short side is resized to `resize` pixels and the central `image_size` x `image_size` pixels are cut out. From
    values in 0..1, `mean` is subtracted, and the result is divided by `std`. Both are in the order red, green, blue,
    also for a network that takes the channels as `color_order="bgr"`. `levels` are the values, by channel, that become
    0 and 255 in images of more than 8 bits, None where the model was trained on none.

    Raises ValueError if the crop is larger than the resized image, and as `Normalization` does.
    """

    image_size: int
    resize: int
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    mean: Channels = IMAGENET.mean
    std: Channels = IMAGENET.std
    color_order: Literal["rgb", "bgr"] = "rgb"
    levels: tuple[tuple[int, int], ...] | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.image_size <= self.resize:
            raise ValueError(
                f"image_size={self.image_size} must be from 1 to resize={self.resize}, the short side it is cut from"
            )
        _ = self.normalization  # checks the rest

    @property
    def normalization(self) -> Normalization:
        """What is done to the values of the cropped image."""
        return Normalization(mean=self.mean, std=self.std, color_order=self.color_order)

    def at(self, image_size: int) -> Preprocessing:
        """The same for another size of crop, which covers the same share of the image."""
        resize = max(image_size, round(image_size * self.resize / self.image_size))
        return msgspec.structs.replace(self, image_size=image_size, resize=resize)

    def describe(self) -> str:
        """One line, e.g. `short side 256 (bicubic), centre 224, mean 0.485 0.456 0.406, std 0.229 0.224 0.225, rgb`."""
        mean, std = (" ".join(f"{value:.4g}" for value in values) for values in (self.mean, self.std))
        size = f"short side {self.resize} ({self.interpolation}), centre {self.image_size}"
        return f"{size}, mean {mean}, std {std}, {self.color_order}"
