from __future__ import annotations

import random
from collections.abc import Callable
from io import StringIO
from statistics import mean
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from rich.console import Console

from dorsal.findings.comparison import (
    MEAN_OF_RECIPES,
    ComparisonFindings,
    analyse_comparison,
    learning_curves,
)
from dorsal.jobs.records import PlannedRun, Study, Trial
from dorsal.jobs.tables import OWN_RECIPES
from dorsal.recipes.recipe import Recipe
from dorsal.report.comparison.page import comparison_page
from dorsal.report.comparison.terminal import print_comparison
from dorsal.report.words.comparison import caveats, conclusions, no_shares
from dorsal.report.words.starts import models_differ_in
from dorsal.spec.start import Start
from dorsal.stats import Estimate
from tests.findings.studies import with_trials

if TYPE_CHECKING:
    from tests.findings.studies import Case

T_OF_SIX = 2.446912  # Student's 97.5 % quantile with 6 degrees of freedom: 3 of 4 arms by 2 of 3 seeds


def said(case: Case) -> tuple[str, ...]:
    return conclusions(*case)


def accuracies(study: Study, arm: str, recipe: str) -> list[float]:
    ended = study.ended().items()
    return [t.score for (label, name, _), t in ended if (label, name) == (arm, recipe) and t.score is not None]


def test_a_cell_is_the_mean_of_its_runs_with_an_interval_by_the_noise_of_all_arms(whole: Case) -> None:
    values = accuracies(whole.study, "resnest", "tricks")
    cell = whole.analysis.cell("resnest", "tricks")
    assert cell.score is not None
    assert cell.score.value == pytest.approx(mean(values))
    noise = whole.analysis.comparisons["tricks"].noise_sd
    assert noise is not None
    assert cell.score.high == pytest.approx(mean(values) + T_OF_SIX * noise / 3**0.5)
    assert (cell.planned, cell.finished, cell.diverged, cell.failed, cell.missing) == (3, 3, 0, 0, 0)


def test_the_true_winner_leads_and_the_first_sentence_says_so(whole: Case) -> None:
    analysis = whole.analysis
    assert said(whole)[0] == "On the mean of the recipes, resnest is better than each of the other arms."
    assert list(analysis.comparisons) == [MEAN_OF_RECIPES, "plain", "tricks"]
    pair = analysis.comparisons[MEAN_OF_RECIPES].pairs[0]
    by_hand = {
        arm: mean(mean(accuracies(whole.study, arm, recipe)) for recipe in whole.study.recipes)
        for arm in ("resnest", pair.worse)
    }
    assert pair.difference.value == pytest.approx(by_hand["resnest"] - by_hand[pair.worse])


def test_architecture_explains_most_of_the_variance_here(whole: Case) -> None:
    shares = whole.analysis.shares
    assert shares is not None
    by_name = {name: share.value for name, share in shares.shares.items()}
    assert by_name["arm"] > by_name["recipe"] > by_name["residual"]
    assert any(line.startswith("Share of the variance") for line in said(whole))


def test_every_planned_run_is_accounted_for(broken: Case) -> None:
    analysis = broken.analysis
    assert (analysis.done, analysis.planned) == (21, 24)
    assert sum(cell.missing for cell in analysis.cells) == 3
    assert sum(cell.diverged for cell in analysis.cells) == 1
    assert sum(cell.failed for cell in analysis.cells) == 1
    assert said(broken)[0] == "Unfinished: 21 of 24 runs done."
    assert "resnet under tricks: of 3 runs 1 diverged; the mean is over the 2 that finished." in said(broken)
    cell = analysis.cell("resnet", "tricks")
    assert cell.score is not None
    assert cell.score.value == pytest.approx(mean(accuracies(broken.study, "resnet", "tricks")))


def test_the_mean_of_the_recipes_needs_every_recipe_at_a_seed(broken: Case) -> None:
    pairs = broken.analysis.comparisons[MEAN_OF_RECIPES].pairs
    shared = next(pair.n for pair in pairs if {pair.better, pair.worse} == {"resnest", "resnet"})
    # resnet lost seed 0 under one recipe, resnest seed 2: one seed is left for both.
    assert shared == 1


def test_an_arm_without_results_is_named_and_not_compared(case: Callable[[str], Case]) -> None:
    failed = case("arm_failed")
    analysis = failed.analysis
    assert analysis.cell("regnet", "plain").score is None
    assert "regnet under plain: of 3 runs 3 failed; it has no result." in said(failed)
    assert all("regnet" not in (p.better, p.worse) for c in analysis.comparisons.values() for p in c.pairs)
    assert any("regnet" in caveat for caveat in caveats(*failed))
    assert analysis.shares is not None


