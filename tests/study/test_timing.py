"""Latency: what is measured, what is fitted, what is predicted and what is not."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dorsal.data.spec import Scenes
from dorsal.data.summary import DataSummary
from dorsal.jobs import measure as jobs_measure
from dorsal.jobs.engine import Report
from dorsal.jobs.events import Event, JobEnd, Note
from dorsal.jobs.json_file import write_record
from dorsal.jobs.machine import machine, versions
from dorsal.jobs.records import Arm, Machine, Study
from dorsal.jobs.study_file import read_study_file, write_study_file
from dorsal.latency.predict import cautions, latency_bounds, predictors, read_latency_model
from dorsal.latency.records import (
    MEASUREMENTS,
    MODEL,
    LatencyModel,
    Measurements,
    TimedNetwork,
    fingerprint,
    read_latency,
)
from dorsal.nn.build import build
from dorsal.report.words.latency import caution_sentence, contest_sentence, use_sentence
from dorsal.space.axis import Axis
from dorsal.space.distributions import Uniform
from dorsal.space.named import SPACES
from dorsal.space.sample import sample
from dorsal.space.space import Space, to_toml
from dorsal.spec.cost import cost
from dorsal.spec.network import network_hash
from dorsal.study.population.question import Population
from dorsal.study.population.records import PopulationStudy, SpaceSample
from dorsal.study.population.run import run_population
from dorsal.study.timing import run as measure
from dorsal.study.timing.fit import (
    FEWEST_TO_FIT,
    Timing,
    distinct_candidates,
    fit_model,
    of_population,
    sample_candidates,
)
from dorsal.study.timing.run import measure_latency
from dorsal.train.timing import time_forward
from dorsal.zoo import network
from tests.study.arithmetic import Arithmetic, put_in_place
from tests.study.conftest import TINY

SPACE = Space(
    name="tiny",
    base=TINY,
    axes={"depths": Axis(Uniform(1, 6), by_stage=True), "widths": Axis(Uniform(8, 64, 8), by_stage=True)},
)


def asked(out: Path, *spaces: str, **changes: Any) -> Timing:
    fields = {"count": FEWEST_TO_FIT, "image_size": 32, "batches": (1,), "calls": ("forward",), "repeats": 2}
    return Timing(spaces=spaces or (str(space_file(out)),), out=str(out), **{**fields, **changes})


def space_file(out: Path, space: Space = SPACE) -> Path:
    out.parent.mkdir(exist_ok=True)
    file = out.with_name(f"{space.name}.toml")
    file.write_text(to_toml(space))
    return file


def quietly(question: Timing) -> Any:
    """Measures, and returns the model and what was said."""
    said: list[str] = []
    return measure_latency(question, on_event=lambda e: said.append(e.text) if isinstance(e, Note) else None), said


def costs(n: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Costs of networks whose MACs and activations are tied loosely."""
    random = np.random.default_rng(seed)
    macs = np.exp(random.normal(19, 0.5, n))
    return {
        "macs": macs,
        "activations": np.sqrt(macs) * np.exp(random.normal(0, 0.5, n)),
        "params": np.exp(random.normal(15, 0.5, n)),
        "layers": random.integers(10, 60, n).astype(float),
        "image_size": np.full(n, 32),
    }


def milliseconds(of: dict[str, np.ndarray]) -> np.ndarray:
    return 0.5 + 2e-8 * of["macs"] + 1e-3 * of["activations"]


