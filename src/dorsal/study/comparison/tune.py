"""Tuning as a part of every arm: the same number of settings for each, scored on images held out from training."""

from __future__ import annotations

import bisect
import functools
import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from dorsal.jobs.budget import Budget
from dorsal.jobs.events import Note
from dorsal.jobs.execution import Execution, OnEvent, Outlook, execute, look_ahead
from dorsal.jobs.forecast import first_seeds, forecast, with_ended
from dorsal.jobs.plan import Plan, Run, run_of
from dorsal.jobs.records import Arm, Trial, Try, Tuned
from dorsal.jobs.remarks import BudgetCut, TuningTime
from dorsal.jobs.study_file import load_study, read_study_file
from dorsal.language.amounts import read_duration, show_duration
from dorsal.recipes.probe import FEW, INNER_SHARE
from dorsal.recipes.recipe import Recipe
from dorsal.recipes.text import AnyRecipe
from dorsal.study.comparison.plan import describer
from dorsal.study.comparison.question import MOST_TRIES, Comparison
from dorsal.study.comparison.tries import best_of, ranges_of, settings

TUNING_FILE = "tuning.json"
_INNER_SEED = 0


class Tunable(NamedTuple):
    """An arm under a recipe that has something to tune."""

    arm: Arm
    name: str
    recipe: Recipe

    def settings(self, count: int) -> tuple[dict[str, float], ...]:
        """The first settings of the list that mean something to the arm."""
        return settings(self.recipe, self.arm.start is not None, count)


class Amount(NamedTuple):
    """How much is tuned: so many `tries` for each arm and recipe, found for a `time`. Where a budget has no room for
    all seeds after that, `cut` says so, and `ended` are the runs that are there already."""

    tries: int
    time: TuningTime | None = None
    cut: BudgetCut | None = None
    ended: Collection[str] = ()


def tune(comparison: Comparison, execution: Execution, on_event: OnEvent, check: Callable[[], None]) -> Execution:
    """The execution with tuned runs beside those of the recipes as they are. Makes the tries that it takes first.

    Raises ValueError where there is nothing to tune, where the time to tune is too short for two settings, and where
    tuning leaves too little of the budget; else as `execute` does.
    """
    plan = execution.plan
    pairs = _pairs(comparison, plan)
    if _has_few_images(plan):
        seeds = len(plan.seeds)
        count = min(comparison.tune, seeds) if isinstance(comparison.tune, int) else seeds
        return _with_tuned(comparison, execution, [_untried(pair, count) for pair in pairs])
    amount = look_ahead(execution, on_event, check, functools.partial(_amount, comparison, execution, pairs))
    tries = _tries(comparison, execution, pairs, amount)
    each = f"{amount.tries} settings for each arm under each recipe"
    on_event(Note(f"tuning first: {each}, scored on a fifth of the training images"))
    execute(tries, on_event, check=check)
    ended = load_study(execution.folder, comparison.storage, TUNING_FILE).ended()
    tuned = _with_tuned(comparison, execution, [_tuned(pair, amount, tries.plan, ended) for pair in pairs])
    whole = replace(tuned.plan, remarks=(*plan.remarks, *filter(None, (amount.time, amount.cut))))
    if amount.cut is None:
        return replace(tuned, plan=whole)
    part = with_ended(first_seeds(whole, amount.cut.fitting), whole, amount.ended)
    return replace(tuned, plan=part, parts=len(part.seeds), budget=None)


def check_tuning(comparison: Comparison, execution: Execution, ahead: Outlook) -> None:
    """Raises ValueError for what `tune` refuses, before anything is tried."""
    pairs = _pairs(comparison, execution.plan)
    if not _has_few_images(execution.plan):
        _in_time(comparison, execution, pairs, ahead)


