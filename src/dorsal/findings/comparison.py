"""What a comparison shows: means, pairs of arms, and the sources of the variance. Pure; no torch.

Every planned run is accounted for. Finished runs make the means; diverged, failed and missing ones are counted in
`Cell`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec
import numpy as np

from dorsal.findings.contributions import Contributions, read_contributions
from dorsal.findings.deployed import DeployedFindings, analyse_deployed
from dorsal.findings.learning import Learning, learning
from dorsal.findings.starts import StartEffect, StartSpread, start_effects, start_spread
from dorsal.findings.tuning import TuningFindings, analyse_tuning
from dorsal.findings.verdicts import Verdicts, verdicts_on
from dorsal.jobs.records import Study, Trial
from dorsal.jobs.tables import Results, mean_of, once, over_recipes, recipe_tables, repeated, scores_by_arm
from dorsal.stats import (
    Comparisons,
    Contribution,
    Estimate,
    FixedPair,
    Shares,
    compare_arms,
    compare_fixed,
    pooled_means,
    variance_shares,
)
from dorsal.stats.conditions import simple_effects
from dorsal.stats.interval import Array
from dorsal.stats.looks import look_confidence
from dorsal.study.comparison.records import DeployedArms
from dorsal.study.comparison.saved import read_deployed

CONFIDENCE = 0.95
MEAN_OF_RECIPES = "mean of the recipes"

ByImage = dict[str, list[Array | None]]
NoShares = Literal["nothing learnt", "few arms", "few seeds", "all equal", "resampled"]


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

    - `cells`: one for each arm and recipe that it is trained by.
    - `learning`: which runs can be told from having learnt nothing. If none can, nothing is compared.
    - `comparisons`: one set of pairs for each recipe, after the mean of the recipes if there are several. An arm with a
      recipe of its own is in each of them by that recipe, but not in the mean. What cannot be compared is absent.
    - `verdicts`: on the pairs of each comparison, by its name, with the margin of the study.
    - `simple_effects`: the pairs under each recipe, corrected for all pairs under all recipes. Empty for one recipe.
    - `start_effects`: how weights change the difference of two networks that stand from scratch too, in the first
      comparison that has them all. `start_spread`: weights against networks, in the first comparison that has several
      weights of two networks; None without.
    - `apart`: arms with a recipe of their own, which the mean and the shares leave out. `once`: recipes by which an arm
      is run with one seed only, as they know no chance; these leave them out too.
    - `shares`: the split of the variance. None if `no_shares` gives a reason. It needs two seeds at which every run
      finished; there are `complete_seeds` of them.
    - `images`: the number of test images that the intervals cover; None if they cover seeds only. `groups`: the number
      of groups of these that are independent of each other; None if each image is.
    - `lost`: why the intervals cover seeds only; "" if they do not, and if nothing is known of the images.
    - `fixed`: the first arm against the second for each recipe, as trained models: with one seed and two arms.
    - `tuning`: what tuning gained. If arms were tuned, mean and shares are of their tuned runs.
    - `deployed`: the arms as they run on one machine; None where they are not deployed.
    - `planned`, `done`: numbers of runs.
    """

    cells: tuple[Cell, ...]
    learning: Learning
    comparisons: dict[str, Comparisons]
    verdicts: dict[str, Verdicts] = {}
    simple_effects: dict[str, Comparisons] = {}
    start_effects: tuple[StartEffect, ...] = ()
    start_spread: StartSpread | None = None
    apart: tuple[str, ...] = ()
    once: tuple[str, ...] = ()
    shares: Shares | None
    no_shares: NoShares | None
    complete_seeds: int
    images: int | None = None
    groups: int | None = None
    lost: str = ""
    fixed: dict[str, FixedPair] = {}
    tuning: tuple[TuningFindings, ...] = ()
    deployed: DeployedFindings | None = None
    planned: int
    done: int

    def cell(self, arm: str, recipe: str) -> Cell | None:
        """The cell of this arm and recipe, None where the arm is not trained by it."""
        return next((cell for cell in self.cells if (cell.arm, cell.recipe) == (arm, recipe)), None)


def analyse_comparison_in(study: Study, folder: Path) -> ComparisonFindings:
    """The statistics of a comparison with what `folder` keeps beside it: predictions, and deployed arms.

    Raises ValueError for a file of deployed arms that cannot be read.
    """
    return analyse_comparison(study, read_contributions(study, folder), read_deployed(folder))


