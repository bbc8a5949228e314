"""Populations: networks sampled from design spaces, trained under one recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import replace

from dorsal.data.spec import parse_data
from dorsal.data.summary import DataSummary
from dorsal.jobs.ahead import check_models, data_summary, summaries_at_sizes
from dorsal.jobs.device import with_device
from dorsal.jobs.events import Note, Remark
from dorsal.jobs.execution import Execution, OnEvent, execute, tell
from dorsal.jobs.plan import Plan, Run, run_of
from dorsal.jobs.records import Arm
from dorsal.jobs.store import SEEDS, Categories, Domains, Range, Value, Values
from dorsal.jobs.study_file import STUDY_FILE
from dorsal.latency.predict import cautions, read_latency_model
from dorsal.recipes.recipe import Recipe
from dorsal.recipes.suits import check_all_suit
from dorsal.recipes.text import read_recipes
from dorsal.space.base import based_on
from dorsal.space.costs import cost_of
from dorsal.space.sample import Sample, sample
from dorsal.space.space import Space
from dorsal.spec.adapt import fitted_to
from dorsal.spec.task import Classify
from dorsal.spec.timm import AnyNetwork, hash_of
from dorsal.study.population.question import Population, command_line
from dorsal.study.population.records import HowTrained, PopulationStudy, SpaceSample
from dorsal.study.population.saved import drawn_before, load_population, refuse_others, write_spaces

TIMED = 8
"""Networks timed for the forecast; the others are predicted from them."""


def fitted_space(space: Space, data: DataSummary) -> Space:
    """The space with the classes and channels of the data, and their image size where it has no axis of that."""
    classes = len(data.classes) if isinstance(data.task, Classify) else 0
    net = fitted_to(space.base_network, classes, data.channels)
    return replace(space, base=based_on(space.base, net), image_size=data.image_size)


def sample_spaces(asked: Population, data: DataSummary, on_event: OnEvent) -> tuple[Sample, ...]:
    """A sample of every space. Raises ValueError, naming the space, as `space.sample.sample` does."""
    spaces = asked.asked_spaces
    if asked.latency_model:
        for caution in cautions(read_latency_model(Path(asked.latency_model)), [space.name for space in spaces]):
            on_event(Remark(caution))
    samples = []
    for space in spaces:
        predicted, space_here = asked.predicted, fitted_space(space, data)
        for predictor in predicted.values():
            predictor.check(space_here)
        drawn = sample(
            space_here,
            asked.count,
            asked.bounds,
            asked.sample_seed,
            predicted=predicted,
            on_note=lambda text: on_event(Note(text)),
        )
        on_event(Note(f"{space.name}: {len(drawn)} networks from {drawn.sampling.candidates:,} candidates"))
        for predictor in predicted.values():
            on_event(Remark(predictor.use(), space.name))
        samples.append(drawn)
    return tuple(samples)


def run_population(asked: Population, *, on_event: OnEvent = lambda _: None) -> PopulationStudy:
    """Samples the spaces and trains every network that has not been trained yet; returns all that have ended.

    Interrupted at any point, the same call goes on, as `compare` does; with a larger `count` or more
    seeds it goes on from what is there. With a smaller `count` what is there stays.

    Raises ValueError as that does, for a bound that too few networks meet, and for a folder with a comparison, other
    spaces or another recipe.
    """
    place, folder = with_device(asked.resources), asked.folder
    if asked.count < (there := drawn_before(folder)):
        on_event(Note(f"count={asked.count}: {folder} holds {there} networks of a space, and keeps them"))
        asked = replace(asked, count=there)
    recipes = read_recipes([asked.asked_recipe], asked.epochs)
    check_all_suit(recipes, asked.asked_task)
    data = data_summary(parse_data(asked.data, asked.asked_task), task=asked.asked_task)
    tell(data.notes, on_event)
    samples = sample_spaces(asked, data, on_event)
    drawn = tuple(map(_drawn, samples))
    trained = HowTrained(recipe=asked.asked_recipe, data=asked.data, epochs=asked.epochs, task=asked.task)
    plan = _plan(samples, drawn, asked, recipes, data)
    check_drawn({arm.label: arm.network for arm in plan.arms}, data)
    execution = Execution(
        plan=plan,
        timed=timed_runs(plan),
        part=first_networks,
        parts=asked.count,
        part_name="networks of every space",
        describe=describer(plan, drawn),
        place=place,
        folder=folder,
        file=STUDY_FILE,
        kind="population",
        name=asked.name,
        command=command_line(asked),
        storage=asked.storage,
        budget=asked.budget,
        keep_models=asked.keep_models,
    )
    execute(
        execution,
        on_event,
        check=lambda: refuse_others(folder, asked.name, drawn, recipes, data),
        write=lambda: write_spaces(folder, trained, drawn),
    )
    return load_population(folder, asked.storage)


def check_drawn(networks: Mapping[str, AnyNetwork], data: DataSummary) -> None:
    """Raises ValueError where the task cannot be built on one of these networks of a space, by label."""
    try:
        check_models(networks, data)
    except ValueError as error:
        raise ValueError(f"{error}; edit the base of the space, as in edit='strides=[2, 2, 2, 2]'") from None


def describer(plan: Plan, drawn: Sequence[SpaceSample]) -> Callable[[Run], tuple[Domains, Values]]:
    """What a run of these networks is in terms of the store's parameters: the point that was drawn, seed and epochs."""
    arms = {arm.label: arm for arm in plan.arms}
    spaces = {space.space.name: space for space in drawn}
    domains = {space.space.name: {**domains_of(space.space), **RUN} for space in drawn}

    def describe(run: Run) -> tuple[Domains, Values]:
        arm = arms[run.arm]
        point = values_of({name: column[arm.row] for name, column in spaces[arm.space].axes.items()})
        return domains[arm.space], {**point, "seed": run.seed, "epochs": run.recipe.epochs}

    return describe