def measurements(n: int = 60, noise: float = 0.0, **changes: Any) -> Measurements:
    """As if networks had taken `milliseconds`, in three rounds of which the second is slower."""
    made, random = costs(n), np.random.default_rng(1)
    times = milliseconds(made) * np.exp(random.normal(0, noise, n))
    networks = tuple(
        TimedNetwork(
            label=f"tiny/{row}",
            network_hash=str(row),
            image_size=32,
            costs={name: float(column[row]) for name, column in made.items() if name != "image_size"},
            rounds=tuple({"forward_b1_ms": float(times[row] * slower)} for slower in (1, 1.3, 1)),
        )
        for row in range(n)
    )
    question = Timing(spaces=("tiny",), calls=("forward",), batches=(1,))
    fields = {
        "setting": question.setting("cpu"),
        "spaces": ("tiny",),
        "machine": machine("cpu", 1, 1),
        "versions": versions(),
        "created": "2026-01-01T00:00:00+00:00",
        "networks": networks,
    }
    return Measurements(**{**fields, **changes})


@pytest.fixture(scope="module")
def model():
    return fit_model(measurements())


def test_exact_latencies_are_predicted_for_networks_not_seen(model):
    predict = predictors(model)["forward_b1_ms"]
    unseen = costs(500, seed=7)
    predicted = predict(unseen)
    told = ~np.isnan(predicted)
    assert 100 < told.sum() < 500
    assert predicted[told] == pytest.approx(milliseconds(unseen)[told], rel=1e-6)
    assert (predict.asked, predict.outside) == (500, 500 - told.sum())
    (fit,) = model.fits
    assert fit.scores.scores[-1].error.value < 1e-3
    assert fit.scores.scores[-1].tau.value == pytest.approx(1)
    assert fit.spread == pytest.approx(15)  # quartiles of 1, 1, 1.3 are 1 and 1.15


def test_predictions_are_as_wrong_as_the_model_says():
    (fit,) = (noisy := fit_model(measurements(100, noise=0.1))).fits
    unseen = costs(2000, seed=7)
    actual = milliseconds(unseen) * np.exp(np.random.default_rng(2).normal(0, 0.1, 2000))
    errors = 100 * np.abs(predictors(noisy)[fit.quantity](unseen) / actual - 1)
    stated = fit.scores.scores[-1].error
    assert stated.low < np.nanmedian(errors) < stated.high
    assert 5 < stated.value < 10  # the median of |N(0, 10 %)| is 6.7 %


def said_of(model: LatencyModel, spaces: list[str]) -> list[str]:
    """The cautions in words."""
    return [caution_sentence(each) for each in cautions(model, spaces)]


def test_extrapolation_is_refused_counted_and_said(model):
    predict = predictors(model)["forward_b1_ms"]
    inside = {name: np.full(4, np.median(column)) for name, column in costs(60).items()}
    inside["macs"][1] = 1.0001 * predict.ranges["macs"][1]
    inside["layers"][2] = predict.ranges["layers"][0] - 1
    inside["image_size"][3] = 64
    assert np.isnan(predict(inside)).tolist() == [False, True, True, True]
    said = use_sentence(predict.use())
    assert "3 of 4 candidates have no prediction and meet no bound" in said
    assert "image_size 32 to 32: 1" in said
    assert f"layers {predict.ranges['layers'][0]:g} to" in said
    assert "median error of 0.0 %" in said


def test_image_sizes_without_a_time_are_not_predicted():
    timed = measurements()
    large = tuple(
        msgspec.structs.replace(each, image_size=64, rounds=({},), errors={"forward_b1_ms": "out of memory"})
        for each in timed.networks[:5]
    )
    some = fit_model(msgspec.structs.replace(timed, networks=(*large, *timed.networks)))
    assert some.fits[0].image_sizes == (32, 32)
    predict = predictors(some)["forward_b1_ms"]
    wide = {name: np.full(2, np.median(column)) for name, column in costs(60).items()}
    wide["image_size"] = np.array([32, 64])
    assert np.isnan(predict(wide)).tolist() == [False, True]


