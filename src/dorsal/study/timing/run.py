"""Times forward passes and training steps of many networks on this machine, in interleaved rounds. Imports torch."""

from __future__ import annotations

import datetime
import functools
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import torch

from dorsal.jobs.engine import WorkerDied
from dorsal.jobs.events import Note, Visited
from dorsal.jobs.execution import OnEvent
from dorsal.jobs.isolated import Isolated
from dorsal.jobs.json_file import write_record
from dorsal.jobs.lock import hold
from dorsal.jobs.machine import machine, versions
from dorsal.jobs.train import check_device
from dorsal.latency.records import (
    MEASUREMENTS,
    MODEL,
    LatencyModel,
    Measurements,
    Setting,
    TimedCall,
    TimedNetwork,
    fingerprint,
    quantity,
    read_latency,
)
from dorsal.recipes.text import Recipe, recipe
from dorsal.space.named import read_space
from dorsal.spec.network import Network
from dorsal.study.population.saved import load_networks
from dorsal.study.timing.fit import Candidate, Timing, distinct_candidates, fit_model, of_population, sample_candidates
from dorsal.tasks.model import make_model
from dorsal.train.timing import time_forward, time_step

_WARMUPS, _CALLS = 2, 3
"""In each round a call is made so often to warm up, then so often to be timed."""


def measure_latency(question: Timing, *, on_event: OnEvent = lambda _: None) -> LatencyModel:
    """Times the networks asked for, fits the model, and leaves both in the question's folder.

    A round visits every network once in an order of its own, so that a slow phase of the machine spreads over all
    networks, and the rounds of one network over all phases. Every visit is stored; interrupted at any point, the same
    call goes on. More `repeats` than there are add rounds to those stored.

    Calls are made in one other process, so that one which takes all memory does not end this one. It imports the main
    module, so scripts call this under `if __name__ == "__main__"`.

    Raises ValueError for a question that is none, too few networks, or a folder that another process holds or that
    holds another question or another machine's times. A call that fails is stored with its error and not made again.
    """
    check_device(question.device)
    candidates = distinct_candidates(_candidates(question, on_event))
    folder = Path(question.out)
    with hold(folder):
        measured = _make_visits(question, candidates, folder, on_event)
        _say_errors(measured, on_event)
        model = fit_model(measured)
        write_record(folder / MODEL, model)
    return model


def _candidates(question: Timing, on_event: OnEvent) -> list[Candidate]:
    """The networks of all that the question names."""
    found = []
    for text in question.spaces:
        if Path(text).is_dir():
            found += of_population(load_networks(Path(text)), question)
        else:
            found += sample_candidates(read_space(text), question, lambda text: on_event(Note(text)))
    return found


def _make_visits(question: Timing, candidates: Sequence[Candidate], folder: Path, on_event: OnEvent) -> Measurements:
    """All visits of all rounds but for those stored in the folder."""
    measured = _begun(question, candidates, folder)
    networks = list(measured.networks)
    done, total = sum(len(timed.rounds) for timed in networks), question.repeats * len(networks)
    with Isolated(functools.partial(_milliseconds, setting=measured.setting), question.threads) as measure:
        for turn in range(question.repeats):
            for index in np.random.default_rng(turn).permutation(len(networks)):
                if len(networks[index].rounds) > turn:
                    continue
                networks[index] = _visit(networks[index], candidates[index].network, measured.setting, measure)
                measured = msgspec.structs.replace(measured, networks=tuple(networks))
                write_record(folder / MEASUREMENTS, measured)
                done += 1
                on_event(Visited(done, total))
    return measured


def _begun(question: Timing, candidates: Sequence[Candidate], folder: Path) -> Measurements:
    """What the folder holds of this question, or a beginning."""
    fresh = Measurements(
        setting=question.setting(),
        spaces=tuple(dict.fromkeys(found.space for found in candidates)),
        machine=machine(question.device, 1, question.threads),
        versions=versions(),
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        networks=tuple(found.record for found in candidates),
    )
    path = folder / MEASUREMENTS
    if not path.exists():
        return fresh
    stored = read_latency(path, Measurements)
    if what := _difference(stored, fresh):
        raise ValueError(f"out={str(folder)!r} holds measurements of another question: {what}; name another folder")
    return stored


def _difference(stored: Measurements, asked: Measurements) -> str:
    """What keeps stored measurements from being gone on with, or nothing."""
    for field in Setting.__struct_fields__:
        here, there = getattr(asked.setting, field), getattr(stored.setting, field)
        if here != there:
            return f"{field} was {there}, not {here}"
    torch_here, torch_there = asked.versions.get("torch"), stored.versions.get("torch")
    if torch_here != torch_there:
        return f"torch was {torch_there}, not {torch_here}"
    if fingerprint(stored.machine) != fingerprint(asked.machine):
        return f"the machine was {fingerprint(stored.machine)}, not {fingerprint(asked.machine)}"
    if [_key(timed) for timed in stored.networks] != [_key(timed) for timed in asked.networks]:
        return "its networks are others (another space, count, bound, image size or seed)"
    return ""


def _key(timed: TimedNetwork) -> tuple[str, int]:
    return timed.network_hash, timed.image_size


def _say_errors(measured: Measurements, on_event: OnEvent) -> None:
    for name in measured.setting.quantities():
        failed = [timed for timed in measured.networks if name in timed.errors]
        if failed:
            first = f"{failed[0].label}: {failed[0].errors[name]}"
            on_event(Note(f"{name}: {len(failed)} network(s) not measured; {first}"))


class _Measured(NamedTuple):
    """What is measured: a call of a network with so many images of this side."""

    network: Network
    call: TimedCall
    batch: int
    image_size: int


def _visit(
    timed: TimedNetwork, network: Network, setting: Setting, measure: Callable[[_Measured], float | str | WorkerDied]
) -> TimedNetwork:
    """The record with one more round."""
    times, errors = {}, dict(timed.errors)
    for call in setting.calls:
        for batch in setting.batches:
            name = quantity(call, batch)
            if name in errors:
                continue
            match measure(_Measured(network, call, batch, timed.image_size)):
                case float(milliseconds):
                    times[name] = milliseconds
                case WorkerDied(why) | str(why):
                    errors[name] = why
    return msgspec.structs.replace(timed, rounds=(*timed.rounds, times), errors=errors)


def _milliseconds(asked: _Measured, setting: Setting) -> float | str:
    """Times one call in this process; what is raised, out of memory included, where that cannot be."""
    torch.set_num_threads(setting.threads)
    measure = _forward if asked.call == "forward" else _step
    try:
        # Weights are cast in every call, as in training: cached casts would outlive the update.
        with torch.autocast(
            setting.device, torch.bfloat16, enabled=setting.precision == "bfloat16", cache_enabled=False
        ):
            made = recipe(setting.recipe)
            return 1e3 * measure(asked.network, made, asked.batch, asked.image_size, setting.device)
    except Exception as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())}"


@torch.random.fork_rng(devices=[])
def _forward(network: Network, made: Recipe, batch: int, image_size: int, device: str) -> float:
    model = make_model(network, made).to(device).to(memory_format=torch.channels_last).eval()  # as the loop has it
    images = torch.randn(batch, network.in_channels, image_size, image_size, device=device)
    return statistics.median(time_forward(model, images, calls=_CALLS))


def _step(network: Network, made: Recipe, batch: int, image_size: int, device: str) -> float:
    return time_step(network, msgspec.structs.replace(made, batch=batch), image_size, device=device, steps=_CALLS)
