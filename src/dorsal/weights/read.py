"""Finds the network in a checkpoint file of any origin, and runs nothing that the file holds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from dorsal.language.reader import suggest
from dorsal.weights.formats.compare import name_first
from dorsal.weights.formats.packages import find_networks
from dorsal.weights.unpickle import NotSavedByTorchError, unpickle

TORCH_SUFFIXES = (".pth", ".pt", ".pyth", ".th", ".tar", ".bin", ".ckpt", ".pkl")
SUFFIXES = (".safetensors", *TORCH_SUFFIXES)

_DEEPEST = 12
"""How many containers inside one another are searched."""

_WRAPPED = re.compile(r"\b(?:_orig_mod|_checkpoint_wrapped_module|_fsdp_wrapped_module)\.")
"""What torch.compile, activation checkpointing and FSDP insert into names."""


class NetworkInFile(msgspec.Struct, frozen=True, eq=False):
    """A network in a file: its tensors by name, without `prefix`. `state` are the keys that lead to them, joined by
    dots, or "" if there are none. `others` are the names of tensors that stand beside them and lack the prefix."""

    tensors: dict[str, Tensor]
    state: str = ""
    prefix: str = ""
    others: tuple[str, ...] = ()

    @property
    def note(self) -> str:
        """What was taken and what was left, or "" if the file holds these tensors and nothing else."""
        under = f" under {self.state!r}" if self.state else ""
        begin = f" whose names begin {self.prefix!r}" if self.prefix else ""
        taken = f"took the tensors{under}{begin}" if under or begin else ""
        left = f"left {name_first(self.others)}" if self.others else ""
        return "; ".join(filter(None, (taken, left)))


def read_state(path: str | Path, state: str | None = None, prefix: str | None = None) -> dict[str, Tensor]:
    """The tensors of the network in a checkpoint by name; see `find_state`."""
    return find_state(path, state, prefix).tensors


def find_state(path: str | Path, state: str | None = None, prefix: str | None = None) -> NetworkInFile:
    """Finds the network in a checkpoint. Its tensors are on the CPU, mapped from the file if the file's kind allows.

    A network is recognised by the names that all files of a known format have, and it may lie anywhere: under any keys
    (`model_state_dict`, `ema.module`), behind any prefix of names (`module.`, `student.encoder.`), or in a pickled
    module. If there are several, `state` (the keys, joined by dots) and `prefix` choose. They also choose tensors that
    no format recognises. If a file holds a single group of such tensors, that is taken.

    Raises ValueError for a file that is missing, empty, truncated, damaged or of an unknown kind; without tensors that
    have names; with several networks, which it lists; or with values that are not finite in the network.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path} is no file")
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty")
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"{path} has the suffix {suffix!r}{suggest(suffix, SUFFIXES)}")
    groups = {"": _read_safetensors(path)} if suffix == ".safetensors" else _read_torch(path)
    found = _chosen(groups, path, state, prefix)
    check_finite(found.tensors, str(path))
    return found


def check_finite(tensors: Mapping[str, Tensor], what: str) -> None:
    """Raises ValueError naming the tensors that hold NaN or infinity. The message begins with `what`, their owner.

    This reads the memory once, and asks the device once: a sum is finite only if all its terms are. Large finite terms
    can overflow too, so if a sum is not finite, each value is tested.
    """
    floats = {name: value for name, value in tensors.items() if value.is_floating_point() and not value.is_meta}
    if not floats:
        return
    sums = torch.stack([value.detach().sum(dtype=torch.float32) for value in floats.values()])
    if sums.isfinite().all():
        return
    wrong = [name for name, value in floats.items() if not value.isfinite().all()]
    if wrong:
        raise ValueError(f"{what} has values that are not finite (NaN or infinity) in {name_first(wrong)}")


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is truncated or damaged: {error}") from None


