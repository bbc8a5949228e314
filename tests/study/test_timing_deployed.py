"""Latency in deployed runtimes: names, what is refused, forms that are made once, the contest side by side."""

import errno
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from msgspec.structs import replace

from dorsal.deploy import possible
from dorsal.deploy.forms import FILES, Form
from dorsal.findings.latency import analyse_latency
from dorsal.jobs import measure as jobs_measure
from dorsal.jobs.json_file import write_record
from dorsal.jobs.plan import Measure
from dorsal.latency.predict import cautions, latency_bounds, predictors, read_latency_model
from dorsal.latency.records import (
    MEASUREMENTS,
    MODEL,
    LatencyModel,
    Measurements,
    OtherVersion,
    Setting,
    TimedNetwork,
    quantity,
    read_latency,
)
from dorsal.recipes.text import recipe
from dorsal.report.population.latency import latency_section
from dorsal.report.words.latency import caution_sentence, contest_sentence, fit_title
from dorsal.report.words.numerals import cost_title
from dorsal.space.named import SPACES
from dorsal.space.sample import sample
from dorsal.spec.network import network_hash
from dorsal.study.search.question import Search
from dorsal.study.timing import run as timing
from dorsal.study.timing.fit import FEWEST_TO_FIT, fit_model
from dorsal.study.timing.question import Timing
from dorsal.study.timing.run import FORMS
from dorsal.zoo import network
from tests.report import population_cases
from tests.study.test_timing import InProcess, asked, measurements, quietly

ALL = ("eager", "onnxruntime", "openvino")
FORWARD = ("forward_b1_ms", "onnxruntime_forward_b1_ms", "openvino_forward_b1_ms")
CALLED = ("PyTorch eager", "ONNX Runtime", "OpenVINO")


def setting(**changes: Any) -> Setting:
    fields = {"calls": ("forward",), "batches": (1,), "threads": 1, "device": "cpu", "precision": "float32"}
    return Setting(**{**fields, **changes})


def in_three_runtimes() -> Measurements:
    """In eager time goes by layers, in ONNX Runtime by MACs, in OpenVINO by activations."""
    timed = measurements()
    known_by = dict(zip(FORWARD, ("layers", "macs", "activations"), strict=True))
    networks = tuple(
        replace(each, rounds=({name: each.costs[cost] for name, cost in known_by.items()},)) for each in timed.networks
    )
    return replace(timed, setting=setting(runtimes=ALL), networks=networks)


@pytest.fixture(scope="module")
def model() -> LatencyModel:
    return fit_model(in_three_runtimes())


def test_a_name_tells_the_runtime_and_eager_has_the_old_names() -> None:
    assert tuple(quantity("forward", 1, each) for each in ALL) == FORWARD
    assert quantity("step", 16) == "step_b16_ms"
    both = setting(calls=("forward", "step"), batches=(1, 16), runtimes=("openvino", "eager"))
    assert both.quantities() == (
        "openvino_forward_b1_ms",
        "openvino_forward_b16_ms",
        "forward_b1_ms",
        "forward_b16_ms",
        "step_b1_ms",
        "step_b16_ms",
    )
    assert cost_title("openvino_forward_b16_ms")[:2] == (
        "forward in OpenVINO, batch 16",
        "forward in OpenVINO, ms, batch of 16",
    )
    assert cost_title("onnxruntime_forward_b1_ms", "predicted")[0] == "predicted forward in ONNX Runtime, batch 1"
    assert cost_title("step_b16_ms")[0] == "training step, batch 16"


def test_each_runtime_has_its_fit(model: LatencyModel) -> None:
    assert [fit.quantity for fit in model.fits] == list(predictors(model)) == list(FORWARD)
    assert [fit.runtime for fit in model.fits] == list(ALL)


def without(content: Any, *fields: str) -> Any:
    """JSON as an older version wrote it."""
    if isinstance(content, dict):
        return {key: without(value, *fields) for key, value in content.items() if key not in fields}
    return [without(each, *fields) for each in content] if isinstance(content, list) else content