def analyse_comparison(
    study: Study, contributions: Contributions | None = None, deployed: DeployedArms | None = None
) -> ComparisonFindings:
    """The statistics of a comparison, finished or not, whatever failed.

    With `contributions` (`read_contributions`) of all finished runs, intervals are over seeds and test images, else
    over seeds only. Where each seed draws its own images they are for new images anyway, and know nothing of single
    ones.
    """
    overlap = study.data.overlap
    read = _read(study, contributions)
    known, by_recipe, by_image, learnt = read.known, read.by_recipe, read.by_image, read.learnt
    crossed = [arm.label for arm in study.arms if not arm.recipe]
    cells = tuple(_cells(study, read.trials, read.values))
    shares, missing, complete = _shares(study, crossed, [by_recipe[name] for name in read.across])
    if overlap:  # images that seeds share would pass for effects of arms
        shares, missing = None, "resampled"
    if learnt.nothing:
        shares, missing = None, "nothing learnt"
    planned = sum(cell.planned for cell in cells)
    example = next(iter(known.runs.values()), None)
    compared, images = _compared(study, read)
    level = {name: _confidence(study, results) for name, results in compared.items()}
    comparisons = {
        name: compare_arms(results, level[name], images.get(name), overlap) for name, results in compared.items()
    }
    several = len(by_recipe) > 1 and not learnt.nothing
    lowest, shared = min(level.values(), default=CONFIDENCE), dict.fromkeys(by_recipe, overlap)
    return ComparisonFindings(
        cells=cells,
        learning=learnt,
        comparisons=comparisons,
        verdicts={
            name: verdicts_on(comparisons[name], results, study.margin, level[name])
            for name, results in compared.items()
        },
        simple_effects=simple_effects(by_recipe, lowest, by_image, shared) if several else {},
        start_effects=_start_effects(study, compared, comparisons, images),
        start_spread=_start_spread(study, compared),
        apart=tuple(arm.label for arm in study.arms if arm.recipe),
        once=once(study, read.tables),
        shares=shares,
        no_shares=missing,
        complete_seeds=complete,
        images=None if example is None else example.images,
        groups=None if example is None else _groups(example),
        lost=known.lost,
        fixed={} if learnt.nothing else _fixed(study, known, read.tables),
        tuning=analyse_tuning(study, known),
        deployed=analyse_deployed(deployed, study, {(cell.arm, cell.recipe): cell.score for cell in cells}),
        planned=planned,
        done=planned - sum(cell.missing for cell in cells),
    )


class Compared(NamedTuple):
    """The results of each comparison, by its name as in `ComparisonFindings`, and what each image contributes to them.
    Both are empty where nothing was learnt."""

    results: dict[str, Results]
    images: dict[str, ByImage]
    learnt: Learning


def compared_results(study: Study, contributions: Contributions | None = None) -> Compared:
    """What goes into the comparisons of a study."""
    read = _read(study, contributions)
    return Compared(*_compared(study, read), read.learnt)


class _Read(NamedTuple):
    """A study as it is read for its statistics; `tables` as in `recipe_tables`, `learnt` as in the findings.

    `values` has what each image contributes by the key of a run, `by_image` by comparison and arm. The mean is over the
    recipes `across`.
    """

    known: Contributions
    trials: Mapping[tuple[str, str, int], Trial]
    tables: dict[str, dict[str, str]]
    by_recipe: dict[str, Results]
    values: dict[str, Array]
    by_image: dict[str, ByImage]
    learnt: Learning
    across: list[str]


def _read(study: Study, contributions: Contributions | None) -> _Read:
    known = (None if study.data.overlap else contributions) or Contributions()
    trials = study.ended()
    tables = recipe_tables(study)
    by_recipe = {name: scores_by_arm(study, trials, taken) for name, taken in tables.items()}
    values = {key: ratios.values() for key, ratios in known.runs.items()}
    by_image = {name: _by_image(study, values, taken) for name, taken in tables.items()} if values else {}
    scores = (
        (f"{arm} under {recipe}", trial.score) for (arm, recipe, _), trial in trials.items() if trial.score is not None
    )
    learnt = learning(scores, study.data)
    return _Read(known, trials, tables, by_recipe, values, by_image, learnt, repeated(study, tables))


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
        for label, mean in pooled_means(results, overlap=study.data.overlap).items():
            curves[label][epoch] = mean
    return {label: curve for label, curve in curves.items() if curve}


def _cells(study: Study, trials: Mapping[tuple[str, str, int], Trial], values: Mapping[str, Array]) -> Iterator[Cell]:
    """Each arm under each recipe that it is trained by.

    Intervals are by the noise of all arms under the recipe. Where an arm is run once, as it knows no chance, they are
    by the noise of each arm alone.
    """
    runs = {(run.arm, run.recipe, run.seed) for run in study.runs}
    planned = Counter((arm, recipe) for arm, recipe, _ in runs)
    means: dict[str, dict[str, Estimate]] = {}
    for name in study.recipes:
        taken = {arm.label: name for arm in study.arms if planned[arm.label, name]}
        images = _by_image(study, values, taken) if values else {}
        results = scores_by_arm(study, trials, taken)
        is_once = any(planned[arm, name] < len(study.seeds) for arm in taken)
        groups = [[arm] for arm in taken] if is_once else [list(taken)] if taken else []
        means[name] = {}
        for group in groups:
            places = [i for i, seed in enumerate(study.seeds) if any((arm, name, seed) in runs for arm in group)]
            means[name] |= pooled_means(
                {arm: [results[arm][i] for i in places] for arm in group},
                images={arm: [images[arm][i] for i in places] for arm in group} if images else None,
                overlap=study.data.overlap,
            )
    for arm in study.arms:
        for name in study.recipes:
            if count := planned[arm.label, name]:
                ends = [
                    trials[arm.label, name, seed].status for seed in study.seeds if (arm.label, name, seed) in trials
                ]
                yield Cell(
                    arm=arm.label,
                    recipe=name,
                    score=means[name].get(arm.label),
                    planned=count,
                    finished=ends.count("finished"),
                    diverged=ends.count("diverged"),
                    failed=ends.count("failed"),
                )


