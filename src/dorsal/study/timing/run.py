"""Times forward passes and training steps of many networks on this machine, in interleaved rounds and one or more
runtimes."""

from __future__ import annotations

import datetime
import errno
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from dorsal.deploy.possible import why_not
from dorsal.jobs.clock import Amount, Clock
from dorsal.jobs.device import choose_device
from dorsal.jobs.engine import Engine, LocalPool
from dorsal.jobs.events import Event, JobEnd, Note
from dorsal.jobs.execution import OnEvent, do_jobs
from dorsal.jobs.json_file import write_record
from dorsal.jobs.lock import hold
from dorsal.jobs.machine import machine, runtime_versions, versions
from dorsal.jobs.measure import NoRoom, measure
from dorsal.jobs.plan import Measure
from dorsal.jobs.records import Visit
from dorsal.jobs.store import Categories, Domains, Range, Store, Values
from dorsal.jobs.study_file import storage_url
from dorsal.latency.records import (
    MEASUREMENTS,
    MODEL,
    LatencyModel,
    Measurements,
    Setting,
    TimedNetwork,
    fingerprint,
    quantity,
    read_latency,
)
from dorsal.recipes.text import recipe
from dorsal.space.named import read_space
from dorsal.study.population.saved import load_networks
from dorsal.study.timing.fit import Candidate, distinct_candidates, fit_model, of_population, sample_candidates
from dorsal.study.timing.question import Timing

STORE = "latency"
"""The name of the store's studies."""
FORMS = "forms"
"""The folder of exported networks. It may be deleted: what is missing is made anew."""


def measure_latency(question: Timing, *, on_event: OnEvent = lambda _: None) -> LatencyModel:
    """Times the networks asked for, fits the model, and leaves both in the question's folder.

    A round visits every network once in an order of its own, so that a slow phase of the machine spreads over all
    networks, and the rounds of one network over all phases. Every visit is stored; interrupted at any point, the same
    call goes on. More `repeats` than there are add rounds to those stored.

    Visits are made in one other process, so that one which takes all memory does not end this one. It imports the main
    module, so scripts call this under `if __name__ == "__main__"`.

    A network is exported for a deployed runtime by the first visit that needs it, into the folder, and once.

    Raises ValueError for an invalid question, a runtime or precision that this machine does not have, too few networks,
    or a folder that another process holds or that holds another question or another machine's times. A call that fails
    is stored with its error and not made again. Raises OSError where there is no room on the disk for an exported
    network, with all stored intact: the same call goes on.
    """
    device = choose_device("cpu" if question.deployed else question.device)
    _check_runtimes(question.setting(device))
    if question.calls != question.setting(device).calls:
        on_event(Note("training steps are left out: they exist in eager alone, which is not among the runtimes"))
    candidates = distinct_candidates(_candidates(question, on_event))
    folder = question.folder
    work = functools.partial(measure, threads=question.threads, device=device, forms=folder / FORMS)
    with hold(folder), Store(storage_url(folder, None), STORE) as store:
        begun = _begun(question, device, candidates, folder)
        write_record(folder / MEASUREMENTS, begun)
        known = max(len(network.rounds) for network in begun.networks)  # with fewer repeats none are lost
        visits = _visits(begun.setting, candidates, max(question.repeats, known))
        _make(visits, candidates, LocalPool(1, question.threads, work), store, folder, on_event)
        measured = _with_times(begun, visits, store)
        write_record(folder / MEASUREMENTS, measured)
        _say_errors(measured, on_event)
        model = fit_model(measured)
        write_record(folder / MODEL, model)
    return model


def _check_runtimes(setting: Setting) -> None:
    """Raises ValueError where a form cannot exist here."""
    for runtime in setting.runtimes:
        form = setting.form(runtime)
        if form is not None and (reason := why_not(form)):
            raise ValueError(f"runtimes={runtime} with precision={setting.precision}: {reason}")


def _candidates(question: Timing, on_event: OnEvent) -> list[Candidate]:
    """The networks of all that the question names."""
    found = []
    for text in question.spaces:
        if Path(text).is_dir():
            found += of_population(load_networks(Path(text)), question)
        else:
            found += sample_candidates(read_space(text), question, lambda text: on_event(Note(text)))
    return found


class _Visit(NamedTuple):
    """One visit of the plan: what of which network (by its place) in which round."""

    job: Measure
    network: int
    quantity: str
    turn: int


