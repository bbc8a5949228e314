"""What a study keeps of a finished run beside its trial: its predictions and its model. No torch.

predictions/KEY.npz    arrays [n, …] in the order of the images that were scored; see the task's scorer, e.g. `label`,
                       `predicted` and `logits` (half precision) of `tasks.classify.score`, or [D, …] of all that was
                       found in them (`tasks.detect.score`); and `group`, where images are not independent of each other
                       (`data.split.Split.groups`)
models/KEY/            a model as a folder, which every verb takes; see `weights.saved`
"""

from __future__ import annotations

import hashlib
import io
import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dorsal.data.summary import DataSummary
from dorsal.jobs.json_file import write_whole
from dorsal.jobs.records import ModelScore, Trial
from dorsal.language.amounts import show_bytes
from dorsal.spec.task import AnyTask, Classify, Detect, Semantic
from dorsal.stats import Contribution
from dorsal.tasks.contributions import LARGE, contributions

_FLOAT, _HALF, _LABEL = 4, 2, 4
_FOUND = 40
"""Of something found: its image, class, score, and what it is at ten thresholds."""
_CHECKPOINT = 4
"""A checkpoint has the parameters, two moments of the optimizer and perhaps a moving average."""
_STORED = 20_000
"""Bytes of a trial in the store, roughly."""


def model_folder(folder: Path, key: str) -> Path:
    """Where the study in `folder` keeps the model of the run with this key."""
    return folder / "models" / key


def predictions_file(folder: Path, key: str) -> Path:
    """Where the study in `folder` keeps what the run with this key said of each validation image."""
    return folder / "predictions" / f"{key}.npz"


def pack(evidence: Mapping[str, NDArray[Any]], groups: NDArray[np.int64] | None = None) -> bytes:
    """Arrays as the content of an .npz file, with the groups of the images if they have any; the same arrays give the
    same bytes.
    """
    buffer = io.BytesIO()
    more = {} if groups is None else {"group": groups}
    np.savez_compressed(buffer, allow_pickle=False, **{**evidence, **more})
    return buffer.getvalue()


def write_predictions(folder: Path, key: str, content: bytes) -> None:
    """Writes the file atomically. Raises OSError when it cannot be written."""
    path = predictions_file(folder, key)
    path.parent.mkdir(exist_ok=True)
    write_whole(path, content)


def read_predictions(folder: Path, trial: Trial | ModelScore, without: Collection[str] = ()) -> dict[str, NDArray[Any]]:
    """What the run said of each validation image: all arrays, or those that are not of these names.

    Raises ValueError where the study keeps nothing of the run, or the file is not the one that the run wrote.
    """
    path = predictions_file(folder, trial.key)
    if not trial.predictions:
        raise ValueError(f"nothing is kept of what run {trial.key} said of each image: it has not finished")
    if not path.is_file():
        raise ValueError(f"{str(path)!r} is missing: the study kept what a run said of each image there")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != trial.predictions:
        raise ValueError(f"{str(path)!r} is damaged or of another run: its sha256 is not the one in the store")
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files if name not in without}


def contribution(folder: Path, outcome: Trial | ModelScore, task: AnyTask) -> Contribution:
    """What each image contributes to the score of what was scored. Raises ValueError as `read_predictions` does."""
    return contributions(task, read_predictions(folder, outcome, LARGE))


def disk_needed(params: Sequence[int], data: DataSummary, workers: int, keep_models: bool) -> int:
    """Bytes, roughly, that runs of networks with these numbers of parameters leave and take: predictions, models,
    trials, and the checkpoints of those in flight."""
    said = len(params) * predictions_needed(data.val_images, data.task, len(data.classes))
    models = _FLOAT * sum(params) if keep_models else 0
    in_flight = _CHECKPOINT * _FLOAT * sum(sorted(params, reverse=True)[:workers])
    return said + models + len(params) * _STORED + in_flight


def predictions_needed(images: int, task: AnyTask, classes: int) -> int:
    """Bytes, roughly, of what one model said of this number of images."""
    match task:
        case Classify():
            return images * (_HALF * classes + 2 * _LABEL)
        case Semantic():
            return images * 3 * _LABEL * classes
        case Detect():
            return images * (_FOUND * task.detections + _LABEL * classes)


def check_disk(folder: Path, needed: int, models: bool) -> None:
    """Raises ValueError if fewer than the needed bytes are free in the folder, which must exist. `models` says whether
    some of them are for models."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ValueError(
            f"out={str(folder)!r}: the runs need about {show_bytes(needed)} of disk and {show_bytes(free)} are free; "
            f"make room, name a folder on another disk{', or keep no models (keep_models=false)' * models}"
        )
