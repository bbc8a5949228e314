"""Checkpoint files: the network is found behind any wrapper, and nothing that a file names is run or looked up."""

import argparse
import collections
import datetime
import enum
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
from torch import nn

from dorsal.nn.build import build
from dorsal.weights.formats import from_ours
from dorsal.weights.read import SUFFIXES, check_finite, find_state, read_state
from dorsal.weights.unpickle import Inert, unpickle
from dorsal.zoo import network
from tests.weights.states import random_state

NET = network("resnet18(depths=[1, 1], widths=[4, 8], strides=[1, 2], classes=3)")
STATE = from_ours(random_state(NET, torch.float32), NET, "torchvision")
OTHER = {name: value + 1 for name, value in STATE.items()}
MM = from_ours(random_state(NET, torch.float32), NET, "mm")
OTHERS = {"rng": torch.zeros(1), "optimizer": {"state": {0: {"momentum_buffer": torch.zeros(3)}}}}


class Level(enum.Enum):
    LOW = 1


class Settings(dict):
    """As configurations are saved: a dictionary with attributes."""


class Hostile:
    """Unpickles by making a file."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


def saved(path, content, **options):
    torch.save(content, path, **options)
    return path


def after(prefix, state=STATE):
    return {prefix + name: value for name, value in state.items()}


def assert_is(state, expected=STATE):
    assert state.keys() == expected.keys()
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
    ("content", "state", "prefix"),
    [
        (STATE, "", ""),
        ({"model_state_dict": STATE, "epoch": 3, **OTHERS}, "model_state_dict", ""),
        ({"model": STATE, "args": argparse.Namespace(lr=0.1, out=Path("x"))}, "model", ""),
        ({"checkpoint": {"student": {"net": after("module.")}}}, "checkpoint.student.net", "module."),
        ([after("student.encoder."), 3], "0", "student.encoder."),
        ({"state_dict": after("net.") | {"loss.weight": torch.ones(2)}}, "state_dict", "net."),
        (after("module.") | {"n_averaged": torch.tensor(9)}, "", "module."),
        (after("_orig_mod.module."), "", "module."),
        (after("module._orig_mod."), "", "module."),
        ({re.sub(r"^(layer1.0)", r"\1._orig_mod", name): value for name, value in STATE.items()}, "", ""),
        (after("module.model.backbone.body."), "", "module.model.backbone.body."),
        ({"model": STATE, "state_dict": dict(STATE)}, "model", ""),
        ({name: nn.Parameter(value) if value.is_floating_point() else value for name, value in STATE.items()}, "", ""),
        ({"cfg": Settings(model=STATE)}, "cfg.model", ""),
    ],
    ids=range(14),
)
def test_the_network_is_found_behind_any_wrapper(tmp_path, content, state, prefix):
    found = find_state(saved(tmp_path / "model.pth", content))
    assert_is(found.tensors)
    assert (found.state, found.prefix) == (state, prefix)


def test_what_is_taken_and_left_is_said(tmp_path):
    path = saved(tmp_path / "model.pth", {"ema": after("encoder.") | {"neck.bias": torch.ones(1)}})
    assert find_state(path).note == "took the tensors under 'ema' whose names begin 'encoder.'; left neck.bias"
    assert find_state(saved(tmp_path / "model.pth", STATE)).note == ""


def test_openmmlabs_classifier_stays_with_its_backbone(tmp_path):
    path = tmp_path / "model.pth"
    assert_is(read_state(saved(path, {"meta": {"CLASSES": ["a"]}, "state_dict": MM})), MM)
    assert_is(read_state(saved(path, {"state_dict": after("module.", MM)})), MM)
    detector = {name: value for name, value in MM.items() if name.startswith("backbone.")} | {
        "neck.bias": torch.ones(1)
    }
    found = find_state(saved(path, {"state_dict": detector}))
    assert (found.prefix, found.others) == ("backbone.", ("neck.bias",))


SEVERAL = {"model": STATE, "ema": after("module.", OTHER), "epoch": 3}


def test_several_networks_are_listed_and_chosen(tmp_path):
    path = saved(tmp_path / "model.pth", SEVERAL)
    message = (
        "holds 2 sets of weights; choose one by state (--state) and prefix (--prefix): state 'model' prefix '' "
        "(torchvision); state 'ema' prefix 'module.' (torchvision)"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        read_state(path)
    assert_is(read_state(path, state="model"))
    assert_is(read_state(path, state="ema"), OTHER)
    assert_is(read_state(path, prefix="module."), OTHER)
    with pytest.raises(ValueError, match="has no state 'emaa'; did you mean ema"):
        read_state(path, state="emaa")
    with pytest.raises(
        ValueError, match=r"has no names that begin 'net\.'; they are state 'ema': module\.conv1\.weight"
    ):
        read_state(path, state="ema", prefix="net.")
    path = saved(tmp_path / "model.pth", after("student.") | after("teacher.", OTHER))
    with pytest.raises(ValueError, match=r"state '' prefix 'student\.'.*; state '' prefix 'teacher\.'"):
        read_state(path)
    assert_is(read_state(path, prefix="teacher."), OTHER)
    assert_is(read_state(path, prefix="teacher"), OTHER)


def test_names_of_no_known_format_are_taken_where_there_is_no_choice(tmp_path):
    strange = {"a.x": torch.ones(1), "a.y": torch.ones(2), "b": torch.ones(3)}
    path = saved(tmp_path / "model.pth", {"weights": strange})
    assert_is(read_state(path), strange)
    assert list(read_state(path, prefix="a.")) == ["x", "y"]
    path = saved(path, {"one": strange, "two": {"c": torch.ones(1)}})
    with pytest.raises(
        ValueError, match=r"no network of a known format; its tensors are state 'one': a\.x, a\.y, b, …; s"
    ):
        read_state(path)
    assert list(read_state(path, state="two")) == ["c"]


PLAIN = {
    "args": argparse.Namespace(out=Path("x"), level=Level.LOW),
    "score": np.float64(3),
    "confusion": np.arange(4),
    "random": np.random.default_rng(0).bit_generator.state,
    "began": datetime.datetime(2020, 1, 1),
    "per_level": {Level.LOW: 1, Path("a"): 2},
    "losses": collections.deque([1.0, 2.0], maxlen=3),
    "counts": collections.defaultdict(list, {"a": [1]}),
    "seen": {Path("a"), Path("b")},
    "settings": Settings(lr=0.1),
    "device": torch.device("cpu"),
    "dtype": torch.float16,
    "shape": torch.Size([1]),
    "function": np.sin,
    "large": 2**100,
    "optimizer": torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=0.1, momentum=0.9).state_dict(),
}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_any_data_may_stand_beside_the_tensors(tmp_path, zipped, protocol):
    """What checkpoints of timm, torchvision, OpenMMLab and Lightning hold, and what their authors' own scripts add."""
    content = {**PLAIN, "state_dict": STATE}
    path = saved(tmp_path / "a.pth", content, _use_new_zipfile_serialization=zipped, pickle_protocol=protocol)
    assert_is(read_state(path))