def _visits(setting: Setting, candidates: Sequence[Candidate], repeats: int) -> list[_Visit]:
    """All visits of all rounds, in the order in which they are made."""
    made, visits = recipe(setting.recipe), []
    for turn in range(repeats):
        for index in np.random.default_rng(turn).permutation(len(candidates)).tolist():
            candidate = candidates[index]
            for runtime, call, batch in setting.times():
                name, record = quantity(call, batch, runtime), candidate.record
                job = Measure(
                    key=f"{record.network_hash} {record.image_size} {name} {turn}",
                    name=f"{record.label}, {name}, round {turn + 1}",
                    network=candidate.network,
                    image_size=record.image_size,
                    call=call,
                    batch=batch,
                    recipe=made,
                    bfloat16=setting.precision == "bf16",
                    form=setting.form(runtime),
                )
                visits.append(_Visit(job, index, name, turn))
    return visits


def _make(
    visits: Sequence[_Visit],
    candidates: Sequence[Candidate],
    engine: Engine[Measure],
    store: Store,
    folder: Path,
    on_event: OnEvent,
) -> None:
    """Makes the visits that are not in the store, one at a time; what failed once is not tried in later rounds."""
    known = store.outcomes()
    failed = {(visit.network, visit.quantity) for visit in visits if getattr(known.get(visit.job.key), "error", "")}
    waiting = iter([visit for visit in visits if visit.job.key not in known])
    by_key = {visit.job.key: visit for visit in visits}
    domains: Domains = {
        "network": Categories(tuple(candidate.record.label for candidate in candidates)),
        "quantity": Categories(tuple(dict.fromkeys(visit.quantity for visit in visits))),
        "round": Range(1, 1_000_000, whole=True),
    }

    def describe(job: Measure) -> tuple[Domains, Values]:
        visit = by_key[job.key]
        label = candidates[visit.network].record.label
        return domains, {"network": label, "quantity": visit.quantity, "round": visit.turn + 1}

    def following() -> list[Measure]:
        job = next((visit.job for visit in waiting if (visit.network, visit.quantity) not in failed), None)
        return [] if job is None else [job]

    def hear(event: Event) -> None:
        if isinstance(event, NoRoom):
            raise OSError(errno.ENOSPC, "there is no room left on the disk; the same command goes on", event.text)
        if isinstance(event, JobEnd) and event.outcome.error:
            visit = by_key[event.job.key]
            failed.add((visit.network, visit.quantity))
        on_event(event)

    left = [_amount(visit) for visit in visits if visit.job.key not in known]
    first = following()
    amounts, others = {job.key: _amount(by_key[job.key]) for job in first}, left[len(first) :][::-1]
    clock = Clock(amounts, {"visit": 0.0, "export": 0.0}, 1, others, done=len(visits) - len(left))
    do_jobs(engine, first, clock, store, folder, describe, hear, following)


def _amount(visit: _Visit) -> Amount:
    """A visit to a deployed form takes longer in the first round, where the form is made."""
    return Amount("export" if visit.job.form is not None and visit.turn == 0 else "visit")


def _with_times(begun: Measurements, visits: Sequence[_Visit], store: Store) -> Measurements:
    """The networks with the times of all visits in the store."""
    known = store.outcomes()
    rounds: list[dict[int, dict[str, float]]] = [{} for _ in begun.networks]
    errors: list[dict[str, str]] = [{} for _ in begun.networks]
    for visit in visits:
        outcome = known.get(visit.job.key)
        if isinstance(outcome, Visit):
            times = rounds[visit.network].setdefault(visit.turn, {})
            if outcome.milliseconds is None:
                errors[visit.network].setdefault(visit.quantity, outcome.error)
            else:
                times[visit.quantity] = outcome.milliseconds
    networks = [
        msgspec.structs.replace(network, rounds=tuple(rounds[index].values()), errors=errors[index])
        for index, network in enumerate(begun.networks)
    ]
    return msgspec.structs.replace(begun, networks=tuple(networks))


def _begun(question: Timing, device: str, candidates: Sequence[Candidate], folder: Path) -> Measurements:
    """What the folder holds of this question, or a beginning."""
    fresh = Measurements(
        setting=question.setting(device),
        spaces=tuple(dict.fromkeys(found.space for found in candidates)),
        machine=machine(device, 1, question.threads),
        versions=versions() | (runtime_versions() if question.deployed else {}),
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
    for package in asked.setting.packages:
        here, there = asked.versions.get(package), stored.versions.get(package)
        if here != there:
            return f"{package} was {there}, not {here}"
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