def test_one_seed_shows_nothing(case: Callable[[str], Case]) -> None:
    one = case("one_seed")
    analysis = one.analysis
    assert all(cell.score is not None and cell.score.low is None for cell in analysis.cells)
    assert not any(pair.significant for c in analysis.comparisons.values() for pair in c.pairs)
    assert said(one)[0].startswith("On the mean of the recipes, no arm is shown to be the best")
    assert (analysis.shares, analysis.no_shares, "two seeds" in no_shares(analysis)) == (None, "few seeds", True)


def test_one_recipe_has_no_mean_of_recipes(case: Callable[[str], Case]) -> None:
    analysis = case("one_recipe").analysis
    assert list(analysis.comparisons) == ["plain"]
    assert said(case("one_recipe"))[0].startswith("Under the recipe plain, ")
    assert analysis.shares is not None
    assert list(analysis.shares.shares) == ["arm", "seed", "residual"]


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
    assert said(case(name))[0].startswith(sentence)
    assert case(name).analysis.shares is None
    assert reason in no_shares(case(name).analysis)


def test_recipes_that_disagree_are_pointed_out(whole: Case) -> None:
    def boosted(run: PlannedRun, trial: Trial) -> Trial:
        return replace(trial, score=99.0 + run.seed / 9) if (run.arm, run.recipe) == ("regnet", "plain") else trial

    study = with_trials(whole.study, boosted)
    sentences = conclusions(study, analyse_comparison(study))
    assert "The recipes disagree on the highest mean: regnet under plain, resnest under tricks." in sentences
    assert not any("disagree" in line for line in said(whole))


def test_recipes_of_different_length_are_a_caveat(whole: Case) -> None:
    recipes = {"plain": Recipe(epochs=12), "tricks": Recipe(epochs=30)}
    found = caveats(replace(whole.study, recipes=recipes), whole.analysis)
    assert "The recipes train for different numbers of epochs: plain 12, tricks 30." in found
    assert any("30 epochs" in caveat for caveat in found)


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6))
def test_the_order_in_which_runs_end_does_not_matter(broken: Case, seed: int) -> None:
    shuffled = list(broken.study.trials)
    random.Random(seed).shuffle(shuffled)
    assert analyse_comparison(replace(broken.study, trials=tuple(shuffled))) == broken.analysis


def test_an_arm_is_in_no_cell_of_a_recipe_that_does_not_train_it(whole: Case) -> None:
    assert whole.analysis.cell("vgg", "plain") is None


def apart(study: Study, *labels: str) -> Study:
    """The study with these arms trained by `tricks` alone, from weights."""
    weights = {label: Start(weights=f"{label}.pth", sha256=label, trained_on=f"photos of {label}") for label in labels}
    return replace(
        study,
        arms=tuple(
            replace(arm, recipe="tricks", start=weights[arm.label]) if arm.label in labels else arm
            for arm in study.arms
        ),
        runs=tuple(run for run in study.runs if run.recipe == "tricks" or run.arm not in labels),
        trials=tuple(
            trial for trial in study.trials if "tricks" in trial.key or trial.key.partition("|")[0] not in labels
        ),
    )


def test_an_arm_with_a_recipe_of_its_own_is_compared_under_every_recipe_by_its_own(whole: Case) -> None:
    study = apart(whole.study, "resnest", "regnet")
    found = analyse_comparison(study)
    assert found.apart == ("resnest", "regnet")
    assert (found.planned, found.done) == (18, 18)
    assert (found.cell("resnest", "plain"), found.cell("resnest", "tricks") is None) == (None, False)
    assert {(pair.better, pair.worse) for pair in found.comparisons[MEAN_OF_RECIPES].pairs} == {("res2net", "resnet")}
    assert len(found.comparisons["plain"].pairs) == 6
    first = found.comparisons["plain"].pairs[0]
    tricks, plain = (mean(accuracies(study, *cell)) for cell in ((first.better, "tricks"), (first.worse, "tricks")))
    assert (first.better, first.worse) == ("resnest", "regnet")
    assert first.difference.value == pytest.approx(tricks - plain)
    assert found.shares is not None
    led = "resnest and regnet by their own, resnest is better than each of the other arms."
    assert sum(led in sentence for sentence in conclusions(study, found)) == 2
    lines = " ".join(caveats(study, found))
    assert "resnest, regnet: trained by a recipe of its own" in lines
    assert "resnest, regnet: trained models." in lines
    assert "resnest on photos of resnest; regnet on photos of regnet" in lines
    page = comparison_page(study, found)
    assert "Begins from weights" in page
    assert "resnest.pth" in page
    assert "tricks" in terminal_text(study, found)


