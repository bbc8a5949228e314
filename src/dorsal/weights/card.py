"""What a set of weights is, as data: the card beside every saved model. No torch."""

from __future__ import annotations

from typing import Literal

import msgspec

from dorsal.spec.network import Network

SCHEMA = 2
Channels = tuple[float, float, float]


class Preprocessing(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How an image becomes the input of a network.

    The short side is resized to `resize` pixels, the centre of `image_size` x `image_size` is cut out, and values in
    0..1 have `mean` subtracted and are divided by `std`. Both are given red, green, blue, whatever order of channels
    (`color_order`) the network takes.

    Raises ValueError where the crop would be larger than the resized image.
    """

    image_size: int
    resize: int
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    mean: Channels = (0.485, 0.456, 0.406)
    std: Channels = (0.229, 0.224, 0.225)
    color_order: Literal["rgb", "bgr"] = "rgb"

    def __post_init__(self) -> None:
        if not 1 <= self.image_size <= self.resize:
            raise ValueError(
                f"image_size={self.image_size} must be from 1 to resize={self.resize}, the short side it is cut from"
            )
        if min(self.std) <= 0:
            raise ValueError(f"std={list(self.std)} must be above 0 in every channel")

    def at(self, image_size: int) -> Preprocessing:
        """The same for another size of crop: the share of the image that is seen is kept."""
        resize = max(image_size, round(image_size * self.resize / self.image_size))
        return msgspec.structs.replace(self, image_size=image_size, resize=resize)

    def describe(self) -> str:
        """One line, e.g. `short side 256 (bicubic), centre 224, mean 0.485 0.456 0.406, std 0.229 0.224 0.225, rgb`."""
        mean, std = (" ".join(f"{value:.4g}" for value in values) for values in (self.mean, self.std))
        size = f"short side {self.resize} ({self.interpolation}), centre {self.image_size}"
        return f"{size}, mean {mean}, std {std}, {self.color_order}"


class Card(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a set of weights is: the network, its classes, how images are prepared for it, and where it comes from.

    `classes` are the names of class folders in the order of the logits (ImageNet: WordNet ids), `class_names` what to
    call them where that differs; both are empty where there is no classifier. `metrics` are in percent. `license` is
    an SPDX identifier or words. `source` says where the weights were published, or "trained here", `source_sha256`
    which file there; `recipe` how they were trained; `origin` the command that made this folder. `sha256` is of
    model.safetensors.
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