def test_another_gpu_is_another_machine(model, monkeypatch):
    cuda = msgspec.structs.replace(model.setting, device="cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Abacus 9000")
    there = machine("cuda", 1, 1)
    assert fingerprint(there) == f"{fingerprint(model.machine)}, Abacus 9000"
    assert cautions(msgspec.structs.replace(model, setting=cuda, machine=there), ["tiny"]) == ()
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Abacus 1")
    (said,) = said_of(msgspec.structs.replace(model, setting=cuda, machine=there), ["tiny"])
    assert "measured on another machine" in said
    assert said.index("Abacus 9000") < said.index("Abacus 1)")
    older = msgspec.to_builtins(machine("cpu", 1, 1))
    assert "accelerator" not in older  # as in files of before there was the field
    assert msgspec.convert(older, Machine).accelerator == ""


def test_a_space_of_other_image_sizes_is_refused_at_once(model, tmp_path):
    predict = predictors(model)["forward_b1_ms"]
    predict.check(msgspec.structs.replace(SPACE, image_size=32))
    drawn = msgspec.structs.replace(SPACE, axes={**SPACE.axes, "image_size": Axis(Uniform(48, 64, 16))})
    for space, sizes in ((SPACE, "224"), (drawn, "48, 64")):
        with pytest.raises(
            ValueError, match=f"image_size={sizes} of tiny: forward_b1_ms was measured at 32 px and is .* 32$"
        ):
            predict.check(space)
    predict.check(msgspec.structs.replace(SPACE, axes={**SPACE.axes, "image_size": Axis(Uniform(32, 64, 16))}))
    write_record(tmp_path / MODEL, model)
    latency = {"bounds": {"forward_b1_ms": "1..9"}, "latency_model": str(tmp_path)}
    asked_for = Population(spaces=("regnetx",), data="scenes(train=64, val=32, size=64)", **latency)
    with pytest.raises(ValueError, match="image_size=64 of regnetx: forward_b1_ms was measured at 32 px"):
        run_population(asked_for)


def test_times_below_zero_are_not_predicted(model):
    (fit,) = model.fits
    below = msgspec.structs.replace(fit, fitted=msgspec.structs.replace(fit.fitted, intercept=-1e9))
    predict = predictors(msgspec.structs.replace(model, fits=(below,)))["forward_b1_ms"]
    assert np.isnan(predict(costs(60))).all()
    assert "a prediction above 0 ms: 60" in use_sentence(predict.use())


@given(st.integers(0, 1000))
def test_a_prediction_depends_on_its_network_alone(model, seed):
    predict, many = predictors(model)["forward_b1_ms"], costs(9, seed)
    one_by_one = [predict({name: column[row : row + 1] for name, column in many.items()})[0] for row in range(9)]
    assert predict(many) == pytest.approx(one_by_one, nan_ok=True)


def test_which_of_two_costs_predicts_better_is_a_figure(model):
    (fit,) = model.fits
    assert fit.contest.first.predictors == ("activations",)
    said = contest_sentence(fit, model.setting)
    difference = fit.contest.error_difference
    assert f"{difference.value:+.1f} points, 95 % interval {difference.low:.1f} to {difference.high:.1f})" in said
    assert "over 60 networks" in said
    timed = measurements()
    for cost_name, verdict in (
        ("activations", "activations predict better than MACs"),
        ("macs", "activations predict worse than MACs"),
        ("layers", "activations are not shown to predict better or worse than MACs"),
    ):
        networks = tuple(
            msgspec.structs.replace(each, rounds=({"forward_b1_ms": each.costs[cost_name]},)) for each in timed.networks
        )
        (fit,) = fit_model(msgspec.structs.replace(timed, networks=networks)).fits
        assert contest_sentence(fit, model.setting).startswith(f"forward, batch 1: {verdict}: ")