def _pairs(comparison: Comparison, plan: Plan) -> tuple[Tunable, ...]:
    """What there is to tune. Raises ValueError where there is nothing."""
    pairs = tuple(_tunable(plan))
    if not pairs:
        named = ", ".join(plan.recipes)
        raise ValueError(f"tune={comparison.tune}: no recipe ({named}) has a learning rate to tune; leave tune out")
    if _has_few_images(plan) and len(plan.seeds) < 2:
        raise ValueError(
            f"tune={comparison.tune}: a fifth of the training images is fewer than {FEW} of each class, so that "
            "settings are averaged over seeds, and one seed has one setting; give seeds=2 or more, or leave tune out"
        )
    return pairs


def _has_few_images(plan: Plan) -> bool:
    """Whether images that are held out are too few to choose by."""
    return plan.data.train_images * INNER_SHARE < FEW * len(plan.data.classes)


def _tunable(plan: Plan) -> Iterator[Tunable]:
    arms = {arm.label: arm for arm in plan.arms}
    for run in plan.runs:
        if run.seed == plan.seeds[0] and isinstance(run.recipe, Recipe):
            yield Tunable(arms[run.arm], run.recipe_name, run.recipe)


def _amount(comparison: Comparison, execution: Execution, pairs: Sequence[Tunable], ahead: Outlook) -> Amount:
    """How many tries are asked for, or fit in the time for them, and how many seeds then fit in the budget."""
    amount = _in_time(comparison, execution, pairs, ahead)
    tries = _tries(comparison, execution, pairs, amount)
    if comparison.budget is None or all(run.key in ahead.ended for run in tries.plan.runs):
        return amount
    tuned = _with_tuned(comparison, execution, [_untried(pair, 1) for pair in pairs])  # as long as what will be chosen
    expected = replace(tuned.plan, runs=tuple(replace(r, key=f"{r.key} {r.recipe_name}") for r in tuned.plan.runs))
    whole = replace(expected, recipes={**tries.plan.recipes, **expected.recipes})
    budget = Budget(
        text=comparison.budget,
        cut=lambda seeds: replace(whole, runs=(*tries.plan.runs, *first_seeds(expected, seeds).runs)),
        parts=execution.parts,
        part_name=f"{execution.part_name} after tuning by {amount.tries} settings",
        done=ahead.ended,
        workers=ahead.workers,
    )
    _, cut = budget.fitting(ahead.epochs(whole, {**tries.variants, **tuned.variants}))
    return amount._replace(cut=cut, ended=ahead.ended)


def _in_time(comparison: Comparison, execution: Execution, pairs: Sequence[Tunable], ahead: Outlook) -> Amount:
    """The number of tries: as asked, as it was found for the same time before, or as many as fit in the time now."""
    if not isinstance(comparison.tune, str):
        assert comparison.tune is not None
        return Amount(comparison.tune)
    before = read_study_file(execution.folder, TUNING_FILE)
    for remark in before.study.remarks if before else ():
        if isinstance(remark, TuningTime) and remark.time == comparison.tune:
            return Amount(remark.tries, remark)

    def seconds(count: int) -> float:
        tries = _tries(comparison, execution, pairs, Amount(count))
        found = forecast(tries.plan, ahead.epochs(tries.plan, tries.variants), (), ahead.workers).seconds
        if found is None:
            raise ValueError(f"tune={comparison.tune!r}: no network could be timed here; give a number, as in tune=8")
        return found

    fitting = 1 + bisect.bisect_right(range(2, MOST_TRIES + 1), read_duration(comparison.tune, "tune"), key=seconds)
    if fitting < 2:
        raise ValueError(
            f"tune={comparison.tune!r} is too short: 2 settings for each arm under each recipe take about "
            f"{show_duration(seconds(2))}; give at least that, or the number, as in tune=2"
        )
    return Amount(fitting, TuningTime(comparison.tune, fitting, seconds(fitting)))


