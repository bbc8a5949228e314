"""What a comparison shows: means, pairs of arms, and the sources of the variance. Pure; no torch.

Every planned run is accounted for. Finished runs make the means; diverged, failed and missing ones are counted in
`Cell`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeVar

import msgspec
import numpy as np

from dorsal.findings.contributions import Contributions
from dorsal.findings.learning import Learning, learning
from dorsal.jobs.records import Study, Trial
from dorsal.stats import (
    Comparisons,
    Estimate,
    FixedPair,
    Shares,
    compare_arms,
    compare_fixed,
    pooled_means,
    variance_shares,
)
from dorsal.stats.interval import Array

MEAN_OF_RECIPES = "mean of the recipes"

Results = dict[str, list[float | None]]
ByImage = dict[str, list[Array | None]]
Value = TypeVar("Value")
NoShares = Literal["nothing learnt", "few arms", "few seeds", "all equal"]


class Cell(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One arm under one recipe.

    - `score`: in percent, the mean over the finished runs; the interval is by the noise of all arms under this
      recipe, and by the choice of test images where that is known (`stats.pooled_means`). None without a finished run.
    - `planned`, `finished`, `diverged`, `failed`: counts of runs.
    """

    arm: str
    recipe: str
    score: Estimate | None
    planned: int
    finished: int
    diverged: int
    failed: int

    @property
    def missing(self) -> int:
        """The number of runs still to come."""
        return self.planned - self.finished - self.diverged - self.failed


