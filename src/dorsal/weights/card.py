"""The card beside every saved model: which network, which classes, how images are prepared. No torch."""

from __future__ import annotations

from typing import Literal

import msgspec

from dorsal.spec.network import Network

SCHEMA = 2
Channels = tuple[float, ...]


class Preprocessing(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How an image becomes the input of a network.

    The short side is resized to `resize` pixels and the central `image_size` x `image_size` pixels are cut out. From
    values in 0..1, `mean` is subtracted, and the result is divided by `std`. Both are in the order red, green, blue,
    also for a network that takes the channels as `color_order="bgr"`. `levels` are the values, by channel, that become
    0 and 255 in images of more than 8 bits, None where the model was trained on none.

    Raises ValueError if the crop is larger than the resized image, or a deviation is not above 0.
    """

    image_size: int
    resize: int
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    mean: Channels = (0.485, 0.456, 0.406)
    std: Channels = (0.229, 0.224, 0.225)
    color_order: Literal["rgb", "bgr"] = "rgb"
    levels: tuple[tuple[int, int], ...] | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.image_size <= self.resize:
            raise ValueError(
                f"image_size={self.image_size} must be from 1 to resize={self.resize}, the short side it is cut from"
            )
        if min(self.std) <= 0:
            raise ValueError(f"std={list(self.std)} must be above 0 in every channel")

    def at(self, image_size: int) -> Preprocessing:
        """The same for another size of crop, which covers the same share of the image."""
        resize = max(image_size, round(image_size * self.resize / self.image_size))
        return msgspec.structs.replace(self, image_size=image_size, resize=resize)

    def describe(self) -> str:
        """One line, e.g. `short side 256 (bicubic), centre 224, mean 0.485 0.456 0.406, std 0.229 0.224 0.225, rgb`."""
        mean, std = (" ".join(f"{value:.4g}" for value in values) for values in (self.mean, self.std))
        size = f"short side {self.resize} ({self.interpolation}), centre {self.image_size}"
        return f"{size}, mean {mean}, std {std}, {self.color_order}"


class Card(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is known about a model's weights.

    - `network`, with its `text` and `network_hash`.
    - `classes`: the names of class folders in the order of the logits (ImageNet: WordNet ids); `class_names`: readable
      names where these differ. Both are empty if there is no classifier.
    - `preprocessing`: how images are prepared. `metrics`: scores in percent.
    - `license`: an SPDX identifier, or words.
    - `source`: where the weights were published, or "trained here"; `source_sha256`: of the file there.
    - `recipe`: how they were trained. `origin`: the command that made this folder.
    - `sha256`: of model.safetensors.
    """

    network: Network
    text: str
    network_hash: str
    classes: tuple[str, ...]
    class_names: tuple[str, ...] = ()
    preprocessing: Preprocessing
    metrics: dict[str, float]
    license: str
    source: str
    source_sha256: str = ""
    recipe: str = ""
    origin: str
    sha256: str = ""
    schema: int = SCHEMA
