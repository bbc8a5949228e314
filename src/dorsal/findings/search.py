"""What a search found. Pure; no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec

from dorsal.findings.fronts import Front, front_of, listed
from dorsal.findings.learning import Learning, network_learning
from dorsal.findings.population.records import FINDINGS_SCHEMA, Counts, NamedNetwork, counts_of
from dorsal.jobs.results import NetworkStatus, network_results
from dorsal.spec.cost import COSTS
from dorsal.stats.rank import pareto_front
from dorsal.stats.versus_random import AgainstRandom, against_random
from dorsal.study.search.records import ERROR, SearchStudy


class FrontPoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A network on the Pareto front of the objectives, with its values in their order."""

    label: str
    values: tuple[float, ...]


class SearchFindings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a search found.

    - `drawn`: the number of networks that were random draws.
    - `passed_over`: the number of points proposed and not trained, by reason.
    - `statuses`, `errors`, `best_so_far`: one entry for each network, in the order proposed: its status, its error in
      percent (None unless all its runs finished), and the lowest error so far (None before the first).
    - `best`: the finished network with the lowest error. None if there is none.
    - `front`: the Pareto front of the objectives, by error. The best network alone if error is the only objective.
    - `fronts`: error against each other objective, for the networks on `front`. If error is the only objective: error
      against each of COSTS, for the networks that no other beats in both.
    - `learning`: which networks can be told from having learnt nothing.
    - `against`: the comparison with random search of equal length, if the log has random draws and something was
      learnt.
    """

    name: str
    space: str
    sampler: str
    objectives: tuple[str, ...]
    epochs: int
    seeds: int
    counts: Counts
    drawn: int
    passed_over: dict[str, int]
    statuses: tuple[NetworkStatus, ...]
    errors: tuple[float | None, ...]
    best_so_far: tuple[float | None, ...]
    best: NamedNetwork | None
    front: tuple[FrontPoint, ...]
    fronts: tuple[Front, ...]
    learning: Learning
    against: AgainstRandom | None
    schema: int = FINDINGS_SCHEMA


def analyse_search(search: SearchStudy) -> SearchFindings:
    """What the search found so far, and how that compares with random draws of the same space, if it was asked to."""
    log, study = search.log, search.study
    results = network_results(study)
    statuses = [results[network.label][0] for network in log.networks]
    errors = [results[network.label][1] for network in log.networks]
    random = _random_errors(search)
    known = [error for error in random if error is not None]
    finished = {
        network.label: tuple(error if name == ERROR else network.costs[name] for name in log.objectives)
        for network, error in zip(log.networks, errors, strict=True)
        if error is not None
    }
    learnt = network_learning(study, results)
    front = pareto_front(finished)
    least = min((error for error in errors if error is not None), default=None)
    passed_over: Counter[str] = Counter()
    for network in log.networks:
        passed_over.update(network.passed_over)
    return SearchFindings(
        name=study.name,
        space=log.space.name,
        sampler=log.sampler,
        objectives=log.objectives,
        epochs=next(iter(study.recipes.values())).epochs,
        seeds=len(study.seeds),
        counts=counts_of(statuses),
        drawn=sum(network.drawn for network in log.networks),
        passed_over=dict(passed_over.most_common()),
        statuses=tuple(statuses),
        errors=tuple(errors),
        best_so_far=tuple(_least_so_far(errors)),
        best=None if least is None else NamedNetwork(label=log.networks[errors.index(least)].label, error=least),
        front=tuple(FrontPoint(label=label, values=finished[label]) for label in front),
        fronts=tuple(_fronts(search, errors, front)),
        learning=learnt,
        against=against_random(errors, random) if len(known) > 1 and finished and not learnt.nothing else None,
    )


def _least_so_far(errors: Sequence[float | None]) -> Iterator[float | None]:
    least: float | None = None
    for error in errors:
        if error is not None and (least is None or error < least):
            least = error
        yield least


def _fronts(search: SearchStudy, errors: Sequence[float | None], front: Sequence[str]) -> Iterator[Front]:
    """The front of all objectives against each cost among them, in rising cost; else a front for each of COSTS."""
    objectives = [name for name in search.log.objectives if name != ERROR]
    for cost in objectives or COSTS:
        networks = {
            network.label: (network.costs[cost], error)
            for network, error in zip(search.log.networks, errors, strict=True)
            if error is not None
        }
        if objectives:
            yield listed(cost, tuple(sorted(front, key=lambda label: (*networks[label], label))), networks)
        else:
            yield front_of(cost, networks)


def _random_errors(search: SearchStudy) -> list[float | None]:
    """Errors of random draws without those that the search has too: equal seeds start with equal draws."""
    if search.log.against is None:
        return []
    own = {(arm.network_hash, arm.cost) for arm in search.study.arms}  # the cost tells image sizes apart
    return [draw.error for draw in search.log.against.networks if (draw.network_hash, draw.cost) not in own]