def test_sampling_by_predicted_latency():
    space = msgspec.structs.replace(SPACES["regnetx"], image_size=64)
    drawn = sample(space, 100, {"macs": "5M..60M"})
    times = 1 + 1e-7 * drawn.costs["macs"]
    networks = tuple(
        TimedNetwork(
            label=f"regnetx/{row}",
            network_hash=str(row),
            image_size=64,
            costs={name: float(drawn.costs[name][row]) for name in ("macs", "activations", "params", "layers")},
            rounds=({"forward_b1_ms": float(times[row])},),
        )
        for row in range(100)
    )
    model = fit_model(measurements(networks=networks))
    predicted = predictors(model)
    bounds = latency_bounds(model, ["3..4"])
    found = sample(space, 50, bounds, seed=3, predicted=predicted)
    assert found.costs["forward_b1_ms"] == pytest.approx(1 + 1e-7 * found.costs["macs"])
    assert found.costs["forward_b1_ms"].min() >= 3
    assert found.costs["forward_b1_ms"].max() <= 4
    assert "candidates have no prediction" in use_sentence(predicted["forward_b1_ms"].use())


def test_bounds_on_latency_name_what_they_bound(model):
    assert latency_bounds(model, ["5..8"]) == latency_bounds(model, ["forward_b1_ms=5..8"]) == {"forward_b1_ms": "5..8"}
    with pytest.raises(ValueError, match="does not predict 'forward_b2_ms'; did you mean forward_b1_ms"):
        latency_bounds(model, ["forward_b2_ms=5..8"])
    with pytest.raises(ValueError, match=r"bounded twice, by 5\.\. and \.\.8"):
        latency_bounds(model, ["5..", "..8"])
    two = msgspec.structs.replace(model, fits=(*model.fits, msgspec.structs.replace(model.fits[0], batch=16)))
    with pytest.raises(ValueError, match=r"of what\? valid: forward_b1_ms=5\.\.8 or forward_b16_ms=5\.\.8"):
        latency_bounds(two, ["5..8"])


def test_another_machine_version_or_space_is_said(model):
    assert cautions(model, ["tiny"]) == ()
    elsewhere = msgspec.structs.replace(model.machine, processor="Abacus 9", cores=77)
    (said,) = said_of(msgspec.structs.replace(model, machine=elsewhere), ["tiny"])
    assert "Abacus 9, 77 cores" in said
    assert fingerprint(model.machine) in said
    (said,) = said_of(msgspec.structs.replace(model, versions={"torch": "0.4.1"}), ["tiny"])
    assert f"torch 0.4.1, and this is torch {torch.__version__.split('+')[0]}" in said
    (said,) = said_of(model, ["tiny", "crossed"])
    assert "fitted on networks of tiny, not of crossed" in said


def test_a_model_is_read_as_it_was_written(model, tmp_path):
    write_record(tmp_path / MODEL, model)
    assert read_latency_model(tmp_path) == read_latency_model(tmp_path / MODEL) == model
    assert [path.name for path in tmp_path.iterdir()] == [MODEL]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "there is no such file"),
        ("a model", "is no latency model: JSON is malformed"),
        ('{"schema": 2}', "is no latency model: Object missing required field"),
        (
            '{"schema": 1}',
            "x.json has schema 1 and this version of dorsal reads 2; use the version that wrote it, or name",
        ),
        ("{}", "is no latency model: Object missing required field `schema`"),
    ],
)
def test_files_that_hold_no_model(tmp_path, content, says):
    if content is not None:
        (tmp_path / "x.json").write_text(content)
    with pytest.raises(ValueError, match=says):
        read_latency_model(tmp_path / "x.json")


def test_measurements_of_another_schema_are_not_gone_on_with(clock, tmp_path):
    quietly(asked(tmp_path / "out"))
    path = tmp_path / "out" / MEASUREMENTS
    write_record(path, msgspec.structs.replace(read_latency(path, Measurements), schema=1))
    with pytest.raises(
        ValueError, match=r"measurements\.json has schema 1 and this version of dorsal reads 2; use the "
    ):
        quietly(asked(tmp_path / "out"))