def test_arms_that_all_have_their_own_recipe_are_compared_once(whole: Case) -> None:
    study = apart(whole.study, *(arm.label for arm in whole.study.arms))
    found = analyse_comparison(study)
    assert list(found.comparisons) == [OWN_RECIPES]
    assert found.comparisons[OWN_RECIPES] == whole.analysis.comparisons["tricks"]
    assert (found.shares, found.no_shares) == (None, "few arms")
    assert conclusions(study, found)[0].startswith("With each arm by its own recipe, resnest")


def terminal_text(study: Study, found: ComparisonFindings) -> str:
    console = Console(file=StringIO(), width=100)
    print_comparison(study, found, console)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_learning_curves_are_means_over_seeds_epoch_by_epoch(broken: Case) -> None:
    curves = learning_curves(broken.study, "tricks")
    runs = [
        trial.curve for (arm, recipe, _), trial in broken.study.ended().items() if (arm, recipe) == ("resnet", "tricks")
    ]
    assert sorted(len(run) for run in runs) == [3, 12, 12]  # one diverged after three epochs
    for epoch in (1, 3, 4, 12):
        there = [run[epoch - 1].score for run in runs if len(run) >= epoch]
        assert curves["resnet"][epoch].value == pytest.approx(mean(there))
    assert all(curve[2].low is not None for curve in curves.values())


def test_what_a_comparison_does_not_show_names_the_facts(whole: Case, case: Callable[[str], Case]) -> None:
    text = " ".join(caveats(*whole))
    for fact in ("shapes10", "12 epochs", "3 seeds only", "The recipes (plain, tricks)", "test images"):
        assert fact in text
    assert "One recipe (plain)" in " ".join(caveats(*case("one_recipe")))
    assert "One seed gives no interval" in " ".join(caveats(*case("one_seed")))


def with_starts(study: Study, fresh: int, gains: dict[str, float]) -> Study:
    """The study under `plain`, with its first `fresh` arms also from weights, which gain so many points."""
    plain = {(arm, seed): trial for (arm, recipe, seed), trial in study.ended().items() if recipe == "plain"}
    scratch = study.arms[:fresh]
    arms, trials, runs = list(scratch), [], []
    for arm in scratch:
        for tag, gain in gains.items():
            start = Start(weights=tag, sha256=f"{arm.label}{tag}")
            label = f"{arm.label}@{tag}"
            arms.append(replace(arm, label=label, start=start))
            for seed in study.seeds:
                key, trial = f"{label}|{seed}", plain[arm.label, seed]
                shift = gain * (1 + scratch.index(arm)) + 0.1 * ((seed + len(label)) % 3)
                runs.append(PlannedRun(key, label, "plain", seed))
                trials.append(replace(trial, key=key, score=(trial.score or 0.0) + shift))
    labels = {arm.label for arm in scratch}
    kept = [run for run in study.runs if run.recipe == "plain" and run.arm in labels]
    ended = {trial.key: trial for trial in study.trials}
    return replace(
        study,
        arms=tuple(arms),
        recipes={"plain": study.recipes["plain"]},
        runs=(*kept, *runs),
        trials=(*(ended[run.key] for run in kept), *trials),
    )


def test_pretraining_changes_the_difference_of_two_networks(whole: Case) -> None:
    study = with_starts(whole.study, 2, {"v1": 2.0})
    found = analyse_comparison(study)
    (effect,) = found.start_effects
    assert effect.scratch == ("res2net", "resnet")
    assert effect.started == ("res2net@v1", "resnet@v1")
    assert effect.change.value == pytest.approx(2.0, abs=0.2)
    assert effect.change.low is not None
    said = " ".join(conclusions(study, found))
    assert "From scratch the difference of res2net and resnet is 1.7 ± " in said
    assert "points; pretraining is not shown to change it, 2.0 ± " in said
    assert "(res2net@v1 and resnet@v1)." in said
    assert found.start_spread is None
    assert "better than resnet by" in said
    assert "points, as trained models: network, pretraining recipe and pretraining data together (95 %" in said
    assert whole.analysis.start_effects == ()
    arms = tuple(replace(arm, recipe="finetune") if arm.start else arm for arm in study.arms)
    shown = replace(found, start_effects=(replace(effect, change=Estimate(value=3.1, low=1.1, high=5.1)),))
    said = " ".join(conclusions(replace(study, arms=arms), shown))
    assert "points; pretraining, with finetune as recipe, changes it by 3.1 ± 2.0 (res2net@v1 and resnet@v1)." in said


