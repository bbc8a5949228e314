"""The features of images: what a network makes of them, averaged over their positions; in memory or kept on disk.

A set that is kept is one file a level, `KEY.level2.npy` or `KEY.last.npy`, float32 [n, channels], with its sha256 in a
file beside it. It is written as the images come and read as it is needed, so it may be larger than memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from torch import Tensor, nn

from dorsal.data.dataset import EvaluationBatches
from dorsal.language.files import sha256_of
from dorsal.nn.backbone import Backbone, Classifier
from dorsal.nn.timm import TimmBackbone
from dorsal.recipes.probe import check_level
from dorsal.spec.preprocessing import Preprocessing

Features = NDArray[np.float32]
Level = int | None
"""A level of the pyramid, or None for what the network's own classifier sees."""
_FLOAT = 4


def pooled(model: nn.Module, images: Tensor, levels: Sequence[Level]) -> list[Tensor]:
    """The features [N, channels] of prepared images [N, C, H, W], one tensor a level.

    None stands for what the network's own classifier sees; of a `Backbone`, which has none, for its last map. Raises
    ValueError for a level that the network does not have, TypeError for a module that has no levels.
    """
    match model:
        case Classifier() | Backbone():
            maps = model.features(images)
            last = (model.head(maps[-1]) if isinstance(model, Classifier) else maps[-1]).mean((2, 3))
        case TimmBackbone(info=()):
            maps, last = (), model.model.forward_head(model.model.forward_features(images), pre_logits=True)
        case TimmBackbone():
            final, maps = model.model.forward_intermediates(images)
            last = model.model.forward_head(final, pre_logits=True)
        case _:
            raise TypeError(f"model is of type {type(model).__name__}; it must be a network of dorsal or of timm")
    for level in levels:
        check_level(level, len(maps), "the network")
    return [last if level is None else maps[level].mean((2, 3)) for level in levels]


def features_of(
    model: nn.Module,
    batches: EvaluationBatches,
    levels: Sequence[Level] = (None,),
    device: torch.device = torch.device("cpu"),
    on_batch: Callable[[int], None] = lambda _: None,
) -> dict[Level, Features]:
    """The features of all images, in order, one array [n, channels] a level, in memory.

    `on_batch` is called with the number of each batch that was taken, from 1. Raises as `pooled` does, and ValueError
    for features that are not finite.
    """
    return _filled(model, batches, levels, device, on_batch, lambda _, shape: np.empty(shape, np.float32))


def feature_key(weights: str, network_hash: str, images: str, preprocessing: Preprocessing) -> str:
    """16 hexadecimal digits of what features depend on: the sha256 of the weights, the network, the digest of the
    images in their order, and how they are prepared. Devices and library versions change them by rounding only."""
    parts = [weights, network_hash, images, preprocessing]
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:16]


def features_needed(images: int, channels: int) -> int:
    """Bytes, on disk or in memory, of the features of so many images."""
    return _FLOAT * images * channels


def kept_features(
    folder: Path,
    key: str,
    make: Callable[[], nn.Module],
    batches: Callable[[], EvaluationBatches],
    levels: Sequence[Level] = (None,),
    device: torch.device = torch.device("cpu"),
    on_batch: Callable[[int], None] = lambda _: None,
    on_note: Callable[[str], None] = lambda _: None,
) -> dict[Level, Features]:
    """The same from `folder`, where those that are not there or are damaged are computed in one pass, and kept.

    `make` gives the model, and `batches` the images; neither is called where all is there. A second process that asks
    for the same waits for the first. `on_note` is told of a damaged file. The arrays are read from disk when they are
    used. Raises OSError when a file cannot be written, and as `features_of` does.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = {level: folder / f"{key}.{'last' if level is None else f'level{level}'}.npy" for level in levels}
    with FileLock(folder / f".{key}.lock"):
        missing = [level for level, path in paths.items() if not _is_sound(path, on_note)]
        if missing:
            with TemporaryDirectory(dir=folder, prefix=f".{key}.") as temporary:
                made = {level: Path(temporary) / paths[level].name for level in missing}
                _write(made, make(), batches(), device, on_batch)
                for level, path in made.items():
                    _sum_file(path).replace(_sum_file(paths[level]))
                    path.replace(paths[level])
    return {level: np.load(path, mmap_mode="c") for level, path in paths.items()}


def _filled(
    model: nn.Module,
    batches: EvaluationBatches,
    levels: Sequence[Level],
    device: torch.device,
    on_batch: Callable[[int], None],
    make: Callable[[Level, tuple[int, int]], Features],
) -> dict[Level, Features]:
    """The features in arrays that `make` gives for a level and a shape."""
    found: dict[Level, Features] = {}
    model.to(device)
    training = model.training
    model.eval()
    with torch.inference_mode():
        for number, (images, _) in enumerate(batches):
            start = number * batches.batch_size
            for level, part in zip(levels, pooled(model, images.to(device), levels), strict=True):
                if not part.isfinite().all():
                    raise ValueError("the features of these images are not finite, so they mean nothing")
                if level not in found:
                    found[level] = make(level, (batches.images, part.shape[1]))
                found[level][start : start + len(part)] = part.float().cpu().numpy()
            on_batch(number + 1)
    model.train(training)
    return found


def _write(
    paths: Mapping[Level, Path],
    model: nn.Module,
    batches: EvaluationBatches,
    device: torch.device,
    on_batch: Callable[[int], None],
) -> None:
    """Writes the features of each level into a file as they come, and its sha256 beside it."""

    mapped = []

    def on_disk(level: Level, shape: tuple[int, int]) -> Features:
        mapped.append(np.lib.format.open_memmap(paths[level], "w+", np.float32, shape))
        return mapped[-1]

    _filled(model, batches, list(paths), device, on_batch, on_disk)
    for each in mapped:
        each.flush()
    for path in paths.values():
        _sum_file(path).write_text(sha256_of(path))


def _is_sound(path: Path, on_note: Callable[[str], None]) -> bool:
    """Whether the file is there and what was written; a note is told of one that is not."""
    if not path.is_file():
        return False
    if _sum_file(path).is_file() and _sum_file(path).read_text() == sha256_of(path):
        return True
    on_note(f"{path} is damaged; its features are computed again")
    return False


def _sum_file(path: Path) -> Path:
    return path.with_suffix(".sha256")
