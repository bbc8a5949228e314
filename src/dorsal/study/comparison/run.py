"""A comparison from question to records."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain

from msgspec.structs import replace

from dorsal.data.spec import parse_data
from dorsal.data.summary import DataSummary
from dorsal.jobs.ahead import (
    check_models,
    check_probes,
    data_summary,
    examine_start,
    find_start,
    published_tags,
    timm_arms,
)
from dorsal.jobs.device import with_device
from dorsal.jobs.events import Note
from dorsal.jobs.execution import Execution, OnEvent, execute, tell
from dorsal.jobs.forecast import first_seeds
from dorsal.jobs.records import Arm, Study
from dorsal.jobs.study_file import STUDY_FILE, load_study, read_study_file, refuse_other_studies
from dorsal.recipes.recipe import Recipe
from dorsal.recipes.suits import check_all_suit
from dorsal.recipes.text import AnyRecipe, read_any_recipes
from dorsal.spec.network import Network
from dorsal.spec.start import Start
from dorsal.spec.timm import AnyNetwork, TimmNetwork
from dorsal.stats.looks import FIRST_LOOK
from dorsal.study.comparison.plan import Foreign, describer, fitted_network, plan_comparison
from dorsal.study.comparison.question import AskedArm, Comparison, command_line
from dorsal.study.comparison.tune import tune
from dorsal.study.comparison.until import undecided
from dorsal.study.deployment.arms import deploy_arms


def compare(comparison: Comparison, *, on_event: OnEvent = lambda _: None) -> Study:
    """Makes every run of a comparison on one data set that has not ended yet, and returns the study with all that have.

    Interrupted at any point, by Ctrl-C or by kill -9 of a worker or of this process, the same call goes on where it
    was: ended runs are in the store, others have a checkpoint of their last epoch. A run that fails is recorded while
    the others go on, and made again by the next call. Scripts call this under `if __name__ == "__main__":`, because
    workers import the main module. Where it is asked for, the arms are `deployed` when all runs have ended.

    Raises ValueError for a bad question, a budget that is too small, a folder that another process holds or that
    cannot be written, a store of another schema; OSError when the disk is full, with all that was stored intact.
    """
    study = (_until_decided if comparison.until_decided else _once)(comparison, on_event)
    if comparison.deployed:
        deploy_arms(comparison, study, on_event)
    return study


def _once(comparison: Comparison, on_event: OnEvent) -> Study:
    """With the seeds that are asked for."""
    return _compare(comparison, comparison.seeds, on_event)


def _until_decided(comparison: Comparison, on_event: OnEvent) -> Study:
    """With as many seeds as it takes."""
    assert isinstance(comparison.seeds, int)
    saved = read_study_file(comparison.folder)
    count = max(comparison.seeds, FIRST_LOOK, len(saved.study.seeds) if saved and saved.study.most_seeds else 0)
    while True:
        study = _compare(comparison, min(count, comparison.seed_limit), on_event)
        left = undecided(study, comparison.seed_limit)
        if left and len(study.seeds) == comparison.seed_limit:
            on_event(
                Note(f"undecided after {len(study.seeds)} seeds, which are as many as there may be: {', '.join(left)}")
            )
        if not left or len(study.seeds) < count or count >= comparison.seed_limit:
            return study
        count += 1
        on_event(Note(f"undecided after {count - 1} seeds: {', '.join(left)}; seed {count} is next"))


def _compare(comparison: Comparison, seeds: int | tuple[int, ...], on_event: OnEvent) -> Study:
    """As `compare`, with these seeds."""
    execution, check = prepare(comparison, seeds, on_event), refusal_of_others(comparison)
    if comparison.tune is not None:
        execution = tune(comparison, execution, on_event, check)
    execute(execution, on_event, check=check)
    return load_study(comparison.folder, comparison.storage)


def prepare(comparison: Comparison, seeds: int | tuple[int, ...], on_event: OnEvent) -> Execution:
    """What it takes to make a comparison on one data set with these seeds. Leaves nothing, and raises ValueError for
    all that can be known to be wrong without its folder."""
    command, most = command_line(comparison), comparison.seed_limit if comparison.until_decided else None
    comparison = replace(comparison, seeds=seeds)
    assert isinstance(comparison.data, str), "several data sets are compared by compare_data_sets"
    labels = [arm.label for arm in comparison.asked_arms if arm.label]
    if twice := next((label for label in labels if labels.count(label) > 1), None):
        raise ValueError(f"networks: the label {twice!r} is given to {labels.count(twice)} arms; give each its own")
    place = with_device(comparison.resources)
    recipes = read_any_recipes(comparison.asked_recipes, comparison.epochs)
    own = tuple(dict.fromkeys(arm.recipe for arm in comparison.asked_arms if arm.recipe))
    check_all_suit({**recipes, **read_any_recipes(own, comparison.epochs)}, comparison.asked_task)
    data = data_summary(
        parse_data(comparison.data, comparison.asked_task),
        resampling=comparison.resampling,
        task=comparison.asked_task,
    )
    tell(data.notes, on_event)
    arms = filled_in(comparison.asked_arms)
    asked = plan_comparison(comparison, data, recipes, arms, foreign(comparison, arms, data, recipes))
    check_models({arm.label: arm.network for arm in asked.arms}, data)
    check_probes(asked.recipes.values(), data)
    examined = (examine_start(arm, data, comparison.accept) for arm in asked.arms if arm.start)
    asked = replace(asked, remarks=tuple(chain.from_iterable(examined)))
    return Execution(
        plan=asked,
        timed=tuple(run for run in asked.runs if run.seed == asked.seeds[0]),
        part=first_seeds,
        parts=len(asked.seeds),
        part_name="seeds for every arm and recipe",
        describe=describer(asked),
        place=place,
        folder=comparison.folder,
        file=STUDY_FILE,
        kind="comparison",
        name=comparison.name,
        command=command,
        storage=comparison.storage,
        budget=comparison.budget,
        keep_models=comparison.keep_models,
        margin=comparison.margin,
        most_seeds=most,
    )


def refusal_of_others(comparison: Comparison) -> Callable[[], None]:
    """What raises ValueError where the folder holds something else."""
    return partial(refuse_other_studies, comparison.folder, "comparison", comparison.name)


def foreign(
    comparison: Comparison, arms: Sequence[AskedArm], data: DataSummary, recipes: Mapping[str, AnyRecipe]
) -> Foreign:
    """Asks timm for its networks, and finds the weights that arms begin from."""
    timm: dict[TimmNetwork, Arm] = {}
    starts: dict[tuple[str, AnyNetwork], Start] = {}
    for arm in arms:
        network = fitted_network(arm, data)
        if isinstance(network, TimmNetwork):
            own = read_any_recipes([arm.recipe], comparison.epochs) if arm.recipe else recipes
            trained = {name: made for name, made in own.items() if isinstance(made, Recipe)}
            timm |= timm_arms([network], trained, data.image_size)
        if arm.weights is not None:
            starts[arm.weights, network] = find_start(arm.weights, network)
    return Foreign(timm, starts)


def filled_in(arms: Sequence[AskedArm]) -> tuple[AskedArm, ...]:
    """The arms with one for each published set of weights in place of each `network@*`.

    Raises ValueError where none are published.
    """
    found: list[AskedArm] = []
    for arm in arms:
        if arm.weights != "*":
            found.append(arm)
            continue
        tags = published_tags(arm.network) if isinstance(arm.network, Network) else ()
        if not tags:
            raise ValueError(f"network '{arm.text}@*': no weights of it are published; see `dorsal weights list`")
        found += [replace(arm, weights=tag, label=arm.label and f"{arm.label}@{tag}") for tag in tags]
    return tuple(found)
