"""What a study shows, computed once; the renderers only write it down.

Every run that was planned is accounted for: finished runs make the means, diverged, failed and missing ones are counted
in `Cell` and named in the sentences.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from dorsal.jobs.records import Study, Trial
from dorsal.spec.timm import TimmNetwork
from dorsal.stats import (
    Comparisons,
    Interval,
    Shares,
    caveats,
    compare_arms,
    mean_interval,
    sentence,
    variance_shares,
)

MEAN_OF_RECIPES = "mean of the recipes"

Results = dict[str, list[float | None]]


class Cell(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One arm under one recipe: accuracy in percent over the finished runs (None without any) and counts of runs."""

    arm: str
    recipe: str
    accuracy: Interval | None
    planned: int
    finished: int
    diverged: int
    failed: int

    @property
    def missing(self) -> int:
        """Runs not done yet."""
        return self.planned - self.finished - self.diverged - self.failed


class ComparisonFindings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything the renderers show beside the study itself.

    `comparisons` holds one set of pairs a recipe, preceded by the mean of the recipes where there are several; what
    cannot be compared is absent. `sentences` are the conclusions, the most important first; `caveats` say what they do
    not show. `shares` is None where the split of the variance cannot be computed, for `shares_reason`.
    """

    cells: tuple[Cell, ...]
    comparisons: dict[str, Comparisons]
    shares: Shares | None
    shares_reason: str
    sentences: tuple[str, ...]
    caveats: tuple[str, ...]
    planned: int
    done: int

    def cell(self, arm: str, recipe: str) -> Cell:
        """The cell of this arm and recipe. KeyError when the study has no such pair."""
        for cell in self.cells:
            if (cell.arm, cell.recipe) == (arm, recipe):
                return cell
        raise KeyError((arm, recipe))


def analyse_comparison(study: Study) -> ComparisonFindings:
    """The statistics of a study and its conclusions in words. Works on unfinished studies and on any failures.

    Raises ValueError for a trial of a run that is not planned, and for two of one run.
    """
    _check_keys(study)
    trials = study.ended()
    cells = tuple(_cell(study, trials, arm.label, recipe) for arm in study.arms for recipe in study.recipes)
    comparisons = _comparisons(study, trials)
    shares, reason = _shares(study, trials)
    planned = sum(cell.planned for cell in cells)
    done = planned - sum(cell.missing for cell in cells)
    sentences = [
        *([f"Unfinished: {done} of {planned} runs done."] if done < planned else []),
        *_conclusions(study, comparisons),
        *([_share_sentence(shares)] if shares else []),
        *_losses(cells),
    ]
    return ComparisonFindings(
        cells=cells,
        comparisons=comparisons,
        shares=shares,
        shares_reason=reason,
        sentences=tuple(sentences),
        caveats=_caveats(study, comparisons),
        planned=planned,
        done=done,
    )


def _check_keys(study: Study) -> None:
    planned, recorded = {run.key for run in study.runs}, Counter(trial.key for trial in study.trials)
    for key, count in recorded.items():
        if key not in planned:
            raise ValueError(f"trials: run {key!r} is not planned; valid: the keys of the study's runs")
        if count > 1:
            raise ValueError(f"trials: run {key!r} is recorded {count} times; each run has at most one trial")


def _cell(study: Study, trials: Mapping[tuple[str, str, int], Trial], arm: str, recipe: str) -> Cell:
    runs = [trials[arm, recipe, seed] for seed in study.seeds if (arm, recipe, seed) in trials]
    results = [run.accuracy for run in runs if run.accuracy is not None]
    counts = {status: sum(run.status == status for run in runs) for status in ("finished", "diverged", "failed")}
    return Cell(
        arm=arm,
        recipe=recipe,
        accuracy=mean_interval(results) if results else None,
        planned=len(study.seeds),
        finished=counts["finished"],
        diverged=counts["diverged"],
        failed=counts["failed"],
    )


def _results(study: Study, trials: Mapping[tuple[str, str, int], Trial], recipe: str) -> Results:
    """Accuracy by arm, one entry a seed, None without a result."""
    return {
        arm.label: [
            trial.accuracy if (trial := trials.get((arm.label, recipe, seed))) else None for seed in study.seeds
        ]
        for arm in study.arms
    }


def _comparisons(study: Study, trials: Mapping[tuple[str, str, int], Trial]) -> dict[str, Comparisons]:
    by_recipe = {recipe: _results(study, trials, recipe) for recipe in study.recipes}
    if len(by_recipe) > 1:
        means = {
            arm.label: [_mean(values) for values in zip(*(r[arm.label] for r in by_recipe.values()), strict=True)]
            for arm in study.arms
        }
        by_recipe = {MEAN_OF_RECIPES: means, **by_recipe}
    return {name: compare_arms(results) for name, results in by_recipe.items() if len(_with_results(results)) > 1}


def _mean(values: Sequence[float | None]) -> float | None:
    """The mean of a seed's results over the recipes; None unless all are there."""
    present = [value for value in values if value is not None]
    return sum(present) / len(present) if len(present) == len(values) else None


