"""The analysis of populations of known truth."""

import io
import json
from collections.abc import Iterable
from functools import cache, partial
from itertools import chain
from math import sqrt
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace
from rich.cells import cell_len
from rich.console import Console

from dorsal.findings.learning import Learning
from dorsal.findings.population.analyse import analyse_population, of_space
from dorsal.findings.population.importance import importances
from dorsal.findings.population.records import AxisFinding, PopulationFindings
from dorsal.findings.population.short_schedule import reliability_finding
from dorsal.findings.population.space_pairs import planner, space_pairs
from dorsal.report.population.terminal import print_population
from dorsal.report.words.populations import (
    conclusions,
    no_importances,
    no_profile,
    notes,
    pair_sentence,
    plan_sentence,
    populations_method,
    rule_sentence,
)
from dorsal.report.words.schedule import order_sentences, rank_sentences, schedule_sentence
from dorsal.space.axis import Axis
from dorsal.space.distributions import Choice, PowerOfTwo
from dorsal.space.linear_fit import linear_fit
from dorsal.space.named import SPACES
from dorsal.space.refine import share
from dorsal.space.size import size
from dorsal.space.space import Space
from dorsal.stats.populations import compare_populations, holm
from dorsal.study.population.records import PopulationStudy, RecheckRuns
from tests.study.populations import Part, level, population

FEW = 20
"""Resamples for shares of variance: enough to see that they are there."""
FITS = 6
THREE = {"anynetx_e": 53, "regnetx": 50, "regnety": 50}
LOST = {"diverged": {"anynetx_a/1"}, "failed": {"anynetx_a/2", "regnety/7"}, "waiting": {"anynetx_a/5"}}


@cache
def mixed() -> PopulationStudy:
    """Depth matters in regnetx; regnety is better than anynetx_a by 10 points; four networks have no result."""
    deep = Part("regnetx", 60, lambda row: 65 - 3 * np.log2(row["linear.depth"]).item())
    return population(Part("anynetx_a", 28, level(62)), deep, Part("regnety", 29, level(52)), **LOST)


@cache
def analysis() -> PopulationFindings:
    return analyse_population(mixed(), fits=FITS, resamples=FEW)


def printed(found: PopulationFindings, width: int = 80) -> str:
    stream = io.StringIO()
    print_population(found, Console(file=stream, width=width, color_system=None))
    return stream.getvalue()


def test_a_space_three_points_better_is_found_better_and_equal_ones_are_not_told_apart() -> None:
    parts = [Part(name, 28, level(error), seed) for seed, (name, error) in enumerate(THREE.items())]
    found = analyse_population(population(*parts), fits=0, resamples=FEW)
    worse, other, equal = (pair_sentence(pair, found) for pair in found.pairs)
    assert worse.startswith("regnetx has a lower mean error than anynetx_e, by ")
    assert other.startswith("regnety has a lower mean error than anynetx_e, by ")
    assert equal.startswith("No difference shown between regnetx and regnety")
    assert [plan.difference for plan in found.planner.plans] == [1.0, 0.5]
    one, half = found.planner.plans
    assert 1.5 < one.spread < 2.5  # that within spaces, and not the distance between them
    assert half.mean.value == pytest.approx(4 * one.mean.value, rel=0.05)
    assert "28 of anynetx_e, 28 of regnetx, 28 of regnety" in plan_sentence(found)
    assert "corrected for all tests of 3 pairs, takes, at 1 seed a network, roughly " in plan_sentence(found)
    assert one.confidence == pytest.approx(1 - 0.05 / 12)  # the distance, the mean and two quantiles of three pairs


def power(networks: int, spaces: int, studies: int, draws: int) -> float:
    """How often `space_pairs` shows the means of two spaces to differ that are 1 point apart, sd 2."""
    shown = 0
    compare = partial(compare_populations, draws=draws)
    for seed in range(studies):
        random = np.random.default_rng(seed)
        errors = random.normal(50, 2, (spaces, networks)) + np.eye(spaces)[0][:, None]
        found = [
            SimpleNamespace(name=str(place), errors=tuple(each), counts=SimpleNamespace(finished=networks))
            for place, each in enumerate(errors.tolist())
        ]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("dorsal.findings.population.space_pairs.compare_populations", compare)
            comparison = space_pairs(found, 0.95)[0].comparison
        shown += comparison.mean in comparison.shown
    return shown / studies