def test_pretrained_arms_are_paired_where_they_have_one_recipe(whole: Case) -> None:
    study = with_starts(whole.study, 2, {"v1": 2.0, "v2": 3.0})
    assert len(analyse_comparison(study).start_effects) == 4
    arms = tuple(replace(arm, recipe="probe") if arm.label.endswith("@v2") else arm for arm in study.arms)
    found = analyse_comparison(replace(study, arms=arms))
    assert [effect.started for effect in found.start_effects] == [("res2net@v1", "resnet@v1")]  # no runs under probe


def test_a_difference_of_trained_models_names_what_they_differ_in(whole: Case) -> None:
    fresh = whole.study.arms[0]
    begun = replace(fresh, start=Start(weights="v1", sha256="1"))
    other = replace(begun, network_hash="other", start=Start(weights="v2", sha256="2"))
    assert models_differ_in(fresh, replace(fresh, network_hash="other")) == ""
    assert models_differ_in(fresh, begun) == "pretraining recipe and pretraining data together"
    assert models_differ_in(begun, other) == "network, pretraining recipe and pretraining data together"
    assert models_differ_in(begun, replace(begun, recipe="head")) == "training recipe alone"
    known = replace(begun, start=Start(weights="v1", sha256="1", recipe="plain", trained_on="photos"))
    for start, differ in (
        (Start(weights="v2", sha256="2", recipe="plain", trained_on="photos"), "run of pretraining alone"),
        (Start(weights="v2", sha256="2", recipe="tricks", trained_on="photos"), "pretraining recipe alone"),
        (Start(weights="v2", sha256="2", recipe="plain"), "pretraining data alone"),
    ):
        assert models_differ_in(known, replace(known, start=start)) == differ


def test_weights_are_weighed_against_networks(whole: Case) -> None:
    study = with_starts(whole.study, 2, {"v1": 1.0, "v2": 4.0})
    spread = analyse_comparison(study).start_spread
    assert spread is not None
    assert (spread.network, spread.weights, spread.networks) == ("res2net", 2, 2)
    assert spread.spread == pytest.approx(6.0, abs=0.2)
    assert spread.best_spread == pytest.approx(1.7 + 4.0, abs=0.3)
    *_, changes, said, _ = conclusions(study, analyse_comparison(study))
    assert "(res2net@v1 and resnet@v2) to " in changes
    assert changes.endswith("(res2net@v2 and resnet@v1) over 4 pairs of weights, each by itself.")
    assert said.startswith("The means of the 2 weights of res2net spread over 6.")
    assert said.endswith("so this does not say which of both choices weighs more.")


def test_the_margin_of_the_study_decides_what_is_practically_equal(whole: Case) -> None:
    def verdicts(margin: float) -> set[str]:
        study = replace(whole.study, margin=margin)
        return {each.judgement.verdict for each in analyse_comparison(study).verdicts["plain"].pairs}

    assert verdicts(1.0) == {"better", "undecided"}
    assert verdicts(3.0) == {"better", "practically equal"}


def test_verdicts_are_on_the_pairs_of_their_comparison(whole: Case) -> None:
    for name, comparison in whole.analysis.comparisons.items():
        verdicts = whole.analysis.verdicts[name]
        named = [(each.judgement.better, each.judgement.worse) for each in verdicts.pairs]
        assert named == [(pair.better, pair.worse) for pair in comparison.pairs]
        assert verdicts.tie_group == ("resnest",)
        assert all(each.wins is not None and each.flips_p is None for each in verdicts.pairs)
    effects = whole.analysis.simple_effects
    assert list(effects) == ["plain", "tricks"]
    for name, corrected in effects.items():
        for pair, alone in zip(corrected.pairs, whole.analysis.comparisons[name].pairs, strict=True):
            assert pair.p is not None
            assert alone.p is not None
            assert pair.p == pytest.approx(min(1.0, 2 * alone.p))
            assert pair.significant == (pair.p < 0.05)


def test_an_arm_that_is_noisier_is_warned_of(whole: Case) -> None:
    jumps = (-9.0, 9.0, 0.0)

    def shaken(run: PlannedRun, trial: Trial) -> Trial:
        return replace(trial, score=(trial.score or 0.0) + jumps[run.seed]) if run.arm == "resnet" else trial

    study = with_trials(whole.study, shaken)
    found = analyse_comparison(study)
    warned = " ".join(caveats(study, found))
    assert "On the mean of the recipes, the arms are unequally noisy (p " in warned
    assert "resnet most." in warned
    assert "resnest − res2net" in warned