def test_tensors_of_every_kind_are_as_torch_loads_them(tmp_path):
    base = torch.randn(4, 6)
    tensors = {
        **{str(dtype): base.to(dtype) for dtype in (torch.float64, torch.float16, torch.bfloat16, torch.int8)},
        **{"bool": base > 0, "view": base[1:, ::2], "turned": base.t(), "scalar": torch.tensor(3), "empty": base[:0]},
    }
    for zipped in (True, False):
        path = saved(tmp_path / "a.pth", tensors, _use_new_zipfile_serialization=zipped)
        loaded = unpickle(path)[0]
        assert loaded["view"].untyped_storage().data_ptr() == loaded["turned"].untyped_storage().data_ptr()
        for name, value in torch.load(path, weights_only=True).items():
            assert torch.equal(loaded[name], value)
            assert (loaded[name].dtype, loaded[name].stride()) == (value.dtype, value.stride())


def test_zipped_tensors_are_mapped_and_the_file_stays_as_it_is(tmp_path):
    path = saved(tmp_path / "a.pth", STATE)
    before = path.read_bytes()
    read_state(path)["conv1.weight"].zero_()
    assert path.read_bytes() == before


@pytest.mark.parametrize("wrap", [lambda m: m, nn.DataParallel, lambda m: {"epoch": 3, "model": m}])
def test_a_pickled_module_is_read_without_its_classes(tmp_path, wrap):
    model = build(NET)
    model.load_state_dict(random_state(NET, torch.float32))
    path = saved(tmp_path / "model.pt", wrap(model))
    assert_is(read_state(path), dict(model.state_dict()))