LEARNT = Learning(constant=10, results=3000, unlearnt=())


def planned(spaces: int) -> int:
    """Networks for 1 point by the planner, from 1,500 of each space."""
    random = np.random.default_rng(0)
    found = [
        SimpleNamespace(name=str(place), errors=tuple(each), counts=SimpleNamespace(finished=1500))
        for place, each in enumerate(random.normal(50, 2, (spaces, 1500)).tolist())
    ]
    networks = planner(found, LEARNT, 0.95).plans[0].mean.value
    assert networks is not None
    return networks


def test_a_plan_has_the_power_it_promises_by_the_rule_that_decides() -> None:
    """Planned for one test, 65 networks showed the difference in 64 % of studies."""
    networks = planned(2)
    assert networks == pytest.approx(91, abs=5)
    assert power(networks, 2, studies=150, draws=999) >= 0.8 - 3 * sqrt(0.8 * 0.2 / 150)


@pytest.mark.slow
@pytest.mark.parametrize("spaces", [2, 4])
def test_plans_have_the_power_they_promise_for_several_spaces(spaces: int) -> None:
    assert power(planned(spaces), spaces, studies=300, draws=1_999) >= 0.76


def test_what_matters_explains_more_than_noise_and_the_rest_does_not() -> None:
    shares = {axis.name: axis for axis in analysis().space("regnetx").importances.axes}
    assert set(shares) == set(SPACES["regnetx"].axes)
    relevant = shares.pop("linear.depth")
    assert relevant.above_null
    assert relevant.share.low > max(axis.share.value for axis in shares.values())
    assert sum(axis.above_null for axis in shares.values()) <= 1  # of five, each with one chance in 20
    assert any("than noise: linear.depth " in sentence for sentence in conclusions(analysis()))


@pytest.mark.slow
def test_shares_keep_their_level_and_intervals_cover() -> None:
    """Four columns of 100 networks, of which the first matters, in 40 populations."""
    shares = []
    for state in range(40):
        random = np.random.default_rng(state)
        values = random.random((100, 4))
        columns = [
            AxisFinding(name=name, axis=name, stage=None, derived=False, logarithmic=False, values=tuple(column))
            for name, column in zip("abcd", values.T.tolist(), strict=True)
        ]
        errors = (50 + 3 * values[:, 0] + random.standard_normal(100)).tolist()
        shares.append({axis.name: axis for axis in importances(columns, errors, resamples=FEW).axes})
    assert all(each["a"].above_null for each in shares)
    assert sum(each[name].above_null for each in shares for name in "bcd") <= 14  # 6 expected, 14 in 1 of 500 studies
    mean = np.mean([each["a"].share.value for each in shares])
    assert sum(each["a"].share.low <= mean <= each["a"].share.high for each in shares) >= 34


def test_good_ranges_find_the_axis_that_matters_after_correction() -> None:
    axes = {axis.name: axis for axis in analysis().space("regnetx").axes}
    p = {name: axis.good_range.p for name, axis in axes.items()}
    assert [axes[name].adjusted_p for name in p] == pytest.approx(holm(list(p.values())))
    assert [name for name, axis in axes.items() if axis.adjusted_p < 0.05] == ["linear.depth"]
    assert axes["linear.depth"].good_range.low > 20
    assert axes["linear.depth"].logarithmic


def test_an_axis_by_stage_has_a_column_a_stage_and_the_total_depth_follows() -> None:
    drawn, axes = mixed().spaces[0], {axis.name: axis for axis in analysis().space("anynetx_a").axes}
    assert len(axes) == 4 * 4 + 1
    third = axes["widths, stage 3"]
    assert (third.axis, third.stage) == ("widths", 3)
    assert list(third.values) == [row[2] for row in drawn.axes["widths"]]
    assert sum(each.errors.n for each in third.numeric.bins) == 25
    assert third.numeric.missing == 3
    depth = axes["total depth"]
    assert depth.derived
    assert list(depth.values) == [sum(row) for row in drawn.axes["depths"]]