def test_measurements_are_no_model(tmp_path):
    write_record(tmp_path / MEASUREMENTS, measurements())
    with pytest.raises(ValueError, match="is no latency model"):
        read_latency_model(tmp_path / MEASUREMENTS)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"calls": ("forwards",)}, "calls=forwards is not known; did you mean forward"),
        ({"calls": ()}, "calls is empty; name at least one"),
        ({"batches": (0,)}, "batches=0 is below 1; nearest valid: 1"),
        ({"batches": (4, 4)}, "batch=4,4: name at least one, and each once"),
        ({"precision": "float16"}, "precision=float16 is not known; did you mean float32"),
        ({"threads": 0}, "threads=0 is below 1"),
        ({"repeats": 0}, "repeats=0 is below 1"),
        ({"count": -1}, "count=-1 is below 1"),
        ({"image_size": 0}, "image_size=0 is below 1"),
        ({"spaces": ()}, "spaces is empty"),
    ],
)
def test_questions_that_are_none(changes, says):
    with pytest.raises(ValueError, match=says):
        Timing(**{"spaces": ("regnetx",), **changes})


def test_too_few_networks_for_a_fit(tmp_path):
    with pytest.raises(ValueError, match=r"8 different network\(s\) are too few: .* 5 predictors needs 12 or more"):
        quietly(asked(tmp_path / "out", count=8))
    narrow = msgspec.structs.replace(SPACE, name="narrow", axes={"widths": Axis(Uniform(8, 64, 8))})
    with pytest.raises(ValueError, match="count=12 is more than the 8 points of narrow"):
        quietly(asked(tmp_path / "out", str(space_file(tmp_path / "out", narrow))))
    with pytest.raises(ValueError, match="none has macs in"):
        quietly(asked(tmp_path / "out", bounds={"macs": "10G.."}))
    with pytest.raises(ValueError, match="device='abacus' is not there"):
        quietly(asked(tmp_path / "out", device="abacus"))
    with pytest.raises(ValueError, match="unknown space 'regnety_x'"):
        quietly(asked(tmp_path / "out", "regnety_x"))
    assert not (tmp_path / "out").exists()


def test_a_network_in_two_spaces_is_measured_once(tmp_path):
    question = asked(tmp_path / "out")
    found = sample_candidates(SPACE, question, pytest.fail)
    again = sample_candidates(msgspec.structs.replace(SPACE, name="same"), question, pytest.fail)
    assert len(distinct_candidates([*found, *again])) == FEWEST_TO_FIT
    for candidate in found:
        exact = cost(candidate.network, 32)
        assert candidate.record.network_hash == network_hash(candidate.network)
        assert {name: candidate.record.costs[name] for name in ("macs", "activations", "params")} == {
            name: getattr(exact, name) for name in ("macs", "activations", "params")
        }


def test_an_edit_changes_the_base(tmp_path):
    (first, *_) = sample_candidates(SPACE, asked(tmp_path / "out", edit="classes=3, in_channels=1"), pytest.fail)
    assert (first.network.head.classes, first.network.in_channels) == (3, 1)


def test_image_size_is_not_given_where_it_is_drawn(tmp_path):
    drawn = msgspec.structs.replace(SPACE, axes={**SPACE.axes, "image_size": Axis(Uniform(32, 64, 32))})
    with pytest.raises(ValueError, match="image_size=32: tiny draws its image sizes"):
        sample_candidates(drawn, asked(tmp_path / "out"), pytest.fail)
    free = msgspec.structs.replace(asked(tmp_path / "out"), image_size=None)
    assert {candidate.record.image_size for candidate in sample_candidates(drawn, free, pytest.fail)} == {32, 64}


class Clock:
    """Stands for the timing of one call: notes the order and answers from the network's costs."""

    def __init__(self, fails: Any = lambda *_: False) -> None:
        self.visits: list[tuple[str, int]] = []
        self.fails = fails

    def __call__(self, *call: Any) -> float:
        net, batch, image_size = call[0].network, call[0].batch, call[0].image_size
        self.visits.append((network_hash(net), batch))
        if self.fails(net, batch):
            raise RuntimeError("out of memory,\n  as it were")
        return 1e-3 + 1e-9 * batch * cost(net, image_size).macs

    def __getitem__(self, turn: slice) -> list[str]:
        return [key for key, _ in self.visits[turn]]


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(jobs_measure, "_forward", clock)
    monkeypatch.setattr(measure, "LocalPool", InProcess)
    return clock


