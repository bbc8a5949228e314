"""Measured latencies and what was fitted to them: plain frozen data, written as JSON. No torch."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from dorsal.deploy.forms import Form
from dorsal.jobs.json_file import read_record
from dorsal.jobs.records import Machine
from dorsal.space.table import Column
from dorsal.stats import Contest, Estimate, LinearModel, PredictorScores

LATENCY_SCHEMA = 2
MEASUREMENTS, MODEL = "measurements.json", "latency.json"
"""The two files in the folder of a measurement."""

PREDICTING_COSTS = ("macs", "activations", "params", "layers")
PREDICTORS = ("macs", "sqrt_macs", "activations", "params", "layers")

TimedCall = Literal["forward", "step"]
TimedRuntime = Literal["eager", "onnxruntime", "openvino"]
TimedPrecision = Literal["float32", "bf16", "int8"]


def quantity(call: TimedCall, batch: int, runtime: TimedRuntime = "eager") -> str:
    """The name of a measured time: `forward_b16_ms` is the milliseconds of a forward pass over 16 images in PyTorch
    eager, `openvino_forward_b16_ms` in OpenVINO."""
    return f"{'' if runtime == 'eager' else f'{runtime}_'}{call}_b{batch}_ms"


class Setting(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is measured.

    - `calls`: "forward", in evaluation mode without gradients; "step", a training step by `recipe`: forward, loss,
      backward and update. Loading images is in neither.
    - `batches`: images a call. `precision`: in eager, "bf16" is torch's autocast to bfloat16.
    - `layout`: how the weights and the maps inside lie in memory, in eager.
    - `runtimes`: what calls are made in. A step exists in eager alone.
    """

    calls: tuple[TimedCall, ...]
    batches: tuple[int, ...]
    threads: int
    device: str
    precision: TimedPrecision
    recipe: str = "regnet-10ep"
    layout: str = "channels_last"
    runtimes: tuple[TimedRuntime, ...] = ("eager",)

    def times(self) -> Iterator[tuple[TimedRuntime, TimedCall, int]]:
        """The runtime, the call and the batch of each time."""
        for runtime in self.runtimes:
            for call in self.calls:
                if runtime == "eager" or call == "forward":
                    yield from ((runtime, call, batch) for batch in self.batches)

    def quantities(self) -> tuple[str, ...]:
        """The names of the times, see `quantity`."""
        return tuple(quantity(call, batch, runtime) for runtime, call, batch in self.times())

    def form(self, runtime: TimedRuntime) -> Form | None:
        """The deployed form that is called in a runtime; None in eager, where it is the module itself.

        It is always rewritten as "chunked", whatever would be the fastest of a network."""
        if runtime == "eager":
            return None
        return Form(runtime, "bfloat16" if self.precision == "bf16" else self.precision, "chunked")

    @property
    def packages(self) -> tuple[str, ...]:
        """The packages whose versions the times depend on."""
        return tuple("torch" if runtime == "eager" else runtime for runtime in self.runtimes)