def _tries(comparison: Comparison, execution: Execution, pairs: Sequence[Tunable], amount: Amount) -> Execution:
    """The tries as a study of their own beside the comparison, in the same store: a recipe for each setting, one seed
    that is none of the comparison's, and no models."""
    seed = next(seed for seed in itertools.count() if seed not in execution.plan.seeds)
    recipes: dict[str, Recipe] = {}
    variants: dict[str, tuple[str, float]] = {}
    runs: list[Run] = []
    for place in range(amount.tries):
        for pair in pairs:
            name = _name_of_try(pair, place)
            made = replace(pair.recipe, **pair.settings(amount.tries)[place])
            recipes[name] = made if pair.arm.start else recipes.get(name, made)  # with all fields that any arm varies
            variants[name] = (pair.name, 1 - INNER_SHARE)
            runs.append(run_of(pair.arm, name, made, seed, execution.plan.data, comparison, inner=_INNER_SEED))
    timed = {(pair.arm.label, pair.name) for pair in pairs}
    plan = Plan(
        arms=tuple({pair.arm.label: pair.arm for pair in pairs}.values()),
        recipes=recipes,
        seeds=(seed,),
        data=execution.plan.data,
        runs=tuple(runs),
        remarks=(amount.time,) if amount.time else (),
    )
    return replace(
        execution,
        plan=plan,
        timed=tuple(run for run in execution.timed if (run.arm, run.recipe_name) in timed),
        part=lambda whole, _: whole,
        parts=1,
        describe=describer(plan),
        file=TUNING_FILE,
        budget=None,
        keep_models=False,
        variants=variants,
    )


def _name_of_try(pair: Tunable, place: int) -> str:
    return f"{pair.name}, try {place + 1}"


def _tuned(pair: Tunable, amount: Amount, tries: Plan, ended: Mapping[tuple[str, str, int], Trial]) -> Tuned:
    """What came of an arm's tries, and which is the best."""
    untried = _untried(pair, amount.tries)
    trials = [ended[pair.arm.label, _name_of_try(pair, place), tries.seeds[0]] for place in range(amount.tries)]
    done = tuple(Try(each.fields, t.status, t.score) for each, t in zip(untried.tries, trials, strict=True))
    return replace(untried, tries=done, chosen=best_of(done), averaged=False)


def _untried(pair: Tunable, count: int) -> Tuned:
    """The settings themselves, for runs that take them in turn."""
    return Tuned(
        arm=pair.arm.label,
        recipe=pair.name,
        tries=tuple(map(Try, pair.settings(count))),
        ranges=ranges_of(pair.recipe, pair.arm.start is not None),
        chosen=None,
        averaged=True,
    )


def _with_tuned(comparison: Comparison, execution: Execution, tuning: Sequence[Tuned]) -> Execution:
    """The execution with the tuned runs of every seed after those of its recipes as they are."""
    plan, arms = execution.plan, {arm.label: arm for arm in execution.plan.arms}
    by_pair = {(each.arm, each.recipe): each for each in tuning}
    names = {each.recipe: each.tuned for each in tuning}
    recipes: dict[str, AnyRecipe] = {}
    for name, recipe in plan.recipes.items():
        recipes |= {name: recipe, names.get(name, name): recipe}
    runs: list[Run] = []
    for place, seed in enumerate(plan.seeds):
        of_seed = [run for run in plan.runs if run.seed == seed]
        runs += of_seed
        for run in of_seed:
            found = by_pair.get((run.arm, run.recipe_name))
            if found and isinstance(run.recipe, Recipe):
                made = replace(run.recipe, **found.setting(place))
                runs.append(run_of(arms[run.arm], found.tuned, made, seed, plan.data, comparison))
    whole = replace(plan, recipes=recipes, runs=tuple(runs), tuning=tuple(tuning))
    variants = {tuned: (recipe, 1.0) for recipe, tuned in names.items()}
    return replace(execution, plan=whole, describe=describer(whole), variants=variants)
