"""The features of images by a saved model, with what is needed to use them elsewhere. Imports torch."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import psutil
import torch
from numpy.typing import NDArray

from dorsal.data.dataset import EvaluationBatches, Split, open_for_scoring
from dorsal.data.folder import FolderSplit
from dorsal.data.spec import DataSpec, data_spec, shown
from dorsal.jobs.device import choose_device
from dorsal.jobs.evaluate import in_channels_of
from dorsal.jobs.json_file import write_whole
from dorsal.jobs.plan import ScoredSplit
from dorsal.language.amounts import show_bytes
from dorsal.language.files import PathLike, as_path
from dorsal.recipes.probe import check_level
from dorsal.recipes.recipe import Recipe
from dorsal.spec.adapt import fitted_to
from dorsal.spec.network import Network
from dorsal.spec.preprocessing import Preprocessing
from dorsal.spec.start import split_start
from dorsal.tasks.model import Trunked, make_model
from dorsal.train.features import features_needed, features_of
from dorsal.weights.saved import load_model
from dorsal.weights.start import load_start
from dorsal.zoo import any_network

SUFFIXES = (".npz", ".safetensors")


class Embedding(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Features of images, with their labels.

    - `features`: float32 [n, channels]. `labels`: int64 [n], places in `classes`.
    - `images`: what each is called, its path where it is a file. `summary`: which images they are, in words.
    - `network`: reads back as the network. `weights`: sha256. `level`: whose map was averaged, None where it is what
      the network's own classifier sees. `preprocessing`: how the images were prepared.
    """

    features: NDArray[np.float32]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    images: tuple[str, ...]
    summary: str
    network: str
    weights: str
    level: int | None
    preprocessing: Preprocessing
    notes: tuple[str, ...] = ()


def embed(
    model: PathLike,
    data: DataSpec | PathLike = "scenes",
    split: ScoredSplit | None = None,
    level: int | None = None,
    *,
    batch: int = 128,
    device: str = "auto",
    on_batch: Callable[[int, int], None] = lambda *_: None,
) -> Embedding:
    """The features of the images of `data` by the model in a folder, or by `network@weights`, prepared as for these.

    `level` is the level of the pyramid whose map is averaged, 0 the stem; None stands for what the model's classifier
    sees. Without `split` the images are those of val, or all where the data have no splits. Their classes may be others
    than the model's. `on_batch` is called with the number of each batch that was taken, from 1, and how many there are.

    Raises ValueError where there is no model, it has no such level, the images do not suit it, or the features do not
    fit into memory; and as `open_for_scoring` does.
    """
    device = choose_device(device)
    named = _loaded(model)
    module, prepared = named.module, named.preprocessing
    check_level(level, len(module.info), named.text)
    opened = open_for_scoring(
        in_channels_of(module.network.in_channels, data_spec(data)), split, levels=prepared.levels
    )
    if module.info:
        width = module.network.head.width or module.info[-1].channels
        _check_memory(len(opened.images), width if level is None else module.info[level].channels)
    batches = EvaluationBatches(
        opened.images,
        prepared.image_size,
        prepared.normalization,
        batch,
        resize_to=prepared.resize,
        interpolation=prepared.interpolation,
    )
    found = features_of(
        module, batches, (level,), torch.device(device), on_batch=lambda number: on_batch(number, len(batches))
    )
    return Embedding(
        features=found[level],
        labels=opened.images.labels,
        classes=opened.classes,
        images=_names(opened.images),
        summary=opened.summary,
        network=named.text,
        weights=named.sha256,
        level=level,
        preprocessing=prepared,
        notes=opened.notes,
    )


def write_embedding(path: Path, made: Embedding) -> None:
    """Writes a file with the arrays `features` and `labels`, and what is said of them as `about`, JSON: an array of one
    text in an .npz file, in a .safetensors file its metadata. Raises OSError when it cannot be written."""
    about = msgspec.json.encode(facts(made) | {"images": made.images}).decode()
    if path.suffix == ".npz":
        buffer = io.BytesIO()
        np.savez(buffer, features=made.features, labels=made.labels, about=np.array(about))
        write_whole(path, buffer.getvalue())
    else:
        from safetensors.numpy import save

        write_whole(path, save({"features": made.features, "labels": made.labels}, {"about": about}))


def check_file(path: Path) -> None:
    """Raises ValueError for a name that says no form."""
    if path.suffix not in SUFFIXES:
        raise ValueError(
            f"out={str(path)!r} ends in neither {' nor '.join(SUFFIXES)}; nearest valid: {path.with_suffix('.npz')}"
        )


def facts(made: Embedding) -> dict[str, Any]:
    """What is said of the features, but for the names of the images."""
    fields = ("network", "weights", "level", "preprocessing", "classes", "summary")
    return {name: getattr(made, name) for name in fields}


class _Named(NamedTuple):
    """A model, and what is known of it."""

    module: Trunked
    text: str
    sha256: str
    preprocessing: Preprocessing


def _loaded(model: PathLike) -> _Named:
    """What a text or path names: a model's folder, or a network and its weights."""
    text, weights = split_start(os.fspath(model)) if isinstance(model, str) else ("", None)
    if weights is None:
        found, card = load_model(as_path("model", model))
        return _Named(found, card.text, card.sha256, card.preprocessing)
    network = any_network(text)
    start = load_start(weights, network)
    if start.about.preprocessing is None:
        raise ValueError(
            f"model={model!r}: nobody says how images are prepared for these weights; make them a folder with a card: "
            "dorsal weights convert"
        )
    if isinstance(network, Network):
        network = fitted_to(network, 0, start.network.in_channels)
    return _Named(make_model(network, Recipe(), start), text, start.about.sha256, start.about.preprocessing)


def _names(images: Split) -> tuple[str, ...]:
    if isinstance(images, FolderSplit):
        return tuple(shown(images.path(index)) for index in range(len(images)))
    return tuple(map(str, range(len(images))))


def _check_memory(images: int, channels: int) -> None:
    needed, free = features_needed(images, channels), psutil.virtual_memory().available
    if needed > free:
        raise ValueError(
            f"the features of {images:,} images take {show_bytes(needed)} of memory and {show_bytes(free)} are free; "
            "name a smaller split, or a lower level"
        )