def _read_torch(path: Path) -> dict[str, dict[str, Tensor]]:
    """Every group of named tensors in a file, by the keys that lead to it."""
    try:
        content, not_looked_up = unpickle(path)
        groups = dict(_groups(content, (), set()))
    except NotSavedByTorchError as error:
        raise ValueError(f"{path} {error}") from None
    except Exception as error:  # bytes of any origin may fail anywhere in an unpickler
        if "not a zip file" in str(error):
            why = "is truncated: the list of its contents, which stands at the end, is missing"
        elif path.suffix == ".pkl":
            why = "is a pickle that torch.save did not write; save its tensors with torch.save"
        else:
            why = "is truncated or damaged, or was not written by torch.save"
        raise ValueError(f"{path} {why}") from None
    if not groups:
        objects = f" and objects that are not read: {name_first(not_looked_up)}" if not_looked_up else ""
        raise ValueError(f"{path} holds no tensors by name, but {type(content).__name__}{objects}")
    return groups


def _groups(content: Any, keys: tuple[str, ...], seen: set[int]) -> Iterator[tuple[str, dict[str, Tensor]]]:
    if not isinstance(content, (Mapping, list, tuple)) or id(content) in seen or len(keys) > _DEEPEST:
        return
    seen.add(id(content))
    items: list[tuple[Any, Any]] = [*(content.items() if isinstance(content, Mapping) else enumerate(content))]
    if isinstance(content, Mapping) and {"_modules", "_parameters", "_buffers"} <= content.keys():
        items = [*_of_module(content, "", set())]
    tensors = {name: value for name, value in items if isinstance(name, str) and isinstance(value, Tensor)}
    bare = {_WRAPPED.sub("", name): value for name, value in tensors.items()}
    if tensors:
        yield ".".join(keys), bare if len(bare) == len(tensors) else tensors
    for key, value in items:
        yield from _groups(value, (*keys, str(key)), seen)


def _of_module(module: Mapping[str, Any], prefix: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """The state of a pickled module, from its fields."""
    if id(module) in seen:
        return
    seen.add(id(module))
    for name, value in (*module["_parameters"].items(), *module["_buffers"].items()):
        yield f"{prefix}{name}", value
    for name, child in module["_modules"].items():
        if child is not None:
            yield from _of_module(child, f"{prefix}{name}.", seen)


def _chosen(
    groups: Mapping[str, dict[str, Tensor]], path: Path, state: str | None, prefix: str | None
) -> NetworkInFile:
    prefix = f"{prefix}." if prefix and not prefix.endswith(".") else prefix
    if state is not None and state not in groups:
        raise ValueError(f"{path} has no state {state!r}{suggest(state, groups)}")
    groups = groups if state is None else {state: groups[state]}
    networks = {
        (key, start): format
        for key, tensors in groups.items()
        for start, format in find_networks(tensors).items()
        if prefix in (None, start)
    }
    if not networks:  # then names that are chosen, or the only ones, are taken as they are
        start = prefix or ""
        networks = {(key, start): "no known format" for key in groups if any(n.startswith(start) for n in groups[key])}
        if not networks:
            raise ValueError(f"{path} has no names that begin {prefix!r}; they are {_heads(groups)}")
        if len(networks) > 1 and prefix is None:
            raise ValueError(f"{path} holds no network of a known format; its tensors are {_heads(groups)}")
    found: dict[tuple[int, ...], NetworkInFile] = {}
    for key, start in networks:
        each = _under(start, key, groups[key])
        found.setdefault(_places(each), each)  # a state that is saved under two keys is one network
    if len(found) > 1:
        listed = "; ".join(
            f"state {each.state!r} prefix {each.prefix!r} ({networks[each.state, each.prefix]})"
            for each in found.values()
        )
        raise ValueError(
            f"{path} holds {len(found)} sets of weights; choose one by state (--state) and prefix (--prefix): {listed}"
        )
    [chosen] = found.values()
    return chosen


def _places(found: NetworkInFile) -> tuple[int, ...]:
    return tuple(value.data_ptr() for value in found.tensors.values())


def _under(start: str, key: str, tensors: Mapping[str, Tensor]) -> NetworkInFile:
    """The tensors whose names begin with `start`."""
    own = {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}
    # The counter that torch's AveragedModel keeps beside the weights is none of them.
    others = tuple(name for name in tensors if not name.startswith(start) and name != "n_averaged")
    return NetworkInFile(own, key, start, others)


def _heads(groups: Mapping[str, Mapping[str, Tensor]]) -> str:
    return "; ".join(f"state {key!r}: {', '.join(list(tensors)[:3])}, …" for key, tensors in list(groups.items())[:8])
