"""Reference numbers that detectron2 made: one item of the golden data, its tensors by name."""

from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor, nn

from tests.tasks.golden import golden


class Golden(msgspec.Struct, frozen=True):
    """Tensors by their names without `in.`, `in.w.` and `out.`; `config` and `values` as stored."""

    inputs: dict[str, Tensor]
    weights: dict[str, Tensor]
    out: dict[str, Tensor]
    config: dict[str, Any]
    values: dict[str, Any]


def read_golden(folder: Path, name: str) -> Golden:
    """One item; the test is skipped where it is absent."""
    item = golden(folder, name)
    return Golden(item.under("in."), item.under("in.w."), item.under("out."), item.config, item.values)


def in_double(golden: Golden) -> Golden:
    """The same with inputs and weights in float64, for gradients: where a value before a ReLU is within the noise of
    float32 of 0, the processor would decide which side it is on."""

    def double(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: each.double() if each.is_floating_point() else each for name, each in tensors.items()}

    return msgspec.structs.replace(golden, inputs=double(golden.inputs), weights=double(golden.weights))


def fill(module: nn.Module, weights: dict[str, Tensor], names: dict[str, str]) -> None:
    """Loads the parameters `NAME.weight`, `NAME.bias` of the reference; `names` maps our modules to its names."""
    state = {
        f"{ours}.{part}": weights[f"{theirs}.{part}"]
        for ours, theirs in names.items()
        for part in ("weight", "bias")
        if f"{theirs}.{part}" in weights
    }
    module.load_state_dict(state, strict=True)


def gradients_of(module: nn.Module, names: dict[str, str]) -> dict[str, Tensor]:
    """The gradients of the parameters under the names of the reference."""
    found = {}
    for ours, theirs in names.items():
        for part, parameter in module.get_submodule(ours).named_parameters(recurse=False):
            assert parameter.grad is not None
            found[f"{theirs}.{part}"] = parameter.grad
    return found


def assert_near(found: Tensor, stored: Tensor) -> None:
    """Relative and absolute 1e-5: float32 with another order of summation."""
    torch.testing.assert_close(found, stored, rtol=1e-5, atol=1e-5)


def assert_boxes(found: Tensor, stored: Tensor) -> None:
    """Within 1e-3 pixels, or 1e-5 of a coordinate."""
    torch.testing.assert_close(found.to(stored.dtype), stored, rtol=1e-5, atol=1e-3)


def assert_gradient(found: Tensor, stored: Tensor) -> None:
    """Within 1e-4 of the largest stored value."""
    torch.testing.assert_close(found.to(stored.dtype), stored, rtol=0, atol=1e-4 * float(stored.abs().max()))
