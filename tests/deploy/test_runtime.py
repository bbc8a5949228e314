"""Sessions are called as they are meant to be, and a file that a runtime cannot open is refused in one sentence."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from msgspec.structs import replace
from torch import nn

import dorsal
from dorsal.deploy import possible
from dorsal.deploy.bundle import make_bundle, open_bundle, write_bundle
from dorsal.deploy.export import export_onnx, export_openvino
from dorsal.deploy.forms import FILES, Form, Runtime
from dorsal.deploy.pixels import Normalized
from dorsal.deploy.possible import why_not
from dorsal.deploy.programs import ProgramSession, export_program
from dorsal.deploy.runtime import Aim, OnnxSession, OpenVinoSession, Outputs, Session
from dorsal.jobs.trained import trained_card
from dorsal.weights.card import Card
from tests.deploy.test_pixels import NORMALIZATIONS


class Counted(Session):
    """Each call waits for as many others as there are to be at once."""

    def __init__(self, at_once: int) -> None:
        self.at_once, self.calls, self.threads = at_once, 0, set[int]()
        self._together, self._lock = threading.Barrier(at_once, timeout=30), threading.Lock()

    def begin_thread(self) -> None:
        self.threads.add(threading.get_ident())

    def __call__(self, *inputs: np.ndarray) -> Outputs:
        assert self.at_once == 1 or threading.get_ident() in self.threads
        self._together.wait()
        with self._lock:
            self.calls += 1
        return inputs


def test_calls_are_timed_one_by_one() -> None:
    session = Counted(1)
    took = session.timed((np.zeros(1),), 4)
    assert session.calls == len(took) == 4
    assert min(took) >= 0


def test_for_throughput_calls_are_made_at_once() -> None:
    session = Counted(3)
    (took,) = session.timed((np.zeros(1),), 4)
    assert session.calls == 3 + 3 * 4, "the first ones start the threads"
    assert len(session.threads) == 3
    assert took > 0


def test_pixels_are_normalized_at_once_too() -> None:
    session = Counted(2)
    Normalized(session, next(iter(NORMALIZATIONS.values()))).timed((np.zeros((1, 4, 4, 3), np.uint8),), 2)
    assert session.calls == 2 + 2 * 2


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x).relu().mean((2, 3))


def written(runtime: Runtime, folder: Path) -> Path:
    """A network of one convolution as a file of this runtime."""
    if reason := why_not(Form(runtime, "float32", "none")):
        pytest.skip(reason)
    torch.manual_seed(0)
    folder.mkdir(exist_ok=True)
    path, inputs = folder / FILES[runtime][0], (torch.randn(2, 3, 16, 16),)
    match runtime:
        case "onnxruntime":
            export_onnx(Net().eval(), inputs, path, any_size=True)
        case "openvino":
            export_openvino(Net().eval(), inputs, path, any_size=True)
        case _:
            export_program(Net().eval(), inputs, Form(runtime, "float32", "none"), path)
    return path


@pytest.mark.parametrize("runtime", ["torch", "onnxruntime", "openvino"])
def test_a_session_for_throughput_says_the_same_in_every_thread(runtime: Runtime, tmp_path: Path) -> None:
    path, threads = written(runtime, tmp_path), torch.get_num_threads()

    def opened(aim: str) -> Session:
        match runtime:
            case "onnxruntime":
                return OnnxSession(path, 2, aim)  # type: ignore[arg-type]
            case "openvino":
                return OpenVinoSession(path, 2, "float32", aim, (1, 3, 16, 16))  # type: ignore[arg-type]
            case _:
                return ProgramSession(path, Form("torch", "float32", "none"), 2, aim)  # type: ignore[arg-type]

    image = np.random.default_rng(0).normal(size=(1, 3, 16, 16)).astype(np.float32)
    alone, several = opened("latency"), opened("throughput")
    assert alone.at_once == 1
    if isinstance(several, OpenVinoSession):
        assert several.at_once == several.compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
    else:
        assert several.at_once == 2
    assert len(several.timed([image], 3)) == (1 if several.at_once > 1 else 3)
    said = list[np.ndarray]()

    def call() -> None:
        several.begin_thread()
        said.extend(several(image))

    callers = [threading.Thread(target=call) for _ in range(2)]
    for each in callers:
        each.start()
    for each in callers:
        each.join()
    (exact,) = alone(image)
    assert len(said) == 2
    for each in said:
        np.testing.assert_allclose(each, exact, rtol=0, atol=1e-6)
    torch.set_num_threads(threads)


@pytest.mark.parametrize(("aim", "at_once"), [("latency", 1), ("throughput", 6)])
def test_for_latency_openvino_is_called_once_at_a_time(
    aim: Aim, at_once: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it would take several requests, as on several sockets."""
    path = written("openvino", tmp_path)

    class Sockets:
        def get_property(self, name: str) -> int:
            return {"OPTIMAL_NUMBER_OF_INFER_REQUESTS": 6}[name]

        def create_infer_request(self) -> None:
            """None is asked for."""

    monkeypatch.setattr(OpenVinoSession, "_compile", lambda *_: Sockets())
    assert OpenVinoSession(path, 2, "float32", aim, (1, 3, 16, 16)).at_once == at_once