def test_files_from_before_there_were_runtimes_are_read(tmp_path: Path) -> None:
    old = measurements()
    for record, name in ((old, MEASUREMENTS), (fit_model(old), MODEL)):
        write_record(tmp_path / name, record)
        content = (tmp_path / name).read_text(encoding="utf-8")
        assert '"runtimes"' in content
        (tmp_path / name).write_text(json.dumps(without(json.loads(content), "runtimes", "runtime")), encoding="utf-8")
        assert read_latency(tmp_path / name, type(record)) == record


def test_bounds_are_of_a_runtime(model: LatencyModel) -> None:
    texts = ["openvino_forward_b1_ms=..8", "forward_b1_ms=2.."]
    assert latency_bounds(model, texts) == {"openvino_forward_b1_ms": "..8", "forward_b1_ms": "2.."}
    with pytest.raises(ValueError, match=r"of what\? valid: forward_b1_ms=5 or onnx.*_ms=5 or openvino_forward_b1_"):
        latency_bounds(model, ["5"])
    with pytest.raises(ValueError, match="does not predict 'openvino_forward_b16_ms'; did you mean openvino_forward_"):
        latency_bounds(model, ["openvino_forward_b16_ms=5"])
    alone = replace(model, fits=model.fits[2:])
    assert latency_bounds(alone, ["5"]) == {"openvino_forward_b1_ms": "5"}
    with pytest.raises(ValueError, match="does not predict 'forward_b1_ms'; did you mean openvino_forward_b1_ms"):
        latency_bounds(alone, ["forward_b1_ms=5"])


def test_a_sample_and_a_search_are_bounded_by_a_runtime(tmp_path: Path) -> None:
    space = replace(SPACES["regnetx"], image_size=64)
    drawn = sample(space, 60, {"macs": "5M..60M"})
    names = ("macs", "activations", "params", "layers")
    slopes = dict(zip(FORWARD, (1e-7, 2e-7, 3e-7), strict=True))
    networks = tuple(
        TimedNetwork(
            label=f"regnetx/{row}",
            network_hash=str(row),
            image_size=64,
            costs={name: float(drawn.costs[name][row]) for name in names},
            rounds=({name: 1 + slope * float(drawn.costs["macs"][row]) for name, slope in slopes.items()},),
        )
        for row in range(60)
    )
    model = fit_model(replace(in_three_runtimes(), networks=networks))
    found = sample(space, 20, latency_bounds(model, ["openvino_forward_b1_ms=5..9"]), predicted=predictors(model))
    times = found.costs["openvino_forward_b1_ms"]
    assert times == pytest.approx(1 + 3e-7 * found.costs["macs"])
    assert 5 <= times.min() < times.max() <= 9
    write_record(tmp_path / MODEL, model)
    asked_for = Search(
        space="regnetx",
        latency_model=str(tmp_path),
        bounds={"latency": "onnxruntime_forward_b1_ms=..9"},
        objectives=("error", "openvino_forward_b1_ms"),
    )
    assert asked_for.bounds == {"onnxruntime_forward_b1_ms": "..9"}
    assert sorted(asked_for.predicted) == list(FORWARD[1:])


def test_the_contest_is_told_for_each_runtime(model: LatencyModel) -> None:
    verdicts = ("are not shown to predict better or worse than MACs", "predict worse than MACs", "predict better than")
    for fit, name, verdict in zip(model.fits, CALLED, verdicts, strict=True):
        assert fit_title(fit, model.setting) == f"forward in {name}, batch 1"
        said = contest_sentence(fit, model.setting)
        assert said.startswith(f"forward in {name}, batch 1: activations {verdict}")
        assert "95 % interval" in said


def test_the_page_puts_the_runtimes_side_by_side() -> None:
    case = population_cases.case("whole")
    found = population_cases.measurements(case.population)
    networks = tuple(
        replace(each, rounds=tuple(dict.fromkeys(FORWARD, times["forward_b16_ms"]) for times in each.rounds))
        for each in found.networks
    )
    measured = replace(found, setting=setting(runtimes=ALL), networks=networks)
    latency = analyse_latency(case.population, case.analysis, fit_model(measured), measured)
    page = latency_section(case.analysis, latency)
    rows = page.partition('aria-label="Activations against MACs"')[2].partition("</table>")[0]
    places = [rows.index(f"forward in {name}, batch 1") for name in CALLED]
    assert places == sorted(places)
    assert rows.count("<td>activations</td>") == len(CALLED)
    assert "float32, in PyTorch eager, ONNX Runtime and OpenVINO, on" in page
    assert case.latency is not None
    assert "Activations against MACs" not in latency_section(case.analysis, case.latency)


