"""Reference numbers made with other implementations: see the README beside the files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from safetensors.torch import load_file
from torch import Tensor


class Golden(NamedTuple):
    """One item: tensors by name, settings, and results that are numbers."""

    tensors: dict[str, Tensor]
    config: dict[str, Any]
    values: dict[str, Any]

    def under(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose names begin with `prefix`, by the rest of their names."""
        return {name.removeprefix(prefix): t for name, t in self.tensors.items() if name.startswith(prefix)}


def golden(real_data: Path, name: str) -> Golden:
    """The item of this name; the test is skipped where it is absent."""
    folder = real_data / "golden_tasks"
    if not (folder / f"{name}.json").is_file():
        pytest.skip(f"no reference numbers at {folder / name}")
    said = json.loads((folder / f"{name}.json").read_text())
    tensors = folder / f"{name}.safetensors"
    return Golden(load_file(tensors) if tensors.is_file() else {}, said["config"], said["values"])
