"""Checkpoint files: what training codes wrap is unwrapped, and what is no state is refused without running anything."""

import argparse
import io
import pickle
import re
import zipfile
from pathlib import Path

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from dorsal.weights.read import SUFFIXES, read_state

STATE = {"conv1.weight": torch.randn(4, 3, 3, 3), "fc.bias": torch.arange(5.0)}
OTHER = {name: value + 1 for name, value in STATE.items()}


class Hostile:
    """Unpickles by making a file."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


def saved(path, content):
    torch.save(content, path)
    return path


def assert_is(state, expected=STATE):
    assert list(state) == list(expected)
    for name, value in expected.items():
        assert torch.equal(state[name], value)
        assert not state[name].requires_grad


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_suffix(tmp_path, suffix):
    path = tmp_path / f"model{suffix}"
    save_file(STATE, path) if suffix == ".safetensors" else torch.save(STATE, path)
    assert_is(read_state(path))


def test_files_older_than_pytorch_1_6(tmp_path):
    path = tmp_path / "model.pth"
    torch.save({"state_dict": STATE}, path, _use_new_zipfile_serialization=False)
    assert_is(read_state(path))


@pytest.mark.parametrize(
    "content",
    [
        STATE,
        {"state_dict": STATE, "epoch": 3, "optimizer": {"state": {}}},
        {"meta": {"CLASSES": ["a"]}, "state_dict": STATE},
        {"model": STATE, "args": argparse.Namespace(lr=0.1)},
        {"model": OTHER, "model_ema": {"n_averaged": torch.tensor(9)} | {f"module.{k}": v for k, v in STATE.items()}},
        {"state_dict": OTHER, "state_dict_ema": STATE},
        {"model_state": STATE, "epoch": 99, "cfg": "text"},
        {"model_state": STATE, "ema_state": OTHER, "test_err": 20.1, "ema_err": 20.1},
        {"model_state": OTHER, "ema_state": STATE, "test_err": 20.1, "ema_err": 19.9},
        {"model_state": STATE, "ema_state": OTHER},
        {name: torch.nn.Parameter(value) for name, value in STATE.items()},
    ],
    ids=range(11),
)
def test_wrapped_states(tmp_path, content):
    assert_is(read_state(saved(tmp_path / "model.pth", content)))


@pytest.mark.parametrize(
    "prefix", ["module.", "module.backbone.", "_orig_mod.module.", "backbone.bottom_up.", "model.encoder."]
)
def test_prefixes_of_all_names(tmp_path, prefix):
    content = {prefix + name: value for name, value in STATE.items()}
    assert_is(read_state(saved(tmp_path / "model.pth", content)))


def test_prefixes_of_the_backbone_in_a_larger_model(tmp_path):
    names = ["module.backbone.bottom_up.conv1.weight", "module.backbone.fpn.weight", "module.head.fc.bias"]
    state = read_state(saved(tmp_path / "model.pth", dict.fromkeys(names, torch.zeros(1))))
    assert list(state) == ["conv1.weight", "fpn.weight", "head.fc.bias"]


def test_prefixes_stay_where_two_names_would_become_one(tmp_path):
    names = ["encoder.conv1.weight", "conv1.weight"]
    assert list(read_state(saved(tmp_path / "model.pth", dict.fromkeys(names, torch.zeros(1))))) == names


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    "wrap", [lambda h: h, lambda h: {"state_dict": STATE, "hook": h}, lambda h: {"conv1.weight": h}]
)
def test_code_is_not_run(tmp_path, legacy, wrap):
    marker = tmp_path / "marker"
    path = tmp_path / "model.pth"
    torch.save(wrap(Hostile(marker)), path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(ValueError, match=r"model\.pth holds more than tensors \(\S+\), which could run code"):
        read_state(path)
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(wrap(Hostile(marker))))
    with pytest.raises(ValueError, match=r"model\.pkl is a pickle that torch\.save did not write"):
        read_state(path)
    assert not marker.exists()
    with path.open("rb") as file:
        pickle.load(file)
    assert marker.exists()  # it would have run


def test_damaged_and_foreign_files_are_named_as_such(tmp_path):
    whole = saved(tmp_path / "whole.pth", STATE).read_bytes()
    tensors = tmp_path / "whole.safetensors"
    save_file(STATE, tensors)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("hello.txt", "hello")
    files = {
        "empty.pth": (b"", "is empty"),
        "cut.pth": (whole[: len(whole) // 2], "is truncated: the list of its contents"),
        "page.pth": (b"<html>404</html>", "is truncated or damaged, or was not written by torch.save"),
        "other.zip.pth": (archive.getvalue(), "is truncated or damaged"),
        "cut.safetensors": (tensors.read_bytes()[:-5], "is truncated or damaged"),
        "detectron2.pkl": (pickle.dumps({"model": {"a": np.zeros(2)}}), "is a pickle that torch.save did not write"),
        "keras.h5": (b"x", "has the suffix '.h5'; did you mean .th"),
    }
    for name, (content, message) in files.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=re.escape(f"{name} {message}")):
            read_state(tmp_path / name)
    with pytest.raises(ValueError, match=r"none\.pth is no file"):
        read_state(tmp_path / "none.pth")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (torch.nn.Linear(2, 2), "holds more than tensors (torch.nn.modules.linear.Linear)"),
        ({"state_dict": STATE, "best": np.float64(3)}, "holds more than tensors (numpy._core.multiarray.scalar)"),
        ([1, 2], "holds no state: list instead of tensors by name"),
        ({}, "holds no state"),
        ({"lr": 0.1}, "holds no state: 'lr' is float, not a tensor by its name"),
        ({1: torch.zeros(1)}, "holds no state: 1 is Tensor, not a tensor by its name"),
        ({"model_state": None, "test_err": "low", "ema_err": []}, "holds no state"),
    ],
)
def test_what_is_no_state_is_named_as_such(tmp_path, content, message):
    with pytest.raises(ValueError, match=re.escape(f"model.pth {message}")):
        read_state(saved(tmp_path / "model.pth", content))


@hypothesis.settings(max_examples=60, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
@hypothesis.given(
    kind=st.sampled_from(["zip.pth", "legacy.pth", "model.safetensors"]),
    keep=st.floats(0, 1),
    noise=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=5),
)
def test_damage_is_an_error_or_does_no_harm(tmp_path, kind, keep, noise):
    """Cut anywhere and overwritten in some places, a file is refused with ValueError or gives tensors."""
    path = tmp_path / kind
    if kind.endswith("pth"):
        torch.save(STATE, path, _use_new_zipfile_serialization=kind == "zip.pth")
    else:
        save_file(STATE, path)
    content = bytearray(path.read_bytes())
    for place, value in noise:
        content[int(place * len(content))] = value
    path.unlink()  # mapped tensors of an earlier example keep their file
    path.write_bytes(bytes(content[: int(keep * len(content))]))
    try:
        values = list(read_state(path).values())
    except ValueError as error:
        values = [str(error)]
    assert all(isinstance(value, torch.Tensor) for value in values) or values[0].startswith(str(path))