class InProcess:
    """An engine that does its jobs here, one after the other."""

    def __init__(self, _workers, _threads, work):
        self.work = work

    def run_all(self, jobs, more=None):
        waiting = [*jobs]
        while waiting:
            job = waiting.pop(0)
            told = []
            outcome = self.work(job, told.append)
            yield from (Report(0, job, what) for what in [*told, outcome])
            waiting += more() if more else []


def test_rounds_visit_every_network_in_an_order_of_their_own(clock, tmp_path):
    model, _ = quietly(asked(tmp_path / "out", repeats=3))
    rounds = [clock[start : start + FEWEST_TO_FIT] for start in range(0, 3 * FEWEST_TO_FIT, FEWEST_TO_FIT)]
    assert len(clock.visits) == 3 * FEWEST_TO_FIT
    assert all(set(each) == set(rounds[0]) for each in rounds)
    assert rounds[0] != rounds[1] != rounds[2]
    assert model.rounds == 3
    assert model.fits[0].scores.scores[0].error.value < 1e-3  # the clock goes by MACs
    assert read_latency_model(tmp_path / "out") == model


def test_what_was_broken_off_goes_on(clock, tmp_path, monkeypatch):
    def breaks_off(event: Event) -> None:
        assert isinstance(event, JobEnd)
        if event.done == 17:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_latency(asked(tmp_path / "out"), on_event=breaks_off)
    told: list[Event] = []
    measure_latency(asked(tmp_path / "out"), on_event=told.append)
    assert all(isinstance(event, JobEnd) and event.seconds_left >= 0 for event in told)
    assert [(event.done, event.total) for event in told] == [(done, 24) for done in range(18, 25)]
    assert len(clock.visits) == 24
    assert len(set(clock[12:24])) == 12
    more, _ = quietly(asked(tmp_path / "out", repeats=3))
    assert (len(clock.visits), more.rounds) == (36, 3)
    fewer, _ = quietly(asked(tmp_path / "out", repeats=1))
    assert (len(clock.visits), fewer.rounds) == (36, 3)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"threads": 2}, "threads was 1, not 2"),
        ({"batches": (1, 2)}, r"batches was \(1,\), not \(1, 2\)"),
        ({"precision": "bf16"}, "precision was float32, not bf16"),
        ({"image_size": 64}, "its networks are others"),
        ({"seed": 1}, "its networks are others"),
        ({"count": 13}, "its networks are others"),
    ],
)
def test_a_folder_of_another_question_is_refused(clock, tmp_path, changes, says):
    quietly(asked(tmp_path / "out"))
    before = (tmp_path / "out" / MEASUREMENTS).read_bytes()
    with pytest.raises(ValueError, match=f"holds measurements of another question: {says}.*; name another folder"):
        quietly(asked(tmp_path / "out", **changes))
    assert (tmp_path / "out" / MEASUREMENTS).read_bytes() == before


def test_times_of_another_machine_are_not_gone_on_with(clock, tmp_path):
    quietly(asked(tmp_path / "out"))
    path = tmp_path / "out" / MEASUREMENTS
    stored = read_latency(path, Measurements)
    write_record(path, msgspec.structs.replace(stored, machine=msgspec.structs.replace(stored.machine, cores=77)))
    with pytest.raises(ValueError, match=r"the machine was .*77 cores"):
        quietly(asked(tmp_path / "out"))
    write_record(path, msgspec.structs.replace(stored, versions={"torch": "0.4.1"}))
    with pytest.raises(ValueError, match=r"torch was 0\.4\.1, not"):
        quietly(asked(tmp_path / "out"))