@pytest.fixture(scope="module")
def card() -> Card:
    return trained_card(
        dorsal.network("small(depths=[1], widths=[8], classes=10)"),
        dorsal.open_data("scenes(train=20, val=10, size=32)"),
        "a test",
        dorsal.Recipe(),
    )


def unheard(path: Path) -> None:
    """Turns an operator of the file into one that nobody has."""
    if path.suffix == ".onnx":
        import onnx

        model = onnx.load(path)
        next(node for node in model.graph.node if node.op_type == "Relu").op_type = "Unheard"
        onnx.save(model, path)
    else:
        text = path.read_text(encoding="utf-8")
        assert 'type="ReLU"' in text
        path.write_text(text.replace('type="ReLU"', 'type="Unheard"'), encoding="utf-8")


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_an_operator_that_the_runtime_lacks_is_named(runtime: Runtime, tmp_path: Path, card: Card) -> None:
    unheard(written(runtime, tmp_path))
    make_bundle(tmp_path, Form(runtime, "float32", "none"), card, aim="latency", threads=1)
    with pytest.raises(ValueError, match=r"(ONNX Runtime|OpenVINO) cannot open .*Unheard") as raised:
        open_bundle(tmp_path)
    assert len(str(raised.value).splitlines()) == 1
    assert ".cpp:" not in str(raised.value)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("part", [0.0, 0.5])
def test_a_damaged_file_with_a_right_digest_is_refused(
    runtime: Runtime, part: float, tmp_path: Path, card: Card
) -> None:
    path = written(runtime, tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    make_bundle(tmp_path, Form(runtime, "float32", "none"), card, aim="latency", threads=1)
    with pytest.raises(ValueError, match=r"(ONNX Runtime|OpenVINO) cannot open .*: \S") as raised:
        open_bundle(tmp_path)
    assert ".cpp:" not in str(raised.value)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_bundle_opens_without_what_it_was_made_with(
    runtime: Runtime, tmp_path: Path, card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(runtime, tmp_path)
    make_bundle(tmp_path, Form(runtime, "float32", "none"), card, aim="latency", threads=1)
    monkeypatch.setattr(possible, "find_spec", lambda _: None)
    assert open_bundle(tmp_path)(np.zeros((1, 3, 16, 16), np.float32))[0].shape == (1, 8)


@pytest.mark.parametrize("made_with", ["other instructions", "another torch"])
def test_a_package_that_was_compiled_elsewhere_is_refused(made_with: str, tmp_path: Path, card: Card) -> None:
    if reason := why_not(form := Form("aoti", "float32", "none")):
        pytest.skip(reason)
    (tmp_path / FILES["aoti"][0]).write_bytes(b"a package")
    here = torch.backends.cpu.get_cpu_capability()
    bundle = make_bundle(tmp_path, form, card, aim="latency", threads=1, instructions=here)
    if made_with == "another torch":
        write_bundle(tmp_path, replace(bundle, versions={"torch": "2.0.1"}))
        said = r"does not run here: it is compiled with torch 2\.0\.1, and here is"
    else:
        write_bundle(tmp_path, replace(bundle, instructions="AVX9"))
        said = "does not run here: it is compiled for AVX9, and this processor has"
    with pytest.raises(ValueError, match=said):
        open_bundle(tmp_path)
