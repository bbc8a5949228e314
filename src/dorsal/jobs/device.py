"""The device that runs use."""

from __future__ import annotations

import msgspec
import torch

from dorsal.jobs.resources import Resources


def choose_device(device: str) -> str:
    """The device to use where this one is asked for: "auto" is cuda where that is there, else mps, else cpu.

    Raises ValueError for a device that is not there.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    valid = [name for name, available in there.items() if available]
    if device == "auto":
        return valid[0]
    if device not in valid:
        raise ValueError(f"device={device!r} is not there; valid: auto, {', '.join(valid)}")
    return device


def with_device(place: Resources) -> Resources:
    """The same place with the device that runs will use. On a cluster "auto" is cuda where runs have GPUs, else cpu.

    Raises ValueError for a device that is not there. Those of a cluster are checked on its nodes.
    """
    if place.ray is None:
        return msgspec.structs.replace(place, device=choose_device(place.device))
    on_nodes = "cuda" if place.gpus else "cpu"
    return msgspec.structs.replace(place, device=on_nodes if place.device == "auto" else place.device)
