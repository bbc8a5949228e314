from __future__ import annotations

import random
from collections.abc import Callable
from statistics import mean, stdev
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from dorsal.findings.comparison import MEAN_OF_RECIPES, analyse_comparison
from dorsal.jobs.records import PlannedRun, Study, Trial
from dorsal.recipes.recipe import Recipe
from tests.findings.studies import with_trials

if TYPE_CHECKING:
    from tests.findings.studies import Case

T_OF_TWO = 4.302653  # Student's 97.5 % quantile with 2 degrees of freedom


def accuracies(study: Study, arm: str, recipe: str) -> list[float]:
    ended = study.ended().items()
    return [t.accuracy for (label, name, _), t in ended if (label, name) == (arm, recipe) and t.accuracy is not None]


def test_a_cell_is_the_mean_and_students_interval_of_its_runs(whole: Case) -> None:
    values = accuracies(whole.study, "resnest", "tricks")
    cell = whole.analysis.cell("resnest", "tricks")
    assert cell.accuracy is not None
    assert cell.accuracy.mean == pytest.approx(mean(values))
    assert cell.accuracy.high == pytest.approx(mean(values) + T_OF_TWO * stdev(values) / 3**0.5)
    assert (cell.planned, cell.finished, cell.diverged, cell.failed, cell.missing) == (3, 3, 0, 0, 0)


def test_the_true_winner_leads_and_the_first_sentence_says_so(whole: Case) -> None:
    analysis = whole.analysis
    assert analysis.sentences[0] == "On the mean of the recipes, resnest is better than each of the other arms."
    assert list(analysis.comparisons) == [MEAN_OF_RECIPES, "plain", "tricks"]
    pair = analysis.comparisons[MEAN_OF_RECIPES].pairs[0]
    by_hand = {
        arm: mean(mean(accuracies(whole.study, arm, recipe)) for recipe in whole.study.recipes)
        for arm in ("resnest", pair.worse)
    }
    assert pair.difference == pytest.approx(by_hand["resnest"] - by_hand[pair.worse])


def test_architecture_explains_most_of_the_variance_here(whole: Case) -> None:
    shares = whole.analysis.shares
    assert shares is not None
    by_name = {share.name: share.share for share in shares.shares}
    assert by_name["architecture"] > by_name["recipe"] > by_name["residual"]
    assert any(line.startswith("Share of the variance") for line in whole.analysis.sentences)


def test_every_planned_run_is_accounted_for(broken: Case) -> None:
    analysis = broken.analysis
    assert (analysis.done, analysis.planned) == (21, 24)
    assert sum(cell.missing for cell in analysis.cells) == 3
    assert sum(cell.diverged for cell in analysis.cells) == 1
    assert sum(cell.failed for cell in analysis.cells) == 1
    assert analysis.sentences[0] == "Unfinished: 21 of 24 runs done."
    assert "resnet under tricks: of 3 runs 1 diverged; the mean is over the 2 that finished." in analysis.sentences
    cell = analysis.cell("resnet", "tricks")
    assert cell.accuracy is not None
    assert cell.accuracy.mean == pytest.approx(mean(accuracies(broken.study, "resnet", "tricks")))


def test_the_mean_of_the_recipes_needs_every_recipe_at_a_seed(broken: Case) -> None:
    pairs = broken.analysis.comparisons[MEAN_OF_RECIPES].pairs
    shared = next(pair.n for pair in pairs if {pair.better, pair.worse} == {"resnest", "resnet"})
    # resnet lost seed 0 under one recipe, resnest seed 2: one seed is left for both.
    assert shared == 1


def test_an_arm_without_results_is_named_and_not_compared(case: Callable[[str], Case]) -> None:
    analysis = case("arm_failed").analysis
    assert analysis.cell("regnet", "plain").accuracy is None
    assert "regnet under plain: of 3 runs 3 failed; it has no result." in analysis.sentences
    assert all("regnet" not in (p.better, p.worse) for c in analysis.comparisons.values() for p in c.pairs)
    assert any("regnet" in caveat for caveat in analysis.caveats)
    assert analysis.shares is not None


def test_one_seed_shows_nothing(case: Callable[[str], Case]) -> None:
    analysis = case("one_seed").analysis
    assert all(cell.accuracy is not None and cell.accuracy.low is None for cell in analysis.cells)
    assert not any(pair.significant for c in analysis.comparisons.values() for pair in c.pairs)
    assert analysis.sentences[0].startswith("On the mean of the recipes, no arm is shown to be the best")
    assert (analysis.shares, "two seeds" in analysis.shares_reason) == (None, True)


def test_one_recipe_has_no_mean_of_recipes(case: Callable[[str], Case]) -> None:
    analysis = case("one_recipe").analysis
    assert list(analysis.comparisons) == ["plain"]
    assert analysis.sentences[0].startswith("Under the recipe plain, ")
    assert analysis.shares is not None
    assert [share.name for share in analysis.shares.shares] == ["architecture", "seed", "residual"]


@pytest.mark.parametrize(
    ("name", "sentence", "reason"),
    [
        ("one_arm", "Nothing to compare: there is one arm.", "fewer than two arms"),
        (
            "all_diverged",
            "Nothing to compare: fewer than two arms have results under one recipe.",
            "fewer than two arms",
        ),
        ("all_equal", "On the mean of the recipes, no arm is shown to be the best", "equal"),
    ],
)
def test_what_cannot_be_concluded_has_its_reason(
    case: Callable[[str], Case], name: str, sentence: str, reason: str
) -> None:
    analysis = case(name).analysis
    assert analysis.sentences[0].startswith(sentence)
    assert analysis.shares is None
    assert reason in analysis.shares_reason


def test_recipes_that_disagree_are_pointed_out(whole: Case) -> None:
    def boosted(run: PlannedRun, trial: Trial) -> Trial:
        return replace(trial, accuracy=99.0 + run.seed / 9) if (run.arm, run.recipe) == ("regnet", "plain") else trial

    sentences = analyse_comparison(with_trials(whole.study, boosted)).sentences
    assert "The recipes disagree on the highest mean: regnet under plain, resnest under tricks." in sentences
    assert not any("disagree" in line for line in whole.analysis.sentences)


def test_recipes_of_different_length_are_a_caveat(whole: Case) -> None:
    caveats = analyse_comparison(
        replace(whole.study, recipes={"plain": Recipe(epochs=12), "tricks": Recipe(epochs=30)})
    ).caveats
    assert "The recipes train for different numbers of epochs: plain 12, tricks 30." in caveats
    assert any("30 epochs" in caveat for caveat in caveats)


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6))
def test_the_order_in_which_runs_end_does_not_matter(broken: Case, seed: int) -> None:
    shuffled = list(broken.study.trials)
    random.Random(seed).shuffle(shuffled)
    assert analyse_comparison(replace(broken.study, trials=tuple(shuffled))) == broken.analysis


def test_a_cell_that_is_not_in_the_study_is_a_key_error(whole: Case) -> None:
    with pytest.raises(KeyError, match="vgg"):
        whole.analysis.cell("vgg", "plain")
