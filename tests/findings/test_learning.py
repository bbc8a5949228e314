"""What learnt nothing is said first, compared with nothing, and nothing is planned from it: in every kind of study."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from rich.console import Console

from dorsal.findings.comparison import analyse_comparison
from dorsal.findings.learning import learning
from dorsal.findings.narrowing.propose import propose_space
from dorsal.findings.pick import pick_networks
from dorsal.findings.population.analyse import analyse_population
from dorsal.findings.search import analyse_search
from dorsal.jobs.plan import Run
from dorsal.jobs.records import PlannedRun, Trial
from dorsal.report.comparison.page import comparison_page
from dorsal.report.population.page import population_page
from dorsal.report.population.terminal import print_population
from dorsal.report.search.terminal import print_search
from dorsal.report.words import comparison as comparison_words
from dorsal.report.words import narrowing as narrowing_words
from dorsal.report.words import populations as population_words
from dorsal.report.words import search as search_words
from dorsal.report.words.learning import learning_sentences
from dorsal.spec.task import Semantic
from dorsal.study.population.records import PopulationStudy
from dorsal.study.search.question import Search
from dorsal.study.search.run import run_search
from tests.findings.studies import Case, with_trials
from tests.study.arithmetic import Arithmetic, put_in_place
from tests.study.populations import Part, level, population

NOTHING = "Nothing was learnt: of "


def at_chance() -> PopulationStudy:
    """Ten classes and 90 % error, with the noise of 1,000 images; of regnetx as many as are asked which axes matter."""
    return population(Part("anynetx_a", 8, level(90)), Part("regnetx", 32, level(90)), noise=0.9)


def test_of_results_at_chance_none_is_told_from_one_class_19_times_in_20(whole: Case) -> None:
    """All results together have the level, not each: of 200 at 5 % ten would seem to have learnt."""
    data = whole.study.data
    random = np.random.default_rng(0)
    studies = 100 * random.binomial(data.val_images, data.constant / 100, (400, 200)) / data.val_images
    found = [learning(((str(place), score) for place, score in enumerate(scores)), data) for scores in studies]
    assert sum(each.nothing for each in found) / len(found) >= 0.95 - 3 * (0.95 * 0.05 / len(found)) ** 0.5
    assert not learning([("good", 16.0), ("better", 90.0), ("at its best", 100.0)], data).unlearnt


def test_no_results_are_not_results_that_learnt_nothing(whole: Case) -> None:
    found = learning((), whole.study.data)
    assert (found.nothing, found.mostly_nothing) == (False, False)
    assert list(learning_sentences(found)) == []


def test_a_comparison_at_chance_compares_nothing(whole: Case) -> None:
    study = replace(whole.study, trials=tuple(replace(trial, score=11.0) for trial in whole.study.trials))
    found = analyse_comparison(study)
    first, *rest = comparison_words.conclusions(study, found)
    assert first.startswith(
        f"{NOTHING}24 results none is shown to beat always answering one class, which scores 10.0 %"
    )
    assert rest == []
    assert (found.comparisons, found.shares, comparison_words.no_shares(found)) == ({}, None, "nothing was learnt")
    assert comparison_page(study, found).index(NOTHING) < comparison_page(study, found).index("<h2>Results")


def test_an_arm_at_chance_is_named_first_and_no_seeds_are_planned_where_most_are(whole: Case) -> None:
    def chance(*arms: str) -> Callable[[PlannedRun, Trial], Trial]:
        return lambda run, trial: replace(trial, score=10.0 + run.seed / 10) if run.arm in arms else trial

    study = with_trials(whole.study, chance("resnet"))
    first, *rest = comparison_words.conclusions(study, analyse_comparison(study))
    assert first == (
        "6 of 24 results are not shown to beat always answering one class, which scores 10.0 %: resnet under plain "
        "(3 times), resnet under tricks (3 times)."
    )
    assert "resnest is better than" in rest[0]
    study = with_trials(whole.study, chance("resnet", "res2net", "regnet"))
    assert "would be needed" not in " ".join(comparison_words.conclusions(study, analyse_comparison(study)))


def test_a_population_at_chance_compares_and_plans_nothing() -> None:
    study = at_chance()
    found = analyse_population(study, resamples=20)
    said = population_words.conclusions(found)
    assert said[0].startswith(f"{NOTHING}40 results")
    assert (found.pairs, found.planner.plans) == ((), ())
    assert "cannot be planned: most networks are not shown to have learnt anything." in " ".join(said)
    assert not any(word in " ".join(said) for word in ("are equal", "are better", "axes that explain", "no axis"))
    page = population_page(study, found)
    assert page.index(NOTHING) < page.index("<h2>")
    printed = io.StringIO()
    print_population(found, Console(file=printed, width=80))
    for left_out in (
        "best of",
        "Axes of",
        "no other beats",
        "<h2>Random search",
        "<h2>Which axes",
        "<h2>Error against",
    ):
        assert left_out not in printed.getvalue() + page


def test_a_population_of_which_some_learnt_says_which_did_not() -> None:
    study = population(Part("anynetx_a", 10, level(90)), Part("regnetx", 30, level(50)), noise=0.5)
    found = analyse_population(study, resamples=20)
    said = population_words.conclusions(found)
    assert said[0].startswith(
        "10 of 40 results are not shown to beat always answering one class, which scores 10.0 %: "
    )
    assert said[0].endswith(" and 5 more.")
    assert found.pairs
    assert found.planner.plans


def test_a_space_is_not_narrowed_by_networks_that_learnt_nothing() -> None:
    proposal = propose_space(at_chance(), "regnetx", margin=0.1, draws=100)
    said = narrowing_words.conclusions(proposal)
    assert said[0].startswith(f"{NOTHING}32 results")
    assert said[1].startswith("Nothing is proposed: such networks")
    assert (proposal.space, proposal.considered) == (None, ())


def test_a_network_picked_of_those_at_chance_comes_with_the_warning() -> None:
    assert search_words.pick_sentences(pick_networks(at_chance()))[0].startswith(NOTHING)


def test_a_search_at_chance_names_no_winner(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class AtChance(Arithmetic):
        def trial(self, run: Run) -> Trial:
            return replace(super().trial(run), score=10.0)

    put_in_place(AtChance(1), monkeypatch)
    asked = Search(
        space="anynetx_e",
        trials=3,
        sampler="random",
        bounds={"macs": "1M..4M"},
        recipe="plain",
        data="scenes(size=32, train=64, val=32)",
        epochs=1,
        workers=1,
        out=str(tmp_path / "search"),
    )
    search = run_search(asked)
    found = analyse_search(search)
    said = search_words.conclusions(found)
    assert said[0].startswith(f"{NOTHING}3 results")
    assert not any("Least error" in sentence for sentence in said)
    printed = io.StringIO()
    print_search(found, Console(file=printed, width=80))
    assert found.front
    assert found.front[0].label not in printed.getvalue()


def test_semantic_segmentation_must_beat_the_same_class_everywhere(whole: Case) -> None:
    data = replace(whole.study.data, task=Semantic(), constant=6.9)
    found = learning((("same", 6.91), ("near", 7.5), ("more", 12.0)), data)
    assert found.unlearnt == ("same", "near")
    assert learning((("a", 6.91), ("b", 7.5)), data).nothing
