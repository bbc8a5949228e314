"""What a search found, in data and in sentences. Pure; no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import get_args

from msgspec.structs import replace

from dorsal.findings.population.analyse import network_results
from dorsal.findings.population.records import Counts, NamedNetwork, NetworkStatus
from dorsal.recipes.recipe import Recipe
from dorsal.stats.pareto import pareto_front
from dorsal.stats.versus_random import against_random, against_random_sentence
from dorsal.study.population.records import PopulationStudy, SpaceSample
from dorsal.study.search.pick import flattery, unverified
from dorsal.study.search.question import ERROR
from dorsal.study.search.records import FrontPoint, SearchFindings, SearchLog, SearchStudy


def analyse_search(search: SearchStudy, against: PopulationStudy | None = None) -> SearchFindings:
    """What the search found so far, and how that compares with random draws of the same space, where there are some.

    Raises ValueError for a population of another space, bounds, recipe, data or number of seeds.
    """
    course, study = search.course, search.study
    results = network_results(study)
    statuses = [results[network.label][0] for network in course.networks]
    errors = [results[network.label][1] for network in course.networks]
    random = _random_errors(search, against) if against else []
    known = [error for error in random if error is not None]
    finished = {
        network.label: tuple(error if name == ERROR else network.costs[name] for name in course.objectives)
        for network, error in zip(course.networks, errors, strict=True)
        if error is not None
    }
    least = min((error for error in errors if error is not None), default=None)
    passed_over: Counter[str] = Counter()
    for network in course.networks:
        passed_over.update(network.passed_over)
    outcome = SearchFindings(
        name=study.name,
        space=course.space.name,
        sampler=course.sampler,
        objectives=course.objectives,
        epochs=next(iter(study.recipes.values())).epochs,
        seeds=len(study.seeds),
        counts=Counts(**{status: statuses.count(status) for status in get_args(NetworkStatus)}),
        drawn=sum(network.drawn for network in course.networks),
        passed_over=dict(passed_over.most_common()),
        statuses=tuple(statuses),
        errors=tuple(errors),
        best_so_far=tuple(_least_so_far(errors)),
        best=None if least is None else NamedNetwork(label=course.networks[errors.index(least)].label, error=least),
        front=tuple(FrontPoint(label=label, values=finished[label]) for label in pareto_front(finished)),
        against=against_random(errors, random) if len(known) > 1 and finished else None,
        sentences=(),
    )
    return replace(outcome, sentences=tuple(_sentences(outcome, len(course.networks))))


def _least_so_far(errors: Sequence[float | None]) -> Iterator[float | None]:
    least: float | None = None
    for error in errors:
        if error is not None and (least is None or error < least):
            least = error
        yield least


def draws_to_compare(
    population: PopulationStudy, course: SearchLog, recipes: Mapping[str, Recipe], data: str, seeds: int
) -> SpaceSample:
    """The population's draws of the searched space. `data` is the fingerprint, `seeds` how many.

    Raises ValueError where their errors do not compare with those of the search.
    """
    name = course.space.name
    drawn = next((each for each in population.spaces if each.space.name == name), None)
    if drawn is None:
        spaces = ", ".join(each.space.name for each in population.spaces)
        raise ValueError(f"against: the population is of {spaces}, and the search of {name}")
    for what, same in (
        (f"space called {name}", drawn.space == course.space),
        ("bounds", drawn.bounds == course.bounds),
        ("recipe", population.study.recipes == recipes),
        ("data", population.study.data.fingerprint == data),
        ("number of seeds", len(population.study.seeds) == seeds),
    ):
        if not same:
            raise ValueError(f"against: the population has another {what} than the search, so errors do not compare")
    return drawn


def _random_errors(search: SearchStudy, population: PopulationStudy) -> list[float | None]:
    """Errors of the population's networks but for those that the search has too, as the same draws are of one seed."""
    study = search.study
    drawn = draws_to_compare(population, search.course, study.recipes, study.data.fingerprint, len(study.seeds))
    results = network_results(population.study)
    own = {(arm.network_hash, arm.cost) for arm in study.arms}  # the cost tells image sizes apart
    others = {arm.label for arm in population.study.arms if (arm.network_hash, arm.cost) not in own}
    return [results[label][1] for label in drawn.labels if label in others]


def _sentences(found: SearchFindings, asked: int) -> Iterator[str]:
    counts = found.counts
    left = ", ".join(f"{getattr(counts, what):,} {what}" for what in ("diverged", "failed", "waiting"))
    fared = f"{counts.finished:,} of {asked:,} networks of {found.space} finished ({left})"
    if found.sampler == "random":
        yield f"{fared}; all were random draws."
    else:
        points = sum(found.passed_over.values())
        reasons = "; ".join(f"{reason}: {count:,}" for reason, count in found.passed_over.items())
        yield (
            f"{fared}; {asked - found.drawn:,} were proposed by {found.sampler} and {found.drawn:,} were random draws; "
            f"{points:,} points that it proposed besides were not trained{f' ({reasons})' * bool(points)}."
        )
    if found.best is None:
        yield "No network has finished, so there is nothing to compare."
        return
    yield f"Least error: {found.best.error:.2f} %, {found.best.label}. {flattery(counts.finished, found.seeds)}"
    if len(found.objectives) > 1:
        front = ", ".join(point.label for point in found.front)
        yield f"No network beats these in {' and '.join(found.objectives)}: {front}."
    if found.against is not None:
        yield against_random_sentence(found.against)
    elif found.sampler != "random":
        yield "Whether random draws do as well is not known: no population with two other networks was given."
    yield unverified(found.epochs)
