"""Latency of sampled networks from their costs: which networks are timed, the fit.

`study.latency.measure` takes the times, `study.latency.prediction` uses the fit. Here is no torch.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec
import numpy as np

from dorsal.latency.records import (
    PREDICTING_COSTS,
    PREDICTORS,
    LatencyFit,
    LatencyModel,
    Measurements,
    TimedCall,
    TimedNetwork,
    TimedRuntime,
    predictor_columns,
    quantity,
)
from dorsal.space.base import with_edit
from dorsal.space.sample import sample
from dorsal.space.space import Space
from dorsal.space.table import Column
from dorsal.spec.network import Network, network_hash
from dorsal.stats import compare_predictors, fit_latency, score_predictors
from dorsal.study.population.records import PopulationStudy
from dorsal.study.timing.question import Timing

FEWEST_TO_FIT = 2 * (len(PREDICTORS) + 1)
"""Networks below which `stats.fit_latency` does not fit this many predictors."""


class Candidate(msgspec.Struct, frozen=True):
    """A network to be timed, of the space called `space`; `record` has no times yet."""

    space: str
    network: Network
    record: TimedNetwork


def sample_candidates(space: Space, question: Timing, on_note: Callable[[str], None]) -> list[Candidate]:
    """`count` networks of the space within the bounds. Raises ValueError as `space.sample.sample` does."""
    space = with_edit(space, question.edit)
    if question.image_size is not None:
        if "image_size" in space.axes:
            raise ValueError(f"image_size={question.image_size}: {space.name} draws its image sizes; leave it out")
        space = msgspec.structs.replace(space, image_size=question.image_size)
    found = sample(space, question.count, question.bounds, question.seed, on_note=on_note)
    return [_candidate(space.name, row, network, found.costs) for row, network in enumerate(found.networks())]


def of_population(population: PopulationStudy, question: Timing) -> list[Candidate]:
    """The first `count` networks of each of its spaces, at their image sizes.

    Raises ValueError where the question has bounds, an edit or an image size.
    """
    changes = {"edit": question.edit, "image_size": question.image_size}
    given = [*question.bounds, *(field for field, value in changes.items() if value)]
    if given:
        raise ValueError(f"{', '.join(given)}: a population has been drawn already; leave that out")
    networks = {arm.label: arm.network for arm in population.study.arms if isinstance(arm.network, Network)}
    return [
        _candidate(drawn.space.name, row, networks[label], drawn.costs)
        for drawn in population.spaces
        for row, label in enumerate(drawn.labels[: question.count])
    ]


def distinct_candidates(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """Each network and image size once. Raises ValueError when they are too few for a fit."""
    unlike = {(found.record.network_hash, found.record.image_size): found for found in candidates}
    if len(unlike) < FEWEST_TO_FIT:
        raise ValueError(
            f"{len(unlike)} different network(s) are too few: a fit of {len(PREDICTORS)} predictors needs "
            f"{FEWEST_TO_FIT} or more; raise count, or name more or wider spaces"
        )
    return tuple(unlike.values())


def fit_model(measured: Measurements) -> LatencyModel:
    """Fits each call at each batch in each runtime.

    Raises ValueError when fewer than FEWEST_TO_FIT networks could be timed, with what went wrong first.
    """
    setting = measured.setting
    return LatencyModel(
        setting=setting,
        spaces=measured.spaces,
        networks=len(measured.networks),
        rounds=min(len(timed.rounds) for timed in measured.networks),
        machine=measured.machine,
        versions=measured.versions,
        created=measured.created,
        fits=tuple(_fit(measured.networks, *each) for each in setting.times()),
    )


def _candidate(space: str, row: int, network: Network, costs: Mapping[str, Sequence[float] | Column]) -> Candidate:
    record = TimedNetwork(
        label=f"{space}/{row}",
        network_hash=network_hash(network),
        image_size=int(costs["image_size"][row]),
        costs={name: float(costs[name][row]) for name in PREDICTING_COSTS},
    )
    return Candidate(space, network, record)


def _fit(networks: Sequence[TimedNetwork], runtime: TimedRuntime, call: TimedCall, batch: int) -> LatencyFit:
    name = quantity(call, batch, runtime)
    quartiles = [timed.quartiles(name) for timed in networks]
    present = [found for found in quartiles if found is not None]
    if len(present) < FEWEST_TO_FIT:
        errors = next((timed.errors[name] for timed in networks if name in timed.errors), "there is none")
        raise ValueError(
            f"{name}: {len(present)} of {len(networks)} networks have a time, and a fit of {len(PREDICTORS)} "
            f"predictors needs {FEWEST_TO_FIT}; the first error: {errors}"
        )
    features = predictor_columns(
        {cost: np.array([timed.costs[cost] for timed in networks]) for cost in PREDICTING_COSTS}
    )
    times = [None if found is None else found[1] for found in quartiles]
    sizes = [timed.image_size for timed, time in zip(networks, times, strict=True) if time is not None]
    return LatencyFit(
        call=call,
        batch=batch,
        fitted=fit_latency(features, times),
        scores=score_predictors(features, times),
        contest=compare_predictors(features, times, ["activations"], ["macs"]),
        spread=statistics.median(100 * (high - low) / median for low, median, high in present),
        image_sizes=(min(sizes), max(sizes)),
        runtime=runtime,
    )