def _with_results(results: Results) -> list[str]:
    return [arm for arm, values in results.items() if any(value is not None for value in values)]


def _shares(study: Study, trials: Mapping[tuple[str, str, int], Trial]) -> tuple[Shares | None, str]:
    """The split of the variance over the arms with results under every recipe, or why there is none."""
    by_recipe = [_results(study, trials, recipe) for recipe in study.recipes]
    arms = [arm.label for arm in study.arms if all(arm.label in _with_results(results) for results in by_recipe)]
    values = [[results[arm] for results in by_recipe] for arm in arms]
    complete = sum(all(row[i] is not None for recipes in values for row in recipes) for i in range(len(study.seeds)))
    if len(arms) < 2:
        return None, "fewer than two arms have a result under every recipe"
    if complete < 2:
        return None, f"it needs two seeds at which every run finished; this study has {complete}"
    if len({value for recipes in values for row in recipes for value in row if value is not None}) == 1:
        return None, "all results are equal"
    return variance_shares(np.array(values, dtype=np.float64)), ""


def _conclusions(study: Study, comparisons: Mapping[str, Comparisons]) -> list[str]:
    """The leading arm against every other; all pairs are in `comparisons`."""
    if not comparisons:
        reason = "there is one arm" if len(study.arms) == 1 else "fewer than two arms have results under one recipe"
        return [f"Nothing to compare: {reason}."]
    name, primary = next(iter(comparisons.items()))
    if not primary.pairs:
        return ["Nothing to compare: no two arms have results at the same seed."]
    leader = primary.pairs[0].better
    against = [pair for pair in primary.pairs if pair.better == leader]
    beaten = sum(pair.significant for pair in against)
    scope = "On the mean of the recipes" if name == MEAN_OF_RECIPES else f"Under the recipe {name}"
    if beaten == len(against):
        head = f"{scope}, {leader} is better than {'each of the other arms' if beaten > 1 else 'the other arm'}."
    elif beaten:
        head = f"{scope}, {leader} leads and is better than {beaten} of the {len(against)} other arms."
    else:
        head = f"{scope}, no arm is shown to be the best; {leader} has the highest mean."
    return [head, *(sentence(pair) for pair in against), *_leaders(study, comparisons)]


def _leaders(study: Study, comparisons: Mapping[str, Comparisons]) -> list[str]:
    """Whether the recipes agree on the arm with the highest mean."""
    leaders = {
        recipe: comparisons[recipe].pairs[0].better
        for recipe in study.recipes
        if recipe in comparisons and comparisons[recipe].pairs
    }
    if len(set(leaders.values())) < 2:
        return []
    named = ", ".join(f"{arm} under {recipe}" for recipe, arm in leaders.items())
    return [f"The recipes disagree on the highest mean: {named}."]


def _share_sentence(shares: Shares) -> str:
    parts = []
    for share in shares.shares:
        between = (
            "" if share.low is None or share.high is None else f" ({100 * share.low:.0f} to {100 * share.high:.0f})"
        )
        parts.append(f"{share.name} {100 * share.share:.0f} %{between}")
    level = f"with {100 * shares.confidence:g} % intervals" if shares.shares[0].low is not None else "without intervals"
    return f"Share of the variance of the results, {level}: {', '.join(parts)}."


def _losses(cells: Sequence[Cell]) -> list[str]:
    sentences = []
    for cell in cells:
        lost = [f"{n} {what}" for n, what in ((cell.diverged, "diverged"), (cell.failed, "failed")) if n]
        if lost:
            rest = f"the mean is over the {cell.finished} that finished" if cell.finished else "it has no result"
            sentences.append(f"{cell.arm} under {cell.recipe}: of {cell.planned} runs {' and '.join(lost)}; {rest}.")
    return sentences


def _caveats(study: Study, comparisons: Mapping[str, Comparisons]) -> tuple[str, ...]:
    epochs = {name: recipe.epochs for name, recipe in study.recipes.items()}
    found = caveats(study.data.description, max(epochs.values()), len(study.seeds), list(study.recipes))
    if len(set(epochs.values())) > 1:
        lengths = ", ".join(f"{name} {length}" for name, length in epochs.items())
        found.append(f"The recipes train for different numbers of epochs: {lengths}.")
    if foreign := [arm.label for arm in study.arms if isinstance(arm.network, TimmNetwork)]:
        found.append(f"Built and initialised by timm, whatever a recipe says of zero_init: {', '.join(foreign)}.")
    if len(comparisons) > 1:
        found.append("Differences are corrected for the pairs of one comparison, not across the recipes.")
    for name, comparison in comparisons.items():
        found += [f"{name}: {note}" for note in comparison.notes]
    return tuple(found)
