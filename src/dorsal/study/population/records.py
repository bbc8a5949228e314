"""A population as data: networks drawn from design spaces and what their training gave. Written as JSON. No torch."""

from __future__ import annotations

from statistics import fmean
from typing import Any

import msgspec

from dorsal.jobs.records import Study
from dorsal.jobs.results import NoResult, network_results
from dorsal.language.notebook import html_table
from dorsal.space.sample import Sampling
from dorsal.space.space import Space

POPULATION_SCHEMA = 2


class SpaceSample(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One space, and the networks drawn from it, in the order drawn.

    - `space`: as it was sampled, its base and image size fitted to the data. `sampling`: how it was sampled.
    - `labels`: the networks' labels among the arms of the study. `axes`, `costs`: by axis and by quantity one entry a
      network: the drawn value, None where the axis was not drawn, a list by stage for an axis by stage.
    """

    space: Space
    sampling: Sampling
    labels: tuple[str, ...]
    axes: dict[str, list[Any]]
    costs: dict[str, list[float]]


class HowTrained(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a population was trained, as it was asked for: texts of recipe, data and task, and the epochs where they are
    not the recipe's own."""

    recipe: str
    data: str
    epochs: int | None
    task: str = "classify"


class PopulationStudy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Populations of one or more spaces under one recipe. `study` has the networks as arms, and the ended runs.

    A network's error is 100 minus the score of its last epoch in percent, the mean over seeds.
    """

    study: Study
    spaces: tuple[SpaceSample, ...]
    schema: int = POPULATION_SCHEMA

    def _repr_html_(self) -> str:
        results = network_results(self.study)
        rows = []
        for drawn in self.spaces:
            errors = [error for label in drawn.labels if (error := results[label][1]) is not None]
            found = (f"{min(errors):.2f}", f"{fmean(errors):.2f}") if errors else ("–", "–")
            rows.append((drawn.space.name, f"{len(drawn.labels):,}", f"{len(errors):,}", *found))
        title = f"{self.study.name}: population on {self.study.data.description}; errors in percent"
        return html_table(title, ("space", "networks", "finished", "least error", "mean error"), rows)


class RecheckRuns(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Evidence on the short schedule: runs of some networks of a population at several budgets.

    `budgets` are named short to long ("10 epochs"); the first is the population's. `runs[network][budget][seed]` is the
    run's error in percent, or what became of it where it has none; `labels` are the networks' in the population.
    """

    labels: tuple[str, ...]
    budgets: tuple[str, ...]
    runs: tuple[tuple[tuple[float | NoResult, ...], ...], ...]