def _by_image(study: Study, values: Mapping[str, Array], taken: Mapping[str, str]) -> ByImage:
    """As `scores_by_arm`, what each image contributes in place of the score; `values` has it by the run's key."""
    keys = {(run.arm, run.recipe, run.seed): run.key for run in study.runs}
    return {
        arm: [values.get(keys.get((arm, recipe, seed), "")) for seed in study.seeds] for arm, recipe in taken.items()
    }


def _groups(part: Contribution) -> int | None:
    """How many groups of images are independent of each other; None where each image is."""
    groups = None if part.groups is None else len(set(part.groups.tolist()))
    return groups if groups != part.images else None


def _fixed(study: Study, known: Contributions, tables: Mapping[str, Mapping[str, str]]) -> dict[str, FixedPair]:
    """Both arms as trained models, where there are two and one seed, under each recipe that both have finished."""
    if len(study.arms) != 2 or len(study.seeds) != 1:
        return {}
    keys = {(run.arm, run.recipe): run.key for run in study.runs}
    runs = {name: [known.runs.get(keys.get(pair, "")) for pair in taken.items()] for name, taken in tables.items()}
    return {
        name: compare_fixed(first, second)
        for name, (first, second) in runs.items()
        if first is not None and second is not None
    }


def _confidence(study: Study, results: Results) -> float:
    """Of the intervals: where seeds are added until the arms are decided, such that they hold at every look."""
    if study.most_seeds is None:
        return CONFIDENCE
    return look_confidence(len(_with_results(results)), len(study.seeds), study.most_seeds)


def _compared(study: Study, read: _Read) -> tuple[dict[str, Results], dict[str, ByImage]]:
    """The results of each comparison of at least two arms, and what each image contributes to them. The mean is over
    the recipes that are repeated."""
    if read.learnt.nothing:
        return {}, {}
    by_recipe, by_image, across = read.by_recipe, read.by_image, read.across
    crossed = [arm.label for arm in study.arms if not arm.recipe]
    compared, images = dict(by_recipe), dict(by_image)
    if len(across) > 1 and len(crossed) > 1:
        compared = {
            MEAN_OF_RECIPES: over_recipes(crossed, [by_recipe[name] for name in across], mean_of),
            **by_recipe,
        }
        if by_image:
            tables = [by_image[name] for name in across]
            images[MEAN_OF_RECIPES] = over_recipes(crossed, tables, _mean_by_image)
    return {name: results for name, results in compared.items() if len(_with_results(results)) > 1}, images


def _start_effects(
    study: Study,
    compared: Mapping[str, Results],
    comparisons: Mapping[str, Comparisons],
    images: Mapping[str, ByImage],
) -> tuple[StartEffect, ...]:
    found = (
        tuple(start_effects(study.arms, results, comparisons[name], images.get(name)))
        for name, results in compared.items()
    )
    return next(filter(None, found), ())


def _start_spread(study: Study, compared: Mapping[str, Results]) -> StartSpread | None:
    means = ({arm: mean.value for arm, mean in pooled_means(results).items()} for results in compared.values())
    return next(filter(None, (start_spread(study.arms, each) for each in means)), None)


def _mean_by_image(values: Sequence[Array | None]) -> Array | None:
    """As `mean_of`, for each image."""
    present = [value for value in values if value is not None]
    return np.mean(present, axis=0) if len(present) == len(values) else None


def _with_results(results: Results) -> list[str]:
    return [arm for arm, values in results.items() if any(value is not None for value in values)]


def _shares(
    study: Study, crossed: Sequence[str], by_recipe: Sequence[Results]
) -> tuple[Shares | None, NoShares | None, int]:
    """The split of the variance over crossed arms with results under every recipe; or why there is none; the number of
    complete seeds.
    """
    arms = [label for label in crossed if by_recipe and all(label in _with_results(results) for results in by_recipe)]
    values = [[results[arm] for results in by_recipe] for arm in arms]
    complete = sum(all(row[i] is not None for recipes in values for row in recipes) for i in range(len(study.seeds)))
    if len(arms) < 2:
        return None, "few arms", complete
    if complete < 2:
        return None, "few seeds", complete
    if len({value for recipes in values for row in recipes for value in row if value is not None}) == 1:
        return None, "all equal", complete
    return variance_shares(np.array(values, dtype=np.float64)), None, complete