class ComparisonFindings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a comparison shows; `report.words.comparison` says it in English.

    - `cells`: one for each arm and recipe.
    - `learning`: which runs can be told from always answering one class. If none can, nothing is compared.
    - `comparisons`: one set of pairs for each recipe, after the mean of the recipes if there are several. What cannot
      be compared is absent.
    - `shares`: the split of the variance. None if `no_shares` gives a reason. It needs two seeds at which every run
      finished; there are `complete_seeds` of them.
    - `images`: the number of test images that the intervals cover; None if they cover seeds only. `groups`: the number
      of groups of these that are independent of each other; None if each image is.
    - `lost`: why the intervals cover seeds only; "" if they do not, and if nothing is known of the images.
    - `fixed`: the first arm against the second for each recipe, as trained models: with one seed and two arms.
    - `planned`, `done`: numbers of runs.
    """

    cells: tuple[Cell, ...]
    learning: Learning
    comparisons: dict[str, Comparisons]
    shares: Shares | None
    no_shares: NoShares | None
    complete_seeds: int
    images: int | None = None
    groups: int | None = None
    lost: str = ""
    fixed: dict[str, FixedPair] = {}
    planned: int
    done: int

    def cell(self, arm: str, recipe: str) -> Cell:
        """The cell of this arm and recipe. KeyError if the study has no such pair."""
        for cell in self.cells:
            if (cell.arm, cell.recipe) == (arm, recipe):
                return cell
        raise KeyError((arm, recipe))


def analyse_comparison(study: Study, contributions: Contributions | None = None) -> ComparisonFindings:
    """The statistics of a comparison, finished or not, whatever failed.

    With `contributions` (`read_contributions`) of all finished runs, intervals are over seeds and test images, else
    over seeds only.
    """
    known = contributions or Contributions()
    trials = study.ended()
    by_recipe = {recipe: _results(study, trials, recipe) for recipe in study.recipes}
    by_image = {recipe: _by_image(study, known, recipe) for recipe in study.recipes} if known.runs else {}
    means = {recipe: pooled_means(results, images=by_image.get(recipe)) for recipe, results in by_recipe.items()}
    cells = tuple(
        _cell(study, trials, arm.label, recipe, means[recipe].get(arm.label))
        for arm in study.arms
        for recipe in study.recipes
    )
    learnt = learning(
        (
            (f"{arm} under {recipe}", trial.score)
            for (arm, recipe, _), trial in trials.items()
            if trial.score is not None
        ),
        study.data,
    )
    shares, missing, complete = _shares(study, list(by_recipe.values()))
    if learnt.nothing:
        shares, missing = None, "nothing learnt"
    planned = sum(cell.planned for cell in cells)
    example = next(iter(known.runs.values()), None)
    return ComparisonFindings(
        cells=cells,
        learning=learnt,
        comparisons={} if learnt.nothing else _comparisons(by_recipe, by_image),
        shares=shares,
        no_shares=missing,
        complete_seeds=complete,
        images=None if example is None else len(example.top),
        groups=None if example is None or example.groups is None else len(set(example.groups.tolist())),
        lost=known.lost,
        fixed={} if learnt.nothing else _fixed(study, known),
        planned=planned,
        done=planned - sum(cell.missing for cell in cells),
    )


def learning_curves(study: Study, recipe: str) -> dict[str, dict[int, Estimate]]:
    """By arm and epoch the score in percent, as in `Cell`. A run that was lost counts as far as it came."""
    ended = study.ended()
    runs = {
        (arm, seed): {point.epoch: point.score for point in trial.curve}
        for (arm, name, seed), trial in ended.items()
        if name == recipe
    }
    curves: dict[str, dict[int, Estimate]] = {arm.label: {} for arm in study.arms}
    for epoch in sorted({epoch for run in runs.values() for epoch in run}):
        results = {label: [runs.get((label, seed), {}).get(epoch) for seed in study.seeds] for label in curves}
        for label, mean in pooled_means(results).items():
            curves[label][epoch] = mean
    return {label: curve for label, curve in curves.items() if curve}


def _cell(
    study: Study, trials: Mapping[tuple[str, str, int], Trial], arm: str, recipe: str, score: Estimate | None
) -> Cell:
    ends = [trials[arm, recipe, seed].status for seed in study.seeds if (arm, recipe, seed) in trials]
    return Cell(
        arm=arm,
        recipe=recipe,
        score=score,
        planned=len(study.seeds),
        finished=ends.count("finished"),
        diverged=ends.count("diverged"),
        failed=ends.count("failed"),
    )


def _results(study: Study, trials: Mapping[tuple[str, str, int], Trial], recipe: str) -> Results:
    """Scores by arm, one entry a seed, None without a result."""
    return {
        arm.label: [trial.score if (trial := trials.get((arm.label, recipe, seed))) else None for seed in study.seeds]
        for arm in study.arms
    }


def _by_image(study: Study, known: Contributions, recipe: str) -> ByImage:
    """As `_results`, what each image contributes in place of the score."""
    keys = {(run.arm, run.recipe, run.seed): run.key for run in study.runs}
    values = {key: ratios.values() for key, ratios in known.runs.items()}
    return {
        arm.label: [values.get(keys.get((arm.label, recipe, seed), "")) for seed in study.seeds] for arm in study.arms
    }


def _fixed(study: Study, known: Contributions) -> dict[str, FixedPair]:
    """Both arms as trained models, where there are two and one seed, under each recipe that both have finished."""
    if len(study.arms) != 2 or len(study.seeds) != 1:
        return {}
    keys = {(run.arm, run.recipe): run.key for run in study.runs}
    runs = {name: [known.runs.get(keys.get((arm.label, name), "")) for arm in study.arms] for name in study.recipes}
    return {
        name: compare_fixed(first, second)
        for name, (first, second) in runs.items()
        if first is not None and second is not None
    }


def _comparisons(by_recipe: Mapping[str, Results], by_image: Mapping[str, ByImage]) -> dict[str, Comparisons]:
    compared, images = dict(by_recipe), dict(by_image)
    if len(by_recipe) > 1:
        compared = {MEAN_OF_RECIPES: _over_recipes(list(by_recipe.values()), _mean), **by_recipe}
        if by_image:
            images[MEAN_OF_RECIPES] = _over_recipes(list(by_image.values()), _mean_by_image)
    return {
        name: compare_arms(results, images=images.get(name))
        for name, results in compared.items()
        if len(_with_results(results)) > 1
    }


def _over_recipes(
    tables: Sequence[Mapping[str, Sequence[Value | None]]], mean: Callable[[Sequence[Value | None]], Value | None]
) -> dict[str, list[Value | None]]:
    """The mean over the recipes for each arm and seed."""
    return {arm: [mean(cells) for cells in zip(*(table[arm] for table in tables), strict=True)] for arm in tables[0]}


def _mean_by_image(values: Sequence[Array | None]) -> Array | None:
    """As `_mean`, for each image."""
    present = [value for value in values if value is not None]
    return np.mean(present, axis=0) if len(present) == len(values) else None


def _mean(values: Sequence[float | None]) -> float | None:
    """The mean of a seed's results over the recipes. None unless all are there."""
    present = [value for value in values if value is not None]
    return sum(present) / len(present) if len(present) == len(values) else None


def _with_results(results: Results) -> list[str]:
    return [arm for arm, values in results.items() if any(value is not None for value in values)]


def _shares(study: Study, by_recipe: Sequence[Results]) -> tuple[Shares | None, NoShares | None, int]:
    """The split of the variance over arms with results under every recipe; or why there is none; the number of complete
    seeds.
    """
    arms = [arm.label for arm in study.arms if all(arm.label in _with_results(results) for results in by_recipe)]
    values = [[results[arm] for results in by_recipe] for arm in arms]
    complete = sum(all(row[i] is not None for recipes in values for row in recipes) for i in range(len(study.seeds)))
    if len(arms) < 2:
        return None, "few arms", complete
    if complete < 2:
        return None, "few seeds", complete
    if len({value for recipes in values for row in recipes for value in row if value is not None}) == 1:
        return None, "all equal", complete
    return variance_shares(np.array(values, dtype=np.float64)), None, complete