def test_another_version_of_the_runtime_is_said(model: LatencyModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dorsal.latency.predict.runtime_versions", lambda: {"openvino": "2026.4.1"})
    known = replace(model, versions={**model.versions, "onnxruntime": "1.32.0", "openvino": "2025.3.0"})
    said = [caution_sentence(each) for each in cautions(known, ["tiny"])]
    assert said == [
        "the latency model was measured with onnxruntime 1.32.0, which is not installed here",
        "the latency model was measured with openvino 2025.3.0, and this is openvino 2026.4.1",
    ]
    eager = replace(known, setting=setting(runtimes=("eager",)), versions={"torch": "0.4.1"})
    (caution,) = cautions(eager, ["tiny"])
    assert isinstance(caution, OtherVersion)
    assert caution.package == "torch"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"runtimes": ("tensorrt",)}, "runtimes=tensorrt is not known; valid: eager, onnxruntime, openvino"),
        ({"runtimes": ("eager", "eager")}, "runtimes=eager,eager: name at least one, and each once"),
        ({"runtimes": ()}, "runtimes is empty"),
        (
            {"runtimes": ("openvino",), "calls": ("step",)},
            "calls=step: a training step exists in eager alone, .*; nearest valid: calls=forward, or runtimes=eager",
        ),
        ({"runtimes": ALL, "calls": ("step",)}, "nearest valid: calls=forward,step, or runtimes=eager"),
        ({"runtimes": ("openvino",), "device": "cuda"}, "device=cuda: openvino is timed on cpu; nearest valid: cpu"),
        ({"precision": "int8"}, "PyTorch eager has no int8 .*; nearest valid: runtimes=onnxruntime,openvino"),
        ({"precision": "int8", "runtimes": ("eager", "openvino")}, "nearest valid: runtimes=openvino"),
    ],
)
def test_questions_that_are_none(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Timing(**{"spaces": ("regnetx",), **changes})


def test_a_form_that_cannot_exist_here_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(possible, "_why_no_runtime", lambda _: "")
    bf16 = asked(tmp_path / "out", runtimes=("onnxruntime",), precision="bf16")
    with pytest.raises(ValueError, match=r"^runtimes=onnxruntime with precision=bf16: ONNX Runtime computes nothing"):
        quietly(bf16)
    monkeypatch.setattr(possible, "_why_no_runtime", lambda runtime: f"{runtime} is not installed")
    with pytest.raises(ValueError, match="runtimes=openvino with precision=float32: openvino is not installed"):
        quietly(asked(tmp_path / "out", runtimes=("eager", "openvino")))
    assert not (tmp_path / "out").exists()


class Workshop:
    """Stands for exporters, quantizers and runtimes: notes what is made, and answers without a clock."""

    def __init__(self) -> None:
        self.exported: Counter[str] = Counter()
        self.quantized: list[int] = []
        self.called: list[tuple[str, tuple[int, ...]]] = []
        self.stops_after: int | None = None

    def export(self, _: Any, inputs: Any, path: Path, *, any_size: bool) -> None:
        assert any_size
        assert len(inputs[0]) == 2
        path.write_text("half")
        if self.exported.total() == self.stops_after:
            raise KeyboardInterrupt
        self.exported[path.suffix] += 1
        path.write_text("float32")

    def quantize(self, _: str, source: Path, target: Path, images: Any, recipe: Any) -> None:
        assert source.read_text() == "float32"
        assert recipe.ranges == "minmax"
        assert {each.shape for each in images} == {(1, 3, 32, 32)}
        self.quantized.append(len(images))
        target.write_text("int8")

    def opened(self, path: Path, form: Form, _: int, shape: tuple[int, ...]) -> Any:
        assert path.read_text() == form.precision
        self.called.append((form.runtime, shape))
        return self

    def timed(self, inputs: Any, calls: int) -> list[float]:
        return [2.0 * len(inputs[0])] * calls


@pytest.fixture
def workshop(monkeypatch: pytest.MonkeyPatch) -> Workshop:
    made = Workshop()
    monkeypatch.setattr(jobs_measure, "export_onnx", made.export)
    monkeypatch.setattr(jobs_measure, "export_openvino", made.export)
    monkeypatch.setattr(jobs_measure, "quantize", made.quantize)
    monkeypatch.setattr(jobs_measure, "_opened", made.opened)
    monkeypatch.setattr(jobs_measure, "_forward", lambda job, _: 1e-3 * job.batch)
    monkeypatch.setattr(jobs_measure, "_step", lambda job, _: 3e-3 * job.batch)
    monkeypatch.setattr(timing, "LocalPool", InProcess)
    monkeypatch.setattr(timing, "why_not", lambda _: "")
    return made


def test_all_runtimes_are_visited_in_each_round(workshop: Workshop, tmp_path: Path) -> None:
    model, said = quietly(asked(tmp_path / "out", runtimes=ALL, calls=("forward", "step"), batches=(1, 4)))
    assert said == []
    stored = read_latency(tmp_path / "out" / MEASUREMENTS, Measurements)
    whole = {"forward_b1_ms": 1, "forward_b4_ms": 4, "step_b1_ms": 3, "step_b4_ms": 12}
    for runtime in ALL[1:]:
        whole |= {f"{runtime}_forward_b1_ms": 2, f"{runtime}_forward_b4_ms": 8}
    assert [timed.rounds for timed in stored.networks] == [(pytest.approx(whole),) * 2] * FEWEST_TO_FIT
    assert {fit.quantity for fit in model.fits} == set(whole)
    assert set(workshop.called) == {(runtime, (batch, 3, 32, 32)) for runtime in ALL[1:] for batch in (1, 4)}
    assert read_latency_model(tmp_path / "out") == model


def test_a_form_is_made_once_and_used_in_later_rounds(workshop: Workshop, tmp_path: Path) -> None:
    quietly(asked(tmp_path / "out", runtimes=ALL, batches=(1, 4)))
    assert workshop.exported == {".onnx": FEWEST_TO_FIT, ".xml": FEWEST_TO_FIT}
    calls = len(workshop.called)
    model, _ = quietly(asked(tmp_path / "out", runtimes=ALL, batches=(1, 4), repeats=3))
    assert (model.rounds, len(workshop.called)) == (3, calls * 3 // 2)
    assert workshop.exported.total() == 2 * FEWEST_TO_FIT
    forms = sorted(path.name for path in (tmp_path / "out" / FORMS).iterdir())
    first = min(timed.network_hash for timed in read_latency(tmp_path / "out" / MEASUREMENTS, Measurements).networks)
    assert forms[0] == f"{first}-32-onnxruntime-float32-chunked"
    assert len(forms) == 2 * FEWEST_TO_FIT


def test_what_is_broken_off_leaves_no_half_of_a_form(workshop: Workshop, tmp_path: Path) -> None:
    workshop.stops_after = 5
    with pytest.raises(KeyboardInterrupt):
        quietly(asked(tmp_path / "out", runtimes=("openvino",)))
    forms = tmp_path / "out" / FORMS
    assert [(path / "model.xml").read_text() for path in forms.iterdir()] == ["float32"] * 5
    half = forms / f".{next(forms.iterdir()).name}"  # as a process that was killed would leave it
    half.mkdir()
    workshop.stops_after = None
    model, _ = quietly(asked(tmp_path / "out", runtimes=("openvino",)))
    assert (model.rounds, workshop.exported[".xml"]) == (2, FEWEST_TO_FIT)


@pytest.mark.parametrize(
    "full", [OSError(errno.ENOSPC, "No space left on device"), OSError("OpenVINO cannot write model.xml: iostream")]
)
def test_a_full_disk_ends_it_and_the_same_call_goes_on(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: OSError
) -> None:
    """It is no fault of the network, whose visit is not stored."""

    def export(*inputs: Any, **options: Any) -> None:
        if workshop.exported.total() == 5:
            raise full
        workshop.export(*inputs, **options)

    monkeypatch.setattr(jobs_measure, "export_openvino", export)
    with pytest.raises(OSError, match="no room left on the disk; the same command goes on") as raised:
        quietly(asked(tmp_path / "out", runtimes=("openvino",)))
    assert (raised.value.errno, raised.value.filename) == (errno.ENOSPC, str(tmp_path / "out" / FORMS))
    assert len(list((tmp_path / "out" / FORMS).iterdir())) == 5
    monkeypatch.setattr(jobs_measure, "export_openvino", workshop.export)
    model, said = quietly(asked(tmp_path / "out", runtimes=("openvino",)))
    assert (model.rounds, workshop.exported[".xml"], said) == (2, FEWEST_TO_FIT, [])


def test_int8_is_quantised_with_random_images(workshop: Workshop, tmp_path: Path) -> None:
    model, _ = quietly(asked(tmp_path / "out", runtimes=("openvino",), precision="int8"))
    assert workshop.quantized == [16] * FEWEST_TO_FIT
    assert model.setting.precision == "int8"
    for folder in (tmp_path / "out" / FORMS).iterdir():
        assert [path.name for path in folder.iterdir()] == ["model.xml"]
        assert folder.name.endswith("-32-openvino-int8-chunked")


def test_steps_are_left_out_where_eager_is_not_asked_for(workshop: Workshop, tmp_path: Path) -> None:
    model, said = quietly(asked(tmp_path / "out", runtimes=("openvino",), calls=("forward", "step")))
    assert said == ["training steps are left out: they exist in eager alone, which is not among the runtimes"]
    assert [fit.quantity for fit in model.fits] == ["openvino_forward_b1_ms"]
    again, _ = quietly(asked(tmp_path / "out", runtimes=("openvino",), calls=("forward",)))
    assert again == model


def test_an_operator_that_a_runtime_lacks_is_an_outcome(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacks(*_: Any) -> Any:
        raise RuntimeError("no operator\n of that name")

    monkeypatch.setattr(jobs_measure, "_opened", lacks)
    with pytest.raises(ValueError, match=r"openvino_forward_b1_ms: 0 of 12 .*RuntimeError: no operator of that"):
        quietly(asked(tmp_path / "out", runtimes=("eager", "openvino")))
    stored = read_latency(tmp_path / "out" / MEASUREMENTS, Measurements)
    assert {tuple(timed.errors) for timed in stored.networks} == {("openvino_forward_b1_ms",)}
    assert all(len(timed.rounds) == 2 for timed in stored.networks)


def test_a_folder_of_another_runtime_or_version_is_refused(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "runtime_versions", lambda: {"openvino": "2026.4.1"})
    quietly(asked(tmp_path / "out", runtimes=("openvino",)))
    with pytest.raises(ValueError, match=r"runtimes was \('openvino',\), not \('eager', 'openvino'\)"):
        quietly(asked(tmp_path / "out", runtimes=("eager", "openvino")))
    monkeypatch.setattr(timing, "runtime_versions", lambda: {"openvino": "2027.0.0"})
    with pytest.raises(ValueError, match=r"openvino was 2026\.4\.1, not 2027\.0\.0"):
        quietly(asked(tmp_path / "out", runtimes=("openvino",)))


def visit(form: Form, text: str, batch: int, forms: Path) -> Any:
    """What one visit comes to."""
    job = Measure(
        key="a visit",
        name="a visit",
        network=network(text),
        image_size=32,
        call="forward",
        batch=batch,
        recipe=recipe("regnet-10ep"),
        bfloat16=False,
        form=form,
    )
    return jobs_measure.measure(job, lambda _: None, threads=1, device="cpu", forms=forms)


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("runtime", ALL[1:])
def test_networks_are_called_in_real_runtimes(runtime: Any, precision: Any, tmp_path: Path) -> None:
    form = Form(runtime, precision, "chunked")
    if reason := possible.why_not(form):
        pytest.skip(reason)
    text = "resnest_small(depths=[1], widths=[16], strides=[2])"
    for batch in (1, 3):
        found = visit(form, text, batch, tmp_path)
        assert found.error == ""
        assert found.milliseconds > 0
    (folder,) = tmp_path.iterdir()
    assert folder.name == f"{network_hash(network(text))}-32-{form.name}"
    assert {path.name for path in folder.iterdir()} == set(FILES[form.runtime])


def test_torch_is_left_as_it_was(workshop: Workshop, tmp_path: Path) -> None:
    before = torch.random.get_rng_state()
    found = visit(Form("openvino", "float32", "chunked"), "small", 1, tmp_path)
    assert found.milliseconds == 2.0
    assert torch.equal(torch.random.get_rng_state(), before)