RUN: Domains = {"seed": SEEDS, "epochs": Range(1, 1_000_000, whole=True)}
"""Parameters every run has in addition to its network's point."""


def domains_of(space: Space) -> Domains:
    """The axes of a space as parameters of the store, those by stage one for each stage (`depths.0`, …)."""
    compiled = space.compiled
    domains: dict[str, Range | Categories] = {}
    for name, axis in compiled.axes.items():
        numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in axis.written)
        domain: Range | Categories = Categories(axis.written)
        if numbers:
            whole = all(isinstance(value, int) for value in axis.written)
            domain = Range(min(axis.written), max(axis.written), whole)
        stages = compiled.stages if axis.by_stage else 0
        domains |= {f"{name}.{stage}": domain for stage in range(stages)} if stages else {name: domain}
    return domains


def values_of(point: Mapping[str, Any]) -> Values:
    """A point's drawn values by the names of `domains_of`; what is not drawn is left out."""
    values: dict[str, Value] = {}
    for name, value in point.items():
        if isinstance(value, list):
            values |= {f"{name}.{stage}": each for stage, each in enumerate(value) if each is not None}
        elif value is not None:
            values[name] = value
    return values


def first_networks(plan: Plan, count: int) -> Plan:
    """The plan with the runs of the first `count` networks of every space only."""
    first = {arm.label for arm in plan.arms if arm.row < count}
    return replace(plan, runs=tuple(run for run in plan.runs if run.arm in first))


def _drawn(found: Sample) -> SpaceSample:
    return SpaceSample(
        space=found.space,
        sampling=found.sampling,
        labels=tuple(f"{found.space.name}/{index}" for index in range(len(found))),
        axes=found.axes(),
        costs={name: column.astype(float).tolist() for name, column in found.costs.items()},
    )


def _plan(
    samples: tuple[Sample, ...],
    drawn: tuple[SpaceSample, ...],
    asked: Population,
    recipes: Mapping[str, Recipe],
    data: DataSummary,
) -> Plan:
    """The runs seed by seed, in each the spaces in turn, so that what is broken off is balanced."""
    seen_at = summaries_at_sizes(data)
    arms: dict[str, Arm] = {}
    sizes: dict[str, DataSummary] = {}
    for found, space in zip(samples, drawn, strict=True):
        for row, (label, net) in enumerate(zip(space.labels, found.networks(), strict=True)):
            side = int(space.costs["image_size"][row])
            sizes[label] = seen_at(side)
            arms[label] = Arm(
                label=label,
                text=based_on(space.space.base, net),
                network=net,
                network_hash=hash_of(net),
                cost=cost_of({name: column[row] for name, column in found.costs.items()}),
                space=space.space.name,
                row=row,
            )
    in_turn = [label for labels in zip(*(space.labels for space in drawn), strict=True) for label in labels]
    runs = tuple(
        run_of(arms[label], name, recipe, seed, sizes[label], asked)
        for name, recipe in recipes.items()
        for seed in asked.seed_list
        for label in in_turn
    )
    return Plan(arms=tuple(arms.values()), recipes=dict(recipes), seeds=asked.seed_list, data=data, runs=runs)


def timed_runs(plan: Plan) -> tuple[Run, ...]:
    """Runs of a few networks under the first recipe and seed: the first of every space, which every budget has to fit,
    and others spread evenly over their activations."""
    activations = {arm.label: arm.cost.activations for arm in plan.arms}
    kind = next(iter(plan.recipes)), plan.seeds[0]
    runs = [run for run in plan.runs if (run.recipe_name, run.seed) == kind]
    smallest = {run.key for run in first_networks(plan, 1).runs}
    first = [run for run in runs if run.key in smallest]
    rest = sorted((run for run in runs if run.key not in smallest), key=lambda run: activations[run.arm])
    spread = np.linspace(0, len(rest) - 1, max(min(TIMED - len(first), len(rest)), 0)).round().astype(int)
    return (*first, *(rest[index] for index in spread))
