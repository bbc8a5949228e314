"""The published checkpoints: one entry each, read from published.json. Data only, no torch.

Figures and addresses were taken from timm 1.0.31 (default configurations; results/results-imagenet.csv), torchvision
0.29.1 (weight enumerations), pycls (MODEL_ZOO.md, dev/model_error.json), mmpretrain 1.2.0 (metafiles) and the README
files and sources of ResNeSt, Res2Net and pytorch_resnet_cifar10.
"""

from __future__ import annotations

import os
import re
from functools import cache
from importlib.resources import files
from pathlib import Path

import msgspec

from dorsal.language.files import PathLike
from dorsal.language.reader import suggest, wrong_type
from dorsal.spec.preprocessing import Preprocessing


class PublishedWeights(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A published checkpoint.

    - `id`: the network's name in Dorsal, a dot, and the publisher with a tag. `network`: the text of the network.
    - `format`: the package whose names the file uses. `hub` and `file`: repository and file on the Hugging Face hub, or
      else `url`.
    - `license`: an SPDX identifier, or words. `classes`: a label set, as `read_labels` reads it.
    - `preprocessing`: as published. `color_order` is the order that the first convolution of the *file* takes.
    - `metrics`: top1 and top5 in percent, published for this preprocessing. `megabytes`: size of the file.
    - `note`: what else one should know, such as an address that no longer answers.
    """

    id: str
    network: str
    format: str
    file: str
    hub: str = ""
    url: str = ""
    megabytes: float | None = None
    license: str
    classes: str = "imagenet"
    preprocessing: Preprocessing
    metrics: dict[str, float] = {}
    recipe: str = ""
    reference: str = ""
    note: str = ""

    @property
    def sha256_prefix(self) -> str:
        """The first digits of the file's sha256: torch's convention is to name files `name-0123abcd.pth`."""
        found = re.search(r"-([0-9a-f]{8,64})\.\w+$", self.file)
        return found[1] if found else ""

    @property
    def local_name(self) -> str:
        """The file's name in a local folder. (On the hub all files are called model.safetensors.)"""
        return f"{self.hub.rpartition('/')[2]}.safetensors" if self.hub else self.file

    @property
    def tag(self) -> str:
        """The id without the network's name: which of the network's weights these are."""
        return self.id.partition(".")[2]

    @property
    def trained_on(self) -> str:
        """The data sets that it was trained on, as the tag says."""
        return trained_on(self.tag)

    @property
    def source(self) -> str:
        """Where the file is published, in words."""
        return f"{self.hub} on the Hugging Face hub" if self.hub else self.url

    @property
    def non_commercial(self) -> bool:
        """Whether the license forbids commercial use."""
        return "-NC" in self.license


_TRAINED_ON = {
    "bamboo": "Bamboo",
    "fb_ssl_yfcc100m": "YFCC-100M",
    "ig1b": "Instagram-1B",
    "laion": "LAION",
    "in12k": "ImageNet-12k",
    "in21k": "ImageNet-21k",
    "in22k": "ImageNet-22k",
    "seer": "Instagram (SEER)",
    "swag": "Instagram-3.6B",
    "in1k": "ImageNet-1k",
    "torchvision": "ImageNet-1k",
    "cifar10": "CIFAR-10",
}
"""The data that a part of a tag stands for, in the order in which weights learn from them."""


def trained_on(tag: str) -> str:
    """The data sets that a tag of ours or timm's names, in the order of training; "" where it names none."""
    return ", ".join(data for mark, data in _TRAINED_ON.items() if mark in tag)


@cache
def published() -> tuple[PublishedWeights, ...]:
    """All entries, in the order of the table."""
    content = files("dorsal.weights").joinpath("published.json").read_bytes()
    return msgspec.json.decode(content, type=tuple[PublishedWeights, ...])


def find_published(name: PublishedWeights | PathLike) -> PublishedWeights:
    """The entry of this id, or of the file of this name or path. ValueError with near matches when there is none."""
    if isinstance(name, PublishedWeights):
        return name
    if not isinstance(name, (str, os.PathLike)):
        raise wrong_type("name", name, "an id of `dorsal weights list`, or the path of a published file")
    by_id = {entry.id: entry for entry in published()}
    known = by_id.get(str(name)) or published_as(Path(name).name)
    if known is None:
        text = str(name)
        near = [known for known in by_id if known.startswith(f"{text}.")][:3]
        hint = f"; did you mean {' or '.join(near)}?" if near else suggest(text, by_id, "dorsal weights list")
        raise ValueError(f"no published weights have the id {text!r}{hint}")
    return known


def published_as(file_name: str) -> PublishedWeights | None:
    """The entry whose file has this name in a local folder, or None."""
    return next((entry for entry in published() if entry.local_name == file_name), None)
