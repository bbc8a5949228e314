"""A search as data: the networks it asked for in turn, and what their training gave. Written as JSON. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from dorsal.data.summary import DataSummary
from dorsal.jobs.records import Study
from dorsal.jobs.results import network_results
from dorsal.language.notebook import html_table
from dorsal.recipes.recipe import Recipe
from dorsal.space.space import Space
from dorsal.spec.cost import Cost
from dorsal.spec.task import task_text
from dorsal.study.choice.records import ChoiceStudy
from dorsal.study.comparison.records import DataSetStudies
from dorsal.study.population.records import PopulationStudy

SEARCH_SCHEMA = 2
ERROR = "error"
"""The objective that takes training."""


class SearchedNetwork(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A network that a search asked for.

    - `label`: among the arms of the study. `point`: by axis the value, None where the axis is not drawn, a list by
      stage for an axis by stage. `costs`: by quantity, of one image.
    - `drawn`: a random draw of the space, not a proposal of the sampler.
    - `passed_over`: points proposed before it that were not trained, by reason.
    - `memory`: what the sampler noted down beside it (the generation of nsga2).
    """

    label: str
    point: dict[str, Any]
    costs: dict[str, float]
    drawn: bool
    passed_over: dict[str, int]
    memory: dict[str, Any]


class RandomDraw(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A random draw of the searched space, trained as the search trains. `error`: None unless all its runs finished."""

    network_hash: str
    cost: Cost
    error: float | None


class RandomDraws(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Random draws that a search is compared with: those of the population in `folder`, trained with `seeds` seeds."""

    folder: str
    seeds: int
    networks: tuple[RandomDraw, ...]


class SearchLog(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The networks that a search of one space asked for, in order, and how it was to.

    - `space`: as it was searched, its base and image size fitted to the data.
    - `bounds`, `sampler`, `objectives`, `seed`, `latency_model`: see `Search`.
    - `against`: what random draws had come to when they were last given to compare with.
    """

    space: Space
    bounds: dict[str, str]
    sampler: str
    objectives: tuple[str, ...]
    seed: int
    latency_model: str
    networks: tuple[SearchedNetwork, ...] = ()
    against: RandomDraws | None = None
    schema: int = SEARCH_SCHEMA


class SearchStudy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A search with what came of it: `study` has the networks as arms, and the ended runs."""

    study: Study
    log: SearchLog

    def _repr_html_(self) -> str:
        results = network_results(self.study)
        found = [(error, each) for each in self.log.networks if (error := results[each.label][1]) is not None]
        found.sort(key=lambda pair: pair[0])
        rows = [
            (each.label, f"{error:.2f}", *(f"{each.costs[name]:,.0f}" for name in ("params", "macs")))
            for error, each in found
        ]
        ended = f"{len(found):,} of {len(self.log.networks):,} networks finished"
        title = f"{self.study.name}: search of {self.log.space.name}; {ended}; errors in percent, the least first"
        return html_table(title, ("network", "error", "params", "MACs"), rows)


AnyStudy = Study | DataSetStudies | PopulationStudy | SearchStudy | ChoiceStudy


def random_draws(
    population: PopulationStudy,
    folder: str,
    log: SearchLog,
    recipes: Mapping[str, Recipe],
    data: DataSummary,
    seeds: int,
) -> RandomDraws:
    """What the draws of the searched space came to in the population of `folder`. `data` are those of the search,
    `seeds` how many.

    Raises ValueError where their errors do not compare with those of the search.
    """
    name = log.space.name
    drawn = next((each for each in population.spaces if each.space.name == name), None)
    if drawn is None:
        spaces = ", ".join(each.space.name for each in population.spaces)
        raise ValueError(f"against={folder!r} is a population of {spaces}, and the search is of {name}")
    there = population.study
    for what, then, now, shown in (
        (f"the space {name}", drawn.space, log.space, ""),
        ("bounds", drawn.sampling.bounds, log.bounds, f": {_bounds(drawn.sampling.bounds)}, not {_bounds(log.bounds)}"),
        ("task", there.task, data.task, f": {task_text(there.task)}, not {task_text(data.task)}"),
        ("recipe", there.recipes, recipes, f": {', '.join(there.recipes)}, not {', '.join(recipes)}"),
        ("data", there.data.fingerprint, data.fingerprint, f": {there.data.description}"),
        ("number of seeds", len(there.seeds), seeds, f": {len(there.seeds)}, not {seeds}"),
    ):
        if then != now:
            raise ValueError(f"against={folder!r} differs from the search in {what}{shown}; errors do not compare")
    arms = {arm.label: arm for arm in population.study.arms}
    results = network_results(population.study)
    networks = tuple(
        RandomDraw(network_hash=arms[label].network_hash, cost=arms[label].cost, error=results[label][1])
        for label in drawn.labels
    )
    return RandomDraws(folder=folder, seeds=seeds, networks=networks)


def _bounds(bounds: Mapping[str, str]) -> str:
    return " ".join(f"{name} {text}" for name, text in bounds.items()) or "none"