class TimedNetwork(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One network, its costs for one image of side `image_size`, and its times.

    `rounds` has for each round by quantity the median of a few calls in milliseconds; a quantity that could not be
    measured is in `errors` instead.
    """

    label: str
    network_hash: str
    image_size: int
    costs: dict[str, float]
    rounds: tuple[dict[str, float], ...] = ()
    errors: dict[str, str] = {}

    def quartiles(self, name: str) -> tuple[float, float, float] | None:
        """Low quartile, median and high quartile over the rounds, in milliseconds; None where it was not measured."""
        times = [times[name] for times in self.rounds if name in times]
        if name in self.errors or not times:
            return None
        if len(times) == 1:
            return times[0], times[0], times[0]
        low, median, high = statistics.quantiles(times, n=4, method="inclusive")
        return low, median, high


class Measurements(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The networks of `spaces`, as far as they have been timed."""

    setting: Setting
    spaces: tuple[str, ...]
    machine: Machine
    versions: dict[str, str]
    created: str
    networks: tuple[TimedNetwork, ...]
    schema: int = LATENCY_SCHEMA


class LatencyFit(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One call at one batch in one runtime, in milliseconds.

    - `fitted` is by all predictors together; `scores` are of each alone and, last, of all, on networks that the fit
      has not seen; `contest` is activations against MACs.
    - `image_sizes`: the least and the greatest side of networks that have a time.
    - `spread`: the median over networks of the interquartile range of the rounds, in percent of the network's median:
      how well the machine agrees with itself.
    """

    call: TimedCall
    batch: int
    fitted: LinearModel
    scores: PredictorScores
    contest: Contest
    spread: float
    image_sizes: tuple[int, int]
    runtime: TimedRuntime = "eager"

    @property
    def quantity(self) -> str:
        """The name of the predicted time."""
        return quantity(self.call, self.batch, self.runtime)


class LatencyModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What predicts latency on `machine` in `setting`, for networks like those of `spaces` that it was fitted on.

    `networks` were timed in `rounds` rounds.
    """

    setting: Setting
    spaces: tuple[str, ...]
    networks: int
    rounds: int
    machine: Machine
    versions: dict[str, str]
    created: str
    fits: tuple[LatencyFit, ...]
    schema: int = LATENCY_SCHEMA


class OtherMachine(msgspec.Struct, frozen=True):
    """The model was measured on another machine than this one; each as `fingerprint` says it."""

    measured: str
    here: str


class OtherVersion(msgspec.Struct, frozen=True):
    """The model was measured with another version of torch, or of the runtime that is the `package`. `here` is empty
    where it is not installed."""

    measured: str
    here: str
    package: str = "torch"


class OtherSpaces(msgspec.Struct, frozen=True):
    """The model was fitted on networks of other spaces than these."""

    fitted: tuple[str, ...]
    others: tuple[str, ...]


Caution = OtherMachine | OtherVersion | OtherSpaces
"""Why a prediction may be worse than the model says."""


class Refusal(msgspec.Struct, frozen=True):
    """So many networks had no prediction, as a predictor was outside `low` to `high`, which is what the fit has seen;
    where both are None, as the predicted time was not above 0."""

    predictor: str
    low: float | None
    high: float | None
    networks: int


class PredictorUse(msgspec.Struct, frozen=True, kw_only=True):
    """How good a prediction is, and what became of the candidates it was asked of.

    - `error`: median in percent, with its interval at `confidence`, on `networks` networks that the fit has not seen.
    - `asked`: candidates. `outside`: those without a prediction, by `reasons`, the most frequent first.
    """

    quantity: str
    error: Estimate
    confidence: float
    networks: int
    asked: int
    outside: int
    reasons: tuple[Refusal, ...]


def fingerprint(where: Machine) -> str:
    """A machine by what sets its speed: processor, cores, system and accelerator."""
    named = f", {where.accelerator}" if where.accelerator else ""
    return f"{where.processor}, {where.cores} cores, {where.system.split(' ')[0]}{named}"


Record = TypeVar("Record", Measurements, LatencyModel)


def read_latency(path: Path, kind: type[Record]) -> Record:
    """What the file holds. Raises ValueError when there is none, it holds something else, or is of another schema."""
    what = "latency model" if kind is LatencyModel else "measurement of latency"
    found = read_record(path, kind, LATENCY_SCHEMA, what)
    if found is None:
        raise ValueError(f"{str(path)!r} is no {what}: there is no such file")
    return found


def predictor_columns(costs: Mapping[str, Column]) -> dict[str, NDArray[np.float64]]:
    """PREDICTORS from cost columns, one entry a network."""
    columns = {name: np.asarray(costs[name], dtype=np.float64) for name in PREDICTING_COSTS}
    columns["sqrt_macs"] = np.sqrt(columns["macs"])
    return {name: columns[name] for name in PREDICTORS}
