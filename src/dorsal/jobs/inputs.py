"""What a run is given: its images, and the weights that it begins from. Imports torch."""

from __future__ import annotations

import functools

from dorsal.data.sampling import inner_data, resampled_data
from dorsal.data.spec import DataSpec, format_data
from dorsal.jobs.plan import Run
from dorsal.recipes.probe import INNER_SHARE
from dorsal.spec.task import AnyTask
from dorsal.spec.timm import AnyNetwork
from dorsal.tasks.data import AnyData, open_for
from dorsal.weights.start import StartingWeights, load_start


def data_of(run: Run) -> AnyData:
    """The images of a run. Raises ValueError where they are not those of the plan."""
    data = whole_data(run)
    if run.resample is not None:
        return resampled_data(data, run.resample, run.seed)
    return data if run.inner is None else inner_data(data, INNER_SHARE, run.inner)


def whole_data(run: Run) -> AnyData:
    """The data that the images of a run are from. Raises ValueError where they are not those of the plan."""
    data = open_once(run.data, run.fingerprint, run.task)
    if data.fingerprint != run.fingerprint:
        raise ValueError(f"data {format_data(run.data)!r} changed after the study was planned")
    return data


@functools.lru_cache(maxsize=1)
def open_once(spec: DataSpec, fingerprint: str | None, task: AnyTask) -> AnyData:
    """A worker opens its data once, not once a run, and from the index of the data that were planned with."""
    return open_for(task, spec, fingerprint)


def starting_weights(run: Run) -> StartingWeights | None:
    """The weights that a run begins from. Raises ValueError where they are not there, or not those of the plan."""
    if run.start is None:
        return None
    found = _load_start(run.start.weights, run.network)
    if found.about.sha256 != run.start.sha256:
        raise ValueError(f"weights {run.start.weights} changed after the study was planned")
    return found


@functools.lru_cache(maxsize=1)
def _load_start(weights: str, network: AnyNetwork) -> StartingWeights:
    """Runs of one arm after another load its weights once."""
    return load_start(weights, network)
