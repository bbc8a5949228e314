"""`dorsal space latency`."""

import json

import pytest

from dorsal.jobs.store import Store
from dorsal.latency.predict import read_latency_model
from dorsal.study.timing import run
from dorsal.study.timing.fit import fit_model
from tests.study.test_timing_deployed import in_three_runtimes

SPACE = """
name = "tiny"
base = "small(depths=[1], widths=[16], strides=[2], stem=simple(width=8, stride=2))"
[axes.depths]
by_stage = true
draw = { type = "uniform", low = 1, high = 6 }
[axes.widths]
by_stage = true
draw = { type = "uniform", low = 8, high = 64, quantum = 8 }
"""


@pytest.fixture
def latency(dorsal, tmp_path):
    """Calls the verb on a tiny space, with what is quick."""
    (tmp_path / "tiny.toml").write_text(SPACE)
    quick = {"--count": 12, "--image-size": 32, "--repeats": 1, "--out": tmp_path / "out"}

    def run(*words, space=tmp_path / "tiny.toml"):
        left = (word for option in quick.items() if option[0] not in words for word in option)
        return dorsal("space", "latency", space, *left, *words)

    return run


def test_prints_each_predictor_and_the_contest(latency, tmp_path):
    code, out, err = latency("--batch", "1,2", "--macs", "..10M", "--repeats", 2)
    assert code == 0, err
    assert "12 networks of tiny at 32 px, rounds: 2, threads: 1, cpu, float32, channels_last, on " in out
    for call in ("forward", "step"):
        for batch in (1, 2):
            assert f"{call}, batch {batch}; rounds of one network differ by" in out
            assert out.count(f"{call}, batch {batch}") >= 2
    for predictor in ("macs", "sqrt_macs", "activations", "params", "layers", "all together"):
        assert out.count(f"│ {predictor} ") == 4
    assert f"model: {tmp_path / 'out' / 'latency.json'}" in out
    assert err.splitlines()[-1] == "96 of 96 visits to networks made"


def test_goes_on_and_prints_json(latency, tmp_path, monkeypatch):
    stored, add = [], Store.add

    def breaks_off(*given):
        if len(stored) == 5:
            raise KeyboardInterrupt
        stored.append(given)
        add(*given)

    monkeypatch.setattr(Store, "add", breaks_off)
    words = ("--calls", "forward", "--batch", "1", "--json")
    code, out, _ = latency(*words)
    assert (code, out) == (130, "")
    monkeypatch.setattr(Store, "add", lambda *given: (stored.append(given), add(*given)))
    code, out, _ = latency(*words)
    assert code == 0
    assert len(stored) == 12  # none twice
    model = json.loads(out)
    assert model["setting"] == {
        "calls": ["forward"],
        "batches": [1],
        "threads": 1,
        "device": "cpu",
        "precision": "float32",
        "recipe": "regnet-10ep",
        "layout": "channels_last",
        "runtimes": ["eager"],
    }
    (fit,) = model["fits"]
    assert fit["fitted"]["predictors"] == ["macs", "sqrt_macs", "activations", "params", "layers"]
    assert fit["fitted"]["n"] == 12
    assert read_latency_model(tmp_path / "out").fits[0].fitted.intercept == fit["fitted"]["intercept"]


def test_runtimes_stand_side_by_side(latency, monkeypatch):
    monkeypatch.setattr(run, "measure_latency", lambda *_, **__: fit_model(in_three_runtimes()))
    monkeypatch.setenv("COLUMNS", "160")
    code, out, err = latency("--runtimes", "eager,onnxruntime,openvino", "--calls", "forward")
    assert code == 0, err
    assert "float32, channels_last, in PyTorch eager, ONNX Runtime and OpenVINO, on " in out
    table = out.partition("activations against MACs: median errors")[2]
    for name, better in (("PyTorch eager", "not shown"), ("ONNX Runtime", "MACs"), ("OpenVINO", "activations")):
        (row,) = (line for line in table.splitlines() if line.startswith(f"│ forward in {name}, batch 1 "))
        assert row.endswith(f"│ {better:<11} │")
        assert f"\nforward in {name}, batch 1: activations " in out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--batch", "0"), "batches=0 is below 1; nearest valid: 1"),
        (("--batch", "many"), "--batch=many is not a whole number"),
        (("--calls", "backward"), "calls=backward is not known; valid: forward, step"),
        (("--runtimes", "tensorrt"), "runtimes=tensorrt is not known; valid: eager, onnxruntime, openvino"),
        (("--runtimes", "openvino", "--calls", "step"), "calls=step: a training step exists in eager alone"),
        (("--precision", "int8"), "nearest valid: runtimes=onnxruntime,openvino"),
        (("--precision", "float8"), "precision=float8 is not known; did you mean float32?"),
        (("--macs", "..400"), "did you mean ..400M?"),
        (("--count", "4"), "4 different network(s) are too few"),
        (("--device", "abacus"), "device='abacus' is not there"),
    ],
)
def test_bad_input_is_one_sentence(latency, tmp_path, words, says):
    code, out, err = latency(*words)
    assert (code, out) == (2, "")
    assert says in err
    assert len([line for line in err.splitlines() if line.startswith("dorsal: ")]) == 1
    assert not (tmp_path / "out").exists()


def test_an_unknown_space(latency):
    code, _, err = latency(space="regnet_x")
    assert code == 2
    assert "unknown space 'regnet_x'; did you mean regnetx" in err
