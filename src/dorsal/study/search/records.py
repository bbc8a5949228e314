"""A search as data: the networks it asked for in turn, and what their training gave. Written as JSON. No torch."""

from __future__ import annotations

from typing import Any

import msgspec

from dorsal.findings.population.records import Counts, NamedNetwork, NetworkStatus
from dorsal.jobs.records import Study
from dorsal.space.space import Space
from dorsal.stats.versus_random import AgainstRandom

SEARCH_SCHEMA = 2


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


class SearchLog(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The networks that a search of one space asked for, in order, and how it was to.

    - `space`: as it was searched, its base and image size fitted to the data.
    - `bounds`, `sampler`, `objectives`, `seed`, `latency_model`: see `Search`.
    """

    space: Space
    bounds: dict[str, str]
    sampler: str
    objectives: tuple[str, ...]
    seed: int
    latency_model: str
    networks: tuple[SearchedNetwork, ...] = ()
    schema: int = SEARCH_SCHEMA


class SearchStudy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A search with what came of it: `study` has the networks as arms, and the ended runs."""

    study: Study
    course: SearchLog


class FrontPoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A network that no other equals or beats in all objectives and beats in one; `values` are in their order."""

    label: str
    values: tuple[float, ...]


class SearchFindings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a search found.

    - `drawn`: networks that were random draws. `passed_over`: points proposed and not trained, by reason.
    - `statuses`, `errors`, `best_so_far` follow the networks in the order asked: what became of each, its error in
      percent, None unless all its runs finished, and the least error up to it, None before the first.
    - `best`: of the finished ones, None where there is none.
    - `front`: the Pareto front of the objectives, by error; the best alone where the error is the only one.
    - `against`: random search of equal count, where a population is given.
    - `sentences` are the conclusions in the order to be read, with their limits.
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
    against: AgainstRandom | None
    sentences: tuple[str, ...]
    schema: int = SEARCH_SCHEMA