def test_a_call_that_fails_is_recorded_said_and_not_made_again(clock, tmp_path):
    first = min(
        sample_candidates(SPACE, asked(tmp_path / "out", count=14), pytest.fail), key=lambda found: found.record.label
    )
    clock.fails = lambda net, batch: network_hash(net) == first.record.network_hash and batch == 2
    model, said = quietly(asked(tmp_path / "out", count=14, batches=(1, 2)))
    assert said == [
        f"forward_b2_ms: 1 network(s) not measured; {first.record.label}: RuntimeError: out of memory, as it were"
    ]
    assert [(fit.fitted.n, fit.fitted.missing) for fit in model.fits] == [(14, 0), (13, 1)]
    assert clock.visits.count((first.record.network_hash, 2)) == 1
    assert clock.visits.count((first.record.network_hash, 1)) == 2


def test_a_network_that_ends_its_process_is_recorded_and_the_others_go_on(clock, tmp_path, monkeypatch):
    first = sample_candidates(SPACE, asked(tmp_path / "out", count=14), pytest.fail)[0]

    lost = "worker died (signal 9, most likely for want of memory)"

    def dies(workers, threads, work):
        return InProcess(1, 1, lambda job, tell: job.failed(lost) if job.network == first.network else work(job, tell))

    monkeypatch.setattr(measure, "LocalPool", dies)
    model, said = quietly(asked(tmp_path / "out", count=14))
    (told,) = said
    assert told.endswith("not measured; tiny/0: worker died (signal 9, most likely for want of memory)")
    assert (model.fits[0].fitted.n, model.fits[0].fitted.missing) == (13, 1)


def test_too_few_timed_networks_leave_no_model_but_the_times(clock, tmp_path):
    clock.fails = lambda _, batch: batch == 2
    with pytest.raises(ValueError, match=r"forward_b2_ms: 0 of 12 networks have a time.*needs 12.*out of memory"):
        quietly(asked(tmp_path / "out", batches=(1, 2)))
    assert (tmp_path / "out" / MEASUREMENTS).is_file()
    assert not (tmp_path / "out" / MODEL).exists()


def population() -> PopulationStudy:
    drawn = sample(msgspec.structs.replace(SPACE, image_size=32), 20)
    networks = list(drawn.networks())
    labels = tuple(f"tiny/{row}" for row in range(20))
    return PopulationStudy(
        study=Study(
            kind="population",
            name="p",
            command="",
            created="",
            arms=tuple(
                Arm(label=label, text=label, network=net, network_hash=network_hash(net), cost=cost(net, 32))
                for label, net in zip(labels, networks, strict=True)
            ),
            recipes={},
            seeds=(1,),
            data=DataSummary(
                spec=Scenes(size=32),
                classes=(),
                mean=(),
                std=(),
                fingerprint="",
                train_images=0,
                val_images=0,
                constant=0.0,
            ),
            machine=machine("cpu", 1, 1),
            versions={},
            runs=(),
        ),
        spaces=(
            SpaceSample(
                space=drawn.space,
                sampling=drawn.sampling,
                labels=labels,
                axes={},
                costs={name: column.astype(float).tolist() for name, column in drawn.costs.items()},
            ),
        ),
    )


def test_the_networks_of_a_population_are_taken_as_they_are(clock, tmp_path, monkeypatch):
    monkeypatch.setattr(measure, "load_networks", lambda _: population())
    question = asked(tmp_path / "out", str(tmp_path), image_size=None, count=15)
    found = of_population(population(), question)
    assert [candidate.record for candidate in found] == [
        candidate.record
        for candidate in sample_candidates(msgspec.structs.replace(SPACE, image_size=32), question, pytest.fail)
    ]
    model, _ = quietly(question)
    assert (model.networks, model.spaces, model.fits[0].image_sizes) == (15, ("tiny",), (32, 32))
    for changes in ({"bounds": {"macs": "1M.."}}, {"image_size": 32}, {"edit": "classes=3"}):
        with pytest.raises(
            ValueError, match=f"^{next(iter(changes.get('bounds', changes)))}: a population has been drawn"
        ):
            of_population(population(), msgspec.structs.replace(question, **changes))


