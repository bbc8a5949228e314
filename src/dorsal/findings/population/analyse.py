"""The analysis of a population: what its errors say of spaces, of axes, and of the schedule. Pure; no torch."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from dorsal.findings.fronts import Front, front_of
from dorsal.findings.learning import network_learning
from dorsal.findings.population.importance import RESAMPLES
from dorsal.findings.population.records import PopulationFindings, SpaceFinding
from dorsal.findings.population.short_schedule import reliability_finding
from dorsal.findings.population.space_finding import FITS, complexity_bins, space_finding
from dorsal.findings.population.space_pairs import planner, space_pairs
from dorsal.jobs.results import network_results
from dorsal.language.reader import suggest
from dorsal.spec.cost import COSTS
from dorsal.study.population.records import PopulationStudy, RecheckRuns

CONFIDENCE = 0.95


def analyse_population(
    population: PopulationStudy, *, retrained: RecheckRuns | None = None, fits: int = FITS, resamples: int = RESAMPLES
) -> PopulationFindings:
    """Everything that a population shows, finished or not.

    `retrained` is evidence on longer schedules. Two parts take long: `fits` networks of each space are fitted to the
    linear rule (about 0.1 s each), and the intervals of the shares of axes use `resamples` samples.

    Raises ValueError for a population without networks, negative `fits`, fewer than 20 `resamples`, and evidence on
    networks that are not in the population.
    """
    study = population.study
    if not any(drawn.labels for drawn in population.spaces):
        raise ValueError(f"population {study.name!r} is empty: it has no networks; `dorsal space run` draws and trains")
    for name, value, least in (("fits", fits, 0), ("resamples", resamples, 20)):
        if value < least:
            raise ValueError(f"{name}={value} is below {least}; nearest valid: {least}")
    arms = {arm.label: arm for arm in study.arms}
    results = network_results(study)
    bins = complexity_bins(population.spaces, results)
    spaces = tuple(
        space_finding(drawn, arms, results, bins, fits, resamples, CONFIDENCE) for drawn in population.spaces
    )
    recipe = next(iter(study.recipes))
    learnt = network_learning(study, results)
    pairs = () if learnt.nothing else space_pairs(spaces, CONFIDENCE)
    epochs = study.recipes[recipe].epochs
    reliability = reliability_finding(retrained, {space.name: space.labels for space in spaces}, epochs)
    return PopulationFindings(
        name=study.name,
        recipe=recipe,
        epochs=epochs,
        seeds=len(study.seeds),
        learning=learnt,
        spaces=spaces,
        pairs=pairs,
        planner=planner(spaces, learnt, CONFIDENCE),
        fronts=_fronts(spaces),
        shared_bins={name: sum(each.shared) for name, each in bins.items()},
        reliability=reliability,
        confidence=CONFIDENCE,
    )


def of_space(
    population: PopulationStudy, retrained: RecheckRuns | None, name: str
) -> tuple[PopulationStudy, RecheckRuns | None]:
    """The findings on one space alone. Raises ValueError for a space that the population does not have."""
    chosen = tuple(drawn for drawn in population.spaces if drawn.space.name == name)
    if not chosen:
        known = [drawn.space.name for drawn in population.spaces]
        raise ValueError(f"population {population.study.name!r} has no space {name!r}{suggest(name, known)}")
    if retrained is not None:
        kept = [place for place, label in enumerate(retrained.labels) if label in chosen[0].labels]
        labels, runs = (tuple(column[place] for place in kept) for column in (retrained.labels, retrained.runs))
        retrained = replace(retrained, labels=labels, runs=runs) if kept else None
    return replace(population, spaces=chosen), retrained


def _fronts(spaces: Sequence[SpaceFinding]) -> tuple[Front, ...]:
    """The front of error and cost, for each of `COSTS` and for each time in milliseconds that all spaces have."""
    known = [name for name in spaces[0].costs if all(name in space.costs for space in spaces)]
    return tuple(
        front_of(
            name,
            {
                label: (cost, error)
                for space in spaces
                for label, cost, error in zip(space.labels, space.costs[name], space.errors, strict=True)
                if error is not None
            },
        )
        for name in known
        if name in COSTS or name.endswith("_ms")
    )
