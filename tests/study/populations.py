"""Synthetic populations of known truth: networks from spaces, errors by a rule of their axes. Nothing is trained."""

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import numpy as np
from msgspec.structs import replace

from dorsal.data.spec import Folder
from dorsal.data.summary import DataSummary
from dorsal.jobs.records import Arm, Machine, PlannedRun, Status, Study, Trial
from dorsal.latency.records import TimedNetwork
from dorsal.recipes.epoch import Epoch
from dorsal.recipes.recipe import Recipe
from dorsal.space.base import based_on
from dorsal.space.costs import cost_of
from dorsal.space.named import SPACES
from dorsal.space.sample import sample
from dorsal.space.space import Space
from dorsal.spec.timm import hash_of
from dorsal.study.population.records import PopulationStudy, SpaceSample
from dorsal.study.search.records import SearchStudy, random_draws

RECIPE = "regnet-10ep"
EPOCHS = 10

Rule = Callable[[dict[str, Any]], float]
"""The true error in percent of a network, from its drawn values by axis and its costs by quantity."""


class Part(NamedTuple):
    """`count` networks of a space (its name stands for a named one), whose errors follow `rule`."""

    space: Space | str
    count: int
    rule: Rule
    seed: int = 0


def timed_by_macs(slower: float = 1.0) -> tuple[TimedNetwork, ...]:
    """60 networks of AnyNetX_E at 32 pixels that take `slower` milliseconds, and as much for each million MACs."""
    drawn = sample(replace(SPACES["anynetx_e"], image_size=32), 60, {"macs": "500k..8M"}, 5)
    return tuple(
        TimedNetwork(
            label=f"anynetx_e/{row}",
            network_hash=str(row),
            image_size=32,
            costs={name: float(column[row]) for name, column in drawn.costs.items() if name != "image_size"},
            rounds=({"forward_b1_ms": slower * (1 + 1e-6 * float(drawn.costs["macs"][row]))},) * 2,
        )
        for row in range(60)
    )


def level(error: float) -> Rule:
    """All networks have this error."""
    return lambda _: error


def population(
    *parts: Part,
    noise: float = 2.0,
    seeds: int = 1,
    bounds: dict[str, str] | None = None,
    diverged: Collection[str] = (),
    failed: Collection[str] = (),
    waiting: Collection[str] = (),
    random_state: int = 0,
) -> PopulationStudy:
    """Spaces with their networks' runs; `noise` is the standard deviation of the errors of one network's runs.

    `diverged`, `failed` and `waiting` name networks ("anynetx_a/3") whose runs all ended so, or have not ended.
    """
    random = np.random.default_rng(random_state)
    spaces, arms, trials = [], [], []
    for part in parts:
        drawn, networks = _draw(part, bounds or {})
        spaces.append(drawn)
        arms += networks
        for row, label in enumerate(drawn.labels):
            columns = {**drawn.axes, **drawn.costs}
            truth = part.rule({name: column[row] for name, column in columns.items()})
            for seed in range(1, seeds + 1):
                error = min(max(truth + noise * float(random.standard_normal()), 0.5), 90.0)
                if label not in waiting:
                    status = "diverged" if label in diverged else "failed" if label in failed else "finished"
                    trials.append(_trial(label, seed, status, 100 - error))
    return PopulationStudy(study=_study(tuple(arms), tuple(trials), seeds), spaces=tuple(spaces))


def _draw(part: Part, bounds: dict[str, str]) -> tuple[SpaceSample, list[Arm]]:
    space = SPACES[part.space] if isinstance(part.space, str) else part.space
    found = sample(space, part.count, bounds, part.seed)
    labels = tuple(f"{space.name}/{index}" for index in range(len(found)))
    costs = {name: column.astype(float).tolist() for name, column in found.costs.items()}
    arms = [
        Arm(
            label=label,
            text=based_on(space.base, net),
            network=net,
            space=space.name,
            row=row,
            network_hash=hash_of(net),
            cost=cost_of({name: column[row] for name, column in costs.items()}),
        )
        for row, (label, net) in enumerate(zip(labels, found.networks(), strict=True))
    ]
    drawn = SpaceSample(
        space=space,
        sampling=found.sampling,
        labels=labels,
        axes=found.axes(),
        costs=costs,
    )
    return drawn, arms


def _trial(label: str, seed: int, status: Status, accuracy: float) -> Trial:
    """A run whose accuracy rises evenly to its end; a diverged one stops after two epochs, a failed one has none."""
    ended = {"finished": EPOCHS, "diverged": 2, "failed": 0}[status]
    curve = tuple(
        Epoch(epoch, 2.0, 2.0, 10 + (accuracy - 10) * epoch / EPOCHS, 0.1, 1.0) for epoch in range(1, ended + 1)
    )
    error = "" if status == "finished" else f"it {status}"
    return Trial(f"{label}|{seed}", status, accuracy if status == "finished" else None, curve, 10.0, error)


def _study(arms: tuple[Arm, ...], trials: tuple[Trial, ...], seeds: int) -> Study:
    every = tuple(range(1, seeds + 1))
    return Study(
        kind="population",
        name="population",
        command="dorsal space run anynetx_a",
        created="2026-01-01T00:00:00+00:00",
        arms=arms,
        recipes={RECIPE: Recipe(epochs=EPOCHS)},
        seeds=every,
        data=DataSummary(
            spec=Folder("synthetic", size=32),
            classes=tuple("0123456789"),
            mean=(0.5, 0.5, 0.5),
            std=(0.2, 0.2, 0.2),
            fingerprint="f" * 64,
            train_images=1000,
            val_images=1000,
            constant=10.0,
        ),
        runs=tuple(PlannedRun(f"{arm.label}|{seed}", arm.label, RECIPE, seed) for arm in arms for seed in every),
        machine=Machine("none", 1, 1.0, "none", "cpu", 1, 1),
        versions={},
        trials=trials,
    )


def compared(search: SearchStudy, population: PopulationStudy) -> SearchStudy:
    """The search beside the random draws of a population."""
    study = search.study
    draws = random_draws(population, "population", search.log, study.recipes, study.data, len(study.seeds))
    return replace(search, log=replace(search.log, against=draws))
