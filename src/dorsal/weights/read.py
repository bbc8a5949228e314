"""Checkpoint files of any origin as plain states: tensors by name. Nothing in a file is executed."""

from __future__ import annotations

import argparse
import re
import warnings
from collections.abc import Mapping
from numbers import Real
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from dorsal.language.reader import suggest

TORCH_SUFFIXES = (".pth", ".pt", ".pyth", ".th", ".tar", ".bin", ".ckpt", ".pkl")
SUFFIXES = (".safetensors", *TORCH_SUFFIXES)

STATES = ("state_dict_ema", "model_ema", "state_dict", "model")
"""Where training codes keep the state, in timm's order: where averaged weights are kept beside the last ones, it is the
averaged ones that were evaluated."""

WRAPPERS = ("module.", "_orig_mod.", "model.", "backbone.", "bottom_up.", "encoder.")
"""What parallel training, torch.compile and larger models put before a backbone's names."""
BACKBONES = ("backbone.", "bottom_up.", "encoder.")


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name, on the CPU, mapped from the file where its format allows.

    A state wrapped in a training checkpoint is unwrapped; of pycls's two states the one with the lower error is taken,
    as by its own loader. Prefixes that wrappers add are stripped from all names, or from all that have them.

    Raises ValueError in one sentence for a file that is missing, empty, truncated, damaged, of unknown kind, without
    tensors, or that holds more than plain data and tensors.
    """
    if not path.is_file():
        raise ValueError(f"{path} is no file")
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty")
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"{path} has the suffix {suffix!r}{suggest(suffix, SUFFIXES)}")
    content = _read_safetensors(path) if suffix == ".safetensors" else _read_torch(path)
    return _bare(_state_of(content, path))


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is truncated or damaged: {error}") from None


def _read_torch(path: Path) -> Any:
    with path.open("rb") as file:
        zipped = file.read(4) == b"PK\x03\x04"
    try:
        # Training scripts, timm's and torchvision's among them, save their command line as a Namespace.
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of unusual pickle protocols, which then fail or do not
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except Exception as error:  # bytes of any origin may fail anywhere in torch's reader
        raise ValueError(f"{path} {_why(str(error), path.suffix)}") from None


def _why(message: str, suffix: str) -> str:
    """What torch's message means, without its advice to load the file all the same."""
    found = re.search(r"GLOBAL ([\w.]+) w", message)
    if found:
        return f"holds more than tensors ({found[1]}), which could run code; save its state_dict alone"
    if "central directory" in message:
        return "is truncated: the list of its contents, which stands at the end, is missing"
    if "TorchScript" in message:
        return "is a TorchScript archive and not a state; save the module's state_dict instead"
    if suffix == ".pkl":
        return "is a pickle that torch.save did not write and could run code; save its tensors with torch.save"
    return "is truncated or damaged, or was not written by torch.save"


def _state_of(content: Any, path: Path) -> dict[str, Tensor]:
    """The state in what a training code saved."""
    if isinstance(content, Mapping):
        content = _unwrapped(content)
    if not isinstance(content, Mapping) or not content:
        raise ValueError(f"{path} holds no state: {type(content).__name__} instead of tensors by name")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise ValueError(f"{path} holds no state: {name!r} is {type(value).__name__}, not a tensor by its name")
    return {name: value.detach() for name, value in content.items()}


def _unwrapped(content: Mapping[Any, Any]) -> Any:
    if "model_state" in content:  # pycls, pycls/core/checkpoint.py: errors in percent
        last, averaged = (content.get(key, 100) for key in ("test_err", "ema_err"))
        better = isinstance(last, Real) and isinstance(averaged, Real) and averaged < last
        return content.get("ema_state" if better else "model_state", content["model_state"])
    for key in STATES:
        state = content.get(key)
        if isinstance(state, Mapping):
            # The number of averaged states, which torch's AveragedModel keeps among them.
            return {name: value for name, value in state.items() if name != "n_averaged"}
    return content


def _bare(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state without wrappers' prefixes: before all names, or in a larger model before the backbone's."""
    while prefix := next((prefix for prefix in WRAPPERS if all(name.startswith(prefix) for name in state)), ""):
        state = {name.removeprefix(prefix): value for name, value in state.items()}
    for prefix in BACKBONES:
        names = [name.removeprefix(prefix) for name in state]
        if len(set(names)) == len(names):  # otherwise two networks, e.g. an encoder and its average
            state = dict(zip(names, state.values(), strict=True))
    return state