@pytest.mark.parametrize("legacy", [False, True])
def test_code_is_not_run(tmp_path, legacy):
    marker = tmp_path / "marker"
    path = tmp_path / "model.pth"
    for content in ({"state_dict": STATE, "hook": Hostile(marker)}, {**STATE, "hook": [Hostile(marker)]}):
        assert_is(read_state(saved(path, content, _use_new_zipfile_serialization=not legacy)))
    for content in (Hostile(marker), {"conv1.weight": Hostile(marker)}):
        saved(path, content, _use_new_zipfile_serialization=not legacy)
        with pytest.raises(
            ValueError, match=r"model\.pth holds no tensors by name, but .*objects that are not read: \S+"
        ):
            read_state(path)
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(Hostile(marker)))
    with pytest.raises(ValueError, match=r"model\.pkl is a pickle that torch\.save did not write"):
        read_state(path)
    assert not marker.exists()
    with path.open("rb") as file:
        pickle.load(file)
    assert marker.exists()  # it would have run


def test_a_file_can_set_nothing_on_what_it_names(tmp_path):
    """BUILD sets attributes of what stands on the stack: here of the function that makes tensors, and of classes."""
    for name in (b"ctorch._utils\n_rebuild_tensor_v2\n", b"ccollections\nOrderedDict\n", b"cos\nsystem\n"):
        path = tmp_path / "a.pth"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a/data.pkl", b"\x80\x02" + name + b"}X\x05\x00\x00\x00_markK\x01s}\x86b.")
        try:
            found = unpickle(path)[0]
        except TypeError:  # of a class there is no instance to set anything on
            continue
        assert not hasattr(found, "_mark")
    assert not hasattr(Inert, "_mark")


def test_values_that_are_not_finite_are_refused_by_name(tmp_path):
    for wrong in (float("nan"), float("inf"), -float("inf")):
        bad = {name: value.clone() for name, value in STATE.items()}
        bad["bn1.running_var"][1] = wrong
        for path in (tmp_path / "model.safetensors", tmp_path / "model.pth"):
            save_file(bad, path) if path.suffix == ".safetensors" else torch.save(bad, path)
            with pytest.raises(
                ValueError, match=r"values that are not finite \(NaN or infinity\) in bn1\.running_var$"
            ):
                read_state(path)
    torch.save({"model": bad, "ema": STATE}, path)
    assert_is(read_state(path, state="ema"))


def test_large_finite_values_are_finite():
    check_finite(
        {
            "a": torch.full((9,), 3e38),
            "b": torch.full((9,), 6e4).half(),
            "c": torch.full((9,), 1e300, dtype=torch.float64),
        },
        "",
    )
    with pytest.raises(ValueError, match=r"x has values that are not finite .* in b$"):
        check_finite({"a": torch.full((9,), 3e38), "b": torch.tensor([1e5]).half(), "n": torch.tensor(1)}, "x")


def test_damaged_and_foreign_files_are_named_as_such(tmp_path):
    whole = saved(tmp_path / "whole.pth", STATE).read_bytes()
    old = saved(tmp_path / "old.pth", STATE, _use_new_zipfile_serialization=False).read_bytes()
    tensors = tmp_path / "whole.safetensors"
    save_file(STATE, tensors)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("hello.txt", "hello")
    files = {
        "empty.pth": (b"", "is empty"),
        "cut.pth": (whole[: len(whole) // 2], "is truncated: the list of its contents"),
        "page.pth": (b"<html>404</html>", "is truncated or damaged, or was not written by torch.save"),
        "cut_old.pth": (old[:-5], "is truncated or damaged"),
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


def test_torchscript_is_named_as_such(tmp_path):
    with zipfile.ZipFile(tmp_path / "model.pt", "w") as archive:  # what torch.jit.save writes, as far as it is read
        for name in ("data.pkl", "constants.pkl", "code/model.py"):
            archive.writestr(f"model/{name}", b"\x80\x02}.")
    with pytest.raises(ValueError, match="is a TorchScript archive and not a state"):
        read_state(tmp_path / "model.pt")


@pytest.mark.parametrize("content", [[1, 2], {}, {"lr": 0.1}, 3, {1: torch.zeros(1)}, {"model": None, "a": [[[]]]}])
def test_what_holds_no_tensors_is_named_as_such(tmp_path, content):
    message = re.escape("model.pth holds no tensors by name, but ") + r"\w+$"
    with pytest.raises(ValueError, match=message):
        read_state(saved(tmp_path / "model.pth", content))


def test_containers_in_a_circle_end(tmp_path):
    circle = {"state_dict": STATE}
    circle["self"] = [circle]
    assert_is(read_state(saved(tmp_path / "model.pth", circle)))


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