def test_networks_without_a_result_are_counted_and_shown() -> None:
    found = analysis()
    counts = found.space("anynetx_a").counts
    assert (counts.finished, counts.diverged, counts.failed, counts.waiting) == (25, 1, 1, 1)
    assert found.space("anynetx_a").statuses[:6] == ("finished", "diverged", "failed", *["finished"] * 2, "waiting")
    assert found.space("anynetx_a").errors[1:3] == (None, None)
    assert found.space("anynetx_a").summary.distribution.edf.n == 25
    assert "25 of 28 networks finished (1 diverged, 1 failed, 1 not trained to the end yet)" in conclusions(found)[0]
    assert any("3 networks diverged or failed" in note for note in notes(found))
    for words in ("1 diverged", "1 failed", "1 waiting"):
        assert words in printed(found)


def test_it_reads_back_from_json() -> None:
    assert msgspec.json.decode(msgspec.json.encode(analysis()), type=PopulationFindings) == analysis()


def test_best_median_and_worst_are_the_networks_of_these_errors() -> None:
    for space in analysis().spaces:
        errors = dict(zip(space.labels, space.errors, strict=True))
        ranked = sorted(error for error in errors.values() if error is not None)
        for marked, place in ((space.summary.best, 0), (space.summary.worst, -1)):
            assert errors[marked.label] == marked.error == ranked[place]
        assert errors[space.summary.middle.label] == ranked[(len(ranked) - 1) // 2]


def test_a_curve_normalized_by_complexity_counts_levels_alike_that_all_spaces_have() -> None:
    for cost in ("macs", "params"):
        rows = [
            (space.name, complexity, error)
            for space in analysis().spaces
            for complexity, error in zip(space.costs[cost], space.errors, strict=True)
            if error is not None
        ]
        edges = np.histogram_bin_edges([complexity for _, complexity, _ in rows], 10)
        bins: dict[str, dict[int, list[float]]] = {space.name: {} for space in analysis().spaces}
        for name, complexity, error in rows:
            bins[name].setdefault(min(int(np.searchsorted(edges, complexity, side="right")), 10), []).append(error)
        shared = set.intersection(*(set(each) for each in bins.values()))
        assert analysis().shared_bins[cost] == len(shared) < max(map(len, bins.values()))
        for space in analysis().spaces:
            inside = [errors for place, errors in bins[space.name].items() if place in shared]
            found = space.summary.by_complexity[cost].edf
            assert found.mean == pytest.approx(np.mean([np.mean(errors) for errors in inside]))
            assert found.n == sum(map(len, inside))


def test_spaces_of_other_complexities_have_no_curves_to_compare() -> None:
    small, large = (
        population(Part(name, 12, level(50)), bounds={"macs": bound})
        for name, bound in (("regnetx", "200M..300M"), ("regnety", "600M..800M"))
    )
    both = replace(
        small,
        study=replace(
            small.study,
            arms=small.study.arms + large.study.arms,
            runs=small.study.runs + large.study.runs,
            trials=small.study.trials + large.study.trials,
        ),
        spaces=small.spaces + large.spaces,
    )
    found = analyse_population(both, fits=0, resamples=FEW)
    assert found.shared_bins["macs"] == 0
    assert all("macs" not in space.summary.by_complexity for space in found.spaces)


def test_tests_are_adjusted_over_all_pairs() -> None:
    pairs = [pair.comparison for pair in analysis().pairs]
    assert len(pairs) == 3
    tests = [
        test
        for pair in pairs
        for test in (pair.distance_test, pair.mean.test, *(effect.test for effect in pair.quantiles))
    ]
    assert [test.adjusted_p for test in tests] == pytest.approx(holm([test.p for test in tests]))
    assert "over all of these tests of all 3 pairs" in populations_method(analysis())


def test_networks_on_a_front_are_those_that_none_beats() -> None:
    fronts = {front.cost: front for front in analysis().fronts}
    assert set(fronts) == {"macs", "params", "activations"}
    for name, front in fronts.items():
        networks = {
            label: (cost, error)
            for space in analysis().spaces
            for label, cost, error in zip(space.labels, space.costs[name], space.errors, strict=True)
            if error is not None
        }
        unbeaten = {
            label
            for label, (cost, error) in networks.items()
            if not any(other[0] <= cost and other[1] <= error for them, other in networks.items() if them != label)
        }
        assert set(front.labels) == unbeaten
        assert list(front.costs) == sorted(front.costs)
        assert [networks[label] for label in front.labels] == list(zip(front.costs, front.errors, strict=True))


def test_the_linear_rule_is_fitted_to_so_many_networks_and_no_more() -> None:
    space = analysis().space("anynetx_a")
    networks = {arm.label: arm.network for arm in mixed().study.arms}
    fitted = [label for label, error in zip(space.labels, space.errors, strict=True) if error is not None][:FITS]
    found = dict(zip(space.labels, space.linear_rule.fits, strict=True))
    assert {label: fit for label, fit in found.items() if fit is not None} == {
        label: linear_fit(networks[label]).error for label in fitted
    }
    assert f"the {FITS} networks fitted, of 25 finished" in rule_sentence(space.linear_rule, 0.95)
    assert analysis().space("regnetx").linear_rule.computed == 0


def test_networks_near_the_linear_rule_are_found_better_where_they_are() -> None:
    drawn = population(Part("anynetx_e", 12, level(50)), noise=0)
    fits = {arm.label: linear_fit(arm.network).error for arm in drawn.study.arms}
    trials = tuple(replace(trial, score=60 - 20 * fits[trial.key.partition("|")[0]]) for trial in drawn.study.trials)
    rule = (
        analyse_population(replace(drawn, study=replace(drawn.study, trials=trials)), resamples=FEW)
        .spaces[0]
        .linear_rule
    )
    assert rule.correlation.value == pytest.approx(1)


def test_conditional_axes_are_judged_where_they_are_drawn() -> None:
    mixers = Axis(Choice(("conv", "split_attention")), by_stage=True)
    radix = Axis(PowerOfTwo(1, 4), by_stage=True, when={"mixer": ("split_attention",)})
    attention = Axis(Choice(("none", "squeeze_excite")))
    ratio = Axis(Choice((0.0625, 0.25)), when={"attention": ("squeeze_excite",)})
    axes = {"mixer": mixers, "mixer.radix": radix, "attention": attention, "attention.ratio": ratio}
    space = analyse_population(
        population(Part(Space(name="mixed", base="regnetx_002", axes=axes), 40, level(50))), fits=0, resamples=FEW
    ).spaces[0]
    found = {axis.name: axis for axis in space.axes}
    kinds, counts = found["mixer, stage 1"], {axis.name: axis.n for axis in space.importances.axes}
    assert {category.value for category in kinds.categorical.categories} == set(kinds.values)
    for stage in range(1, 5):
        drawn = found[f"mixer, stage {stage}"].values.count("split_attention")
        radix_here = found[f"mixer.radix, stage {stage}"]
        assert counts[radix_here.name] == drawn
        if drawn < 20:
            assert radix_here.numeric is radix_here.good_range is None
            assert no_profile(radix_here) == f"{drawn} networks draw it and have a result; at least 20 are needed"
        else:
            assert radix_here.numeric.missing == 40 - drawn
    assert no_profile(found["total depth"]) == "it is 13 in all networks"


def test_the_history_of_a_narrowed_space_is_told() -> None:
    narrowed = share(SPACES["anynetx_a"], "expansion")
    found = analyse_population(population(Part(narrowed, 3, level(50)))).spaces[0]
    assert [(step.of, step.change) for step in found.history] == [("anynetx_a", "share expansion")]
    assert found.sampling.points < found.history[0].points == float(size(SPACES["anynetx_a"]))


@pytest.mark.parametrize("networks", [1, 3])
def test_of_a_few_networks_it_says_that_they_are_few(networks: int) -> None:
    found = analyse_population(population(Part("anynetx_a", networks, level(50)), Part("regnetx", networks, level(50))))
    axis = found.space("anynetx_a").axes[0]
    assert no_profile(axis) == f"{networks} networks have a result; at least 20 are needed"
    reason = f"{networks} networks have a result; at least 30 are needed"
    assert no_importances(found.space("anynetx_a").importances) == reason
    assert f"{2 * (networks - 1)} networks beside one of each space to go by" in plan_sentence(found)
    assert found.space("regnetx").summary.mean.low is None
    assert "…" not in printed(found)


def test_where_nothing_has_finished_it_says_so() -> None:
    labels = {f"regnetx/{index}" for index in range(3)}
    found = analyse_population(population(Part("regnetx", 3, level(50)), waiting=labels))
    assert found.spaces[0].summary is None
    assert conclusions(found)[0].endswith(
        "0 of 3 networks finished (3 not trained to the end yet); nothing can be said of its errors."
    )
    assert "0 networks" in printed(found)


def test_equal_errors_have_no_shares_and_no_plan() -> None:
    found = analyse_population(population(Part("regnetx", 32, level(50)), noise=0))
    assert no_importances(found.spaces[0].importances) == "all errors are 50 %"
    assert "all errors of a space are equal" in plan_sentence(found)


def test_errors_of_which_nearly_all_are_equal_have_shares() -> None:
    drawn = population(Part("regnetx", 30, level(90)), noise=0)
    trials = (replace(drawn.study.trials[0], score=60.0), *drawn.study.trials[1:])
    one = replace(drawn, study=replace(drawn.study, trials=trials))
    found = analyse_population(one, resamples=FEW).spaces[0].importances
    assert {axis.name for axis in found.axes} == set(SPACES["regnetx"].axes)
    assert all(0 <= axis.share.low <= axis.share.value <= axis.share.high <= 1 for axis in found.axes)


def test_an_error_is_the_mean_over_seeds_and_needs_all_of_them() -> None:
    drawn = population(Part("regnetx", 5, level(50)), seeds=2)
    lost = replace(drawn.study.trials[1], status="failed", score=None)
    trials = (drawn.study.trials[0], lost, *drawn.study.trials[2:9])
    found = analyse_population(replace(drawn, study=replace(drawn.study, trials=trials))).spaces[0]
    assert found.statuses == ("failed", "finished", "finished", "finished", "waiting")
    runs = [100 - trial.score for trial in trials if trial.key.startswith("regnetx/2|")]
    assert found.errors[2] == pytest.approx(sum(runs) / 2)


TWELVE = {space: tuple(f"{space}/{index}" for index in range(12)) for space in ("anynetx_a", "regnetx")}


def evidence(noise: float) -> RecheckRuns:
    """12 networks of two spaces at two budgets; errors of the long one are those of the short one, plus noise."""
    random = np.random.default_rng(0)
    labels = [label for pair in zip(*TWELVE.values(), strict=True) for label in pair]
    truth = random.normal(50, 5, (24, 1, 1)) - np.tile([0, 8], 12)[:, None, None]
    errors = truth + np.array([0, -10])[:, None] + noise * random.standard_normal((24, 2, 2))
    return trained_again(labels, errors)


def trained_again(labels: Iterable[str], errors: np.ndarray) -> RecheckRuns:
    """NaN stands for a run that diverged."""
    runs = [
        [["diverged" if np.isnan(run) else run for run in seeds] for seeds in budgets] for budgets in errors.tolist()
    ]
    return msgspec.convert({"labels": [*labels], "budgets": ["10 epochs", "40 epochs"], "runs": runs}, RecheckRuns)


def test_without_evidence_the_schedule_is_called_unverified() -> None:
    said = schedule_sentence(analysis().reliability)
    assert said.startswith("Unverified: nothing shows that a schedule of 10 epochs ranks")
    assert "`dorsal space recheck`" in said
    assert said in conclusions(analysis())


def test_evidence_on_the_schedule_is_told_by_space_and_within_spaces() -> None:
    steady = reliability_finding(evidence(0.5), TWELVE, 10)
    assert [rank.space for rank in steady.ranks] == ["anynetx_a", "regnetx", "within spaces"]
    assert schedule_sentence(steady).startswith(
        "Within spaces: One run at 10 epochs ranks networks as one at 40 epochs does"
    )
    assert "The schedule itself keeps the order" in schedule_sentence(steady)
    assert any("in the mean error survives: regnetx is ahead" in said for said in order_sentences(steady.orders[0]))
    assert "Left out" not in schedule_sentence(steady)
    shaken = reliability_finding(evidence(50), TWELVE, 10)
    assert schedule_sentence(shaken).startswith(
        "Within spaces: One run at 10 epochs does not rank networks as one at 40 epochs"
    )


def test_the_distance_between_spaces_is_no_agreement_of_ranks() -> None:
    """Four spaces 10 points apart, without a true order inside any: pooled, 9 of 10 pairs are in the same order."""
    random = np.random.default_rng(0)
    labels = {space: [f"{space}/{index}" for index in range(12)] for space in "abcd"}
    errors = random.normal(size=(48, 2, 3)) + 10 * np.repeat(np.arange(4), 12)[:, None, None]
    found = reliability_finding(trained_again(chain(*labels.values()), errors), labels, 10)
    assert schedule_sentence(found).startswith(
        "Within spaces: One run at 10 epochs does not rank networks as one at 40 epochs"
    )
    (pair,) = found.ranks[-1].reliability.agreements
    assert (pair.n, pair.verdict) == (48, "unreliable")
    assert pair.tau.high < 0.3


def test_noise_as_large_as_the_spread_is_not_laid_to_the_schedule() -> None:
    random = np.random.default_rng(0)
    labels = {"a": [f"a/{index}" for index in range(60)]}
    found = reliability_finding(
        trained_again(labels["a"], random.normal(size=(60, 1, 1)) + random.normal(size=(60, 2, 3))), labels, 10
    )
    assert schedule_sentence(found).startswith(
        "One run at 10 epochs is too noisy to rank networks as one at 40 epochs does: "
    )
    assert "The schedule itself keeps the order: " in schedule_sentence(found)


def test_little_evidence_is_called_little() -> None:
    some = evidence(0.5)
    found = reliability_finding(replace(some, labels=some.labels[:4], runs=some.runs[:4]), TWELVE, 10)
    assert schedule_sentence(found) == (
        "Within spaces: Nothing can be said on ranks: that takes 5 networks of one space that were trained again to "
        "the end."
    )
    assert order_sentences(found.orders[0]) == [
        "The order of anynetx_a and regnetx is unverified: 2 and 2 networks have a result at every schedule, and at "
        "least 6 of each are needed."
    ]
    alone = reliability_finding(replace(some, labels=some.labels[::2], runs=some.runs[::2]), TWELVE, 10)
    assert [len(rank_sentences(rank, alone)) for rank in alone.ranks] == [1, 1, 1]
    assert "12 and 0 networks have a result" in order_sentences(alone.orders[0])[0]


def sixteen(seeds: int = 3) -> tuple[dict[str, list[str]], np.ndarray]:
    """16 networks of a and of b, a 8 points better at both schedules."""
    labels = {space: [f"{space}/{index}" for index in range(16)] for space in "ab"}
    truth = np.random.default_rng(0).normal(50, 2, (32, 1, 1)) - np.repeat([8, 0], 16)[:, None, None]
    return labels, truth + np.random.default_rng(1).normal(0, 0.5, (32, 2, seeds))


def test_networks_whose_runs_were_lost_are_said_to_be_left_out_and_may_turn_the_order() -> None:
    labels, errors = sixteen()
    whole = reliability_finding(trained_again(chain(*labels.values()), errors), labels, 10)
    assert order_sentences(whole.orders[0])[0].startswith("The order of a and b in the mean error survives")
    errors[:8, 1] = np.nan
    errors[8:12, 1, 1:] = np.nan  # one of three runs is not enough, as in the population
    found = reliability_finding(trained_again(chain(*labels.values()), errors), labels, 10)
    left_out = "Left out: 12 of 16 of a diverged at 40 epochs."
    assert schedule_sentence(found).endswith(left_out)
    assert rank_sentences(found.ranks[0], found)[0].endswith(left_out)
    assert "Left out" not in rank_sentences(found.ranks[1], found)[0]
    assert found.orders[0].reliability is None  # four networks of a are left
    errors[6:12] = errors[22:28] - 8
    order = reliability_finding(trained_again(chain(*labels.values()), errors), labels, 10).orders[0]
    assert order.reliability.networks == (10, 16)
    assert "hinges on lost runs" in order_sentences(order)[0]
    counts = {(each.space, each.budget): each.counts for each in found.retrained}
    assert (counts["a", "40 epochs"].diverged, counts["a", "40 epochs"].finished) == (12, 4)
    assert counts["b", "40 epochs"].finished == counts["a", "10 epochs"].finished == 16


def test_networks_still_waiting_are_no_evidence_against_an_order() -> None:
    labels, errors = sixteen()
    whole = trained_again(chain(*labels.values()), errors)
    runs = tuple((network[0], ("waiting",) * 3) if row % 2 else network for row, network in enumerate(whole.runs))
    found = reliability_finding(replace(whole, runs=runs), labels, 10)
    order = found.orders[0]
    assert order.reliability.networks == (8, 8)
    assert order_sentences(order)[0].startswith("The order of a and b in the mean error survives")
    left_out = " Left out: 8 of 16 of a waiting at 40 epochs; 8 of 16 of b waiting at 40 epochs."
    assert schedule_sentence(found).endswith(left_out)


def two_spaces() -> PopulationStudy:
    """regnetx is 8 points better than anynetx_a."""
    return population(Part("anynetx_a", 16, level(50)), Part("regnetx", 16, level(42)))


def test_a_space_that_is_called_better_is_followed_by_whether_longer_training_keeps_the_order() -> None:
    better = "regnetx has a lower mean error than anynetx_a, by "
    drawn = two_spaces()

    def conclusion(retrained: RecheckRuns | None) -> str:
        found = analyse_population(drawn, retrained=retrained, fits=0, resamples=FEW)
        return next(sentence for sentence in conclusions(found) if sentence.startswith(better))

    assert conclusion(None).endswith(" Order unverified: neither was trained longer.")
    kept = evidence(0.5)
    assert " The order of anynetx_a and regnetx in the mean error survives: regnetx is ahead" in conclusion(kept)
    few = replace(kept, labels=kept.labels[:8], runs=kept.runs[:8])
    assert "The order of anynetx_a and regnetx is unverified: 4 and 4 networks" in conclusion(few)
    turned = tuple(
        (network[0], tuple(run + 16 for run in network[1])) if label.startswith("regnetx") else network
        for label, network in zip(kept.labels, kept.runs, strict=True)
    )
    assert (
        "The order of anynetx_a and regnetx in the mean error is reversed: regnetx is ahead at 10 epochs, anynetx_a at "
        "40 epochs"
    ) in conclusion(replace(kept, runs=turned))
    lost = (kept.runs[0][0], ("diverged", "failed")), *kept.runs[1:]
    assert conclusion(replace(kept, runs=lost)).endswith(" Left out: 1 of 12 of anynetx_a diverged at 40 epochs.")


def test_spaces_that_are_not_told_apart_have_no_order_to_verify() -> None:
    same = population(Part("anynetx_a", 16, level(50)), Part("regnetx", 16, level(50)))
    found = analyse_population(same, retrained=evidence(0.5), fits=0, resamples=FEW)
    (sentence,) = [sentence for sentence in conclusions(found) if sentence.startswith("No difference shown")]
    assert sentence == pair_sentence(found.pairs[0], found)


def test_one_space_can_be_asked_for_alone() -> None:
    alone, retrained = of_space(mixed(), evidence(0.5), "regnetx")
    assert [drawn.space.name for drawn in alone.spaces] == ["regnetx"]
    assert retrained.labels == tuple(f"regnetx/{index}" for index in range(12))
    assert of_space(mixed(), evidence(0.5), "regnety")[1] is None
    with pytest.raises(ValueError, match=r"no space 'regnet'; did you mean .*regnetx"):
        of_space(mixed(), None, "regnet")


def test_bad_input_is_refused_in_one_sentence() -> None:
    drawn = population(Part("regnetx", 3, level(50)))
    with pytest.raises(ValueError, match="population 'population' is empty: it has no networks"):
        analyse_population(replace(drawn, spaces=()))
    with pytest.raises(ValueError, match="fits=-1 is below 0; nearest valid: 0"):
        analyse_population(drawn, fits=-1)
    with pytest.raises(ValueError, match="resamples=5 is below 20; nearest valid: 20"):
        analyse_population(drawn, resamples=5)
    with pytest.raises(ValueError, match="'anynetx_a/0' is no network of this population"):
        analyse_population(drawn, retrained=evidence(1))


def test_the_tables_fit_80_columns_and_cut_nothing() -> None:
    text = printed(analysis())
    assert max(map(cell_len, text.splitlines())) <= 80
    assert "…" not in text
    for words in ("anynetx_a", "linear.w0", "good values", "Are 10 epochs enough?", "What this does not show"):
        assert words in text


def test_the_command_prints_tables_or_the_whole_analysis(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from dorsal.cli.space_analyse import analyse as command

    drawn = population(Part("regnetx", 4, level(50)), Part("regnety", 4, level(50)))
    monkeypatch.setattr("dorsal.study.population.saved.load_population", lambda *_: drawn)
    command(tmp_path)
    assert "regnety" in capsys.readouterr().out
    command(tmp_path, space="regnetx", as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert [space["name"] for space in found["spaces"]] == ["regnetx"]
    assert found["sentences"][0].startswith("regnetx: 4 of 4 networks finished")