def test_the_store_of_a_population_is_not_needed(clock, tmp_path, monkeypatch):
    put_in_place(Arithmetic(1), monkeypatch)
    data, space = "scenes(train=64, val=32, size=32)", str(space_file(tmp_path / "out"))
    out = str(tmp_path / "drawn")
    found = run_population(Population(spaces=(space,), count=12, recipe="plain", data=data, epochs=1, out=out))
    saved = read_study_file(tmp_path / "drawn")
    write_study_file(tmp_path / "drawn", msgspec.structs.replace(saved, storage="postgresql://me:secret@nowhere/db"))
    model, _ = quietly(asked(tmp_path / "out", out, image_size=None))
    assert (model.networks, model.spaces) == (12, ("tiny",))
    stored = read_latency(tmp_path / "out" / MEASUREMENTS, Measurements)
    assert {timed.network_hash for timed in stored.networks} == {arm.network_hash for arm in found.study.arms}


def test_a_folder_without_a_population(tmp_path):
    with pytest.raises(ValueError, match=r"holds no (population|study)"):
        quietly(asked(tmp_path / "out", str(tmp_path), image_size=None))


def test_forward_passes_are_timed_so_often_and_so_long():
    model, images = build(network(TINY)).eval(), torch.randn(1, 3, 32, 32)
    assert len(time_forward(model, images, calls=4)) == 4
    assert len(time_forward(model, images, calls=1000, most_seconds=0.0)) == 1


def test_networks_are_measured_on_this_machine(tmp_path):
    torch.set_num_threads(2)
    random = torch.random.get_rng_state()
    question = asked(tmp_path / "out", calls=("forward", "step"), batches=(1, 2))
    model, said = quietly(question)
    assert (torch.get_num_threads(), said) == (2, [])
    torch.set_num_threads(1)
    assert torch.equal(torch.random.get_rng_state(), random)
    assert [fit.quantity for fit in model.fits] == ["forward_b1_ms", "forward_b2_ms", "step_b1_ms", "step_b2_ms"]
    stored = read_latency(tmp_path / "out" / MEASUREMENTS, Measurements)
    for timed in stored.networks:
        assert [sorted(times) for times in timed.rounds] == [sorted(stored.setting.quantities())] * 2
        low, median, high = timed.quartiles("step_b2_ms") or pytest.fail("not timed")
        assert 0 < low <= median <= high


def test_calls_are_made_on_batches_of_their_size(tmp_path, monkeypatch):
    monkeypatch.setattr(measure, "LocalPool", InProcess)
    monkeypatch.setattr(jobs_measure, "time_forward", lambda _, images, calls: [1e-3 * len(images)] * calls)
    monkeypatch.setattr(jobs_measure, "time_step", lambda _, made, *__, **___: 0.1 * made.batch)
    quietly(asked(tmp_path / "out", calls=("forward", "step"), batches=(1, 8), repeats=1))
    stored = read_latency(tmp_path / "out" / MEASUREMENTS, Measurements)
    whole = {"forward_b1_ms": 1, "forward_b8_ms": 8, "step_b1_ms": 100, "step_b8_ms": 800}
    assert [timed.rounds for timed in stored.networks] == [(pytest.approx(whole),)] * FEWEST_TO_FIT


def test_bfloat16_is_measured(tmp_path):
    model, said = quietly(asked(tmp_path / "out", calls=("step",), precision="bf16", repeats=1))
    assert (model.setting.precision, said) == ("bf16", [])


def test_prediction_is_free_of_torch():
    script = "import sys, dorsal.study.timing.fit, dorsal.latency.predict; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "False"
