"""Is a short schedule enough? Some networks of a population trained again, longer and under several seeds."""

from __future__ import annotations

from msgspec.structs import replace

from dorsal.data.spec import parse_data
from dorsal.data.summary import DataSummary
from dorsal.jobs.ahead import data_summary, summaries_at_sizes
from dorsal.jobs.device import with_device
from dorsal.jobs.execution import Execution, OnEvent, execute, tell
from dorsal.jobs.plan import Plan, run_of
from dorsal.jobs.records import Arm
from dorsal.recipes.recipe import Recipe
from dorsal.recipes.text import read_recipes
from dorsal.spec.task import parse_task
from dorsal.study.population.records import RecheckRuns
from dorsal.study.population.run import describer, first_networks, timed_runs
from dorsal.study.population.saved import changed_since, load_population, read_trained
from dorsal.study.recheck.question import Recheck, command_line
from dorsal.study.recheck.saved import RECHECK_FILE, load_recheck


def run_recheck(asked: Recheck, *, on_event: OnEvent = lambda _: None) -> RecheckRuns:
    """Trains the subset at every schedule with every seed, what the population has already not again.

    Interrupted at any point, the same call goes on. Raises ValueError as `run_population` does, for schedules that are
    not longer than the population's, and where its data or recipe have changed since.
    """
    place, folder = with_device(asked.resources), asked.folder
    before = read_trained(folder)
    population = load_population(folder, asked.storage)
    own = read_recipes([before.recipe], before.epochs)
    ((name, recipe),) = own.items()
    schedules = _schedules(asked, recipe.epochs)
    recipes = {f"{name}, {epochs} epoch{'s' * (epochs > 1)}": replace(recipe, epochs=epochs) for epochs in schedules}
    task = parse_task(before.task)
    data = data_summary(parse_data(before.data, task), task=task)
    tell(data.notes, on_event)
    if changed := changed_since(population.study, own, data):
        raise ValueError(f"the {changed} is no longer what the population in {str(folder)!r} was trained with")
    most = min(len(space.labels) for space in population.spaces)
    if asked.networks > most:
        raise ValueError(f"networks={asked.networks} is more than the {most} of each space; nearest valid: {most}")
    arms = {arm.label: arm for arm in population.study.arms}
    seen_at = summaries_at_sizes(data)
    chosen = [
        (arms[space.labels[row]], seen_at(int(space.costs["image_size"][row])))
        for row in range(asked.networks)
        for space in population.spaces
    ]
    plan = _plan(chosen, recipes, asked, data)
    execution = Execution(
        plan=plan,
        timed=timed_runs(plan),
        part=first_networks,
        parts=asked.networks,
        part_name="networks of every space",
        describe=describer(plan, population.spaces),
        place=place,
        folder=folder,
        file=RECHECK_FILE,
        kind="population",
        name=population.study.name,
        command=command_line(asked),
        storage=asked.storage,
        budget=asked.budget,
        keep_models=asked.keep_models,
    )
    execute(execution, on_event)
    retrained = load_recheck(folder, asked.storage)
    assert retrained is not None  # just written
    return retrained


def _schedules(asked: Recheck, own: int) -> tuple[int, ...]:
    longer = asked.epochs or (2 * own, 4 * own)
    for epochs in longer:
        if epochs <= own or longer.count(epochs) > 1:
            raise ValueError(
                f"epochs: {epochs} must be there once and more than the population's {own}; nearest valid: {own + 1}"
            )
    return (own, *sorted(longer))


def _plan(chosen: list[tuple[Arm, DataSummary]], recipes: dict[str, Recipe], asked: Recheck, data: DataSummary) -> Plan:
    """Network by network, each at all schedules and seeds, so that what is broken off is complete for some."""
    runs = tuple(
        run_of(arm, name, recipe, seed, seen, asked)
        for arm, seen in chosen
        for seed in asked.seed_list
        for name, recipe in recipes.items()
    )
    return Plan(arms=tuple(arm for arm, _ in chosen), recipes=recipes, seeds=asked.seed_list, data=data, runs=runs)
