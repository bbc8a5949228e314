"""The analysis of populations of known truth."""

import io
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace
from rich.cells import cell_len
from rich.console import Console

from dorsal.report.population.terminal import print_population
from dorsal.space.axis import Axis
from dorsal.space.count import size
from dorsal.space.draw import Choice, PowerOfTwo
from dorsal.space.fit import linear_fit
from dorsal.space.named import SPACES
from dorsal.space.narrow import share
from dorsal.space.space import Space
from dorsal.stats.populations import holm
from dorsal.study.analysis.analyse import analyse_population, of_space
from dorsal.study.analysis.importance import importances
from dorsal.study.analysis.records import Analysis, AxisFinding, Retrained
from dorsal.study.analysis.short_schedule import reliability_finding
from dorsal.study.population.records import Population
from tests.study.populations import Part, level, population

FEW = 20
"""Resamples for shares of variance: enough to see that they are there."""
FITS = 6
THREE = {"anynetx_e": 53, "regnetx": 50, "regnety": 50}
LOST = {"diverged": {"anynetx_a/1"}, "failed": {"anynetx_a/2", "regnety/7"}, "waiting": {"anynetx_a/5"}}


@cache
def mixed() -> Population:
    """Depth matters in regnetx; regnety is better than anynetx_a by 10 points; four networks have no result."""
    deep = Part("regnetx", 60, lambda row: 65 - 3 * np.log2(row["linear.depth"]).item())
    return population(Part("anynetx_a", 28, level(62)), deep, Part("regnety", 29, level(52)), **LOST)


@cache
def analysis() -> Analysis:
    return analyse_population(mixed(), fits=FITS, resamples=FEW)


def printed(found: Analysis, width: int = 80) -> str:
    stream = io.StringIO()
    print_population(found, Console(file=stream, width=width, color_system=None))
    return stream.getvalue()


def test_a_space_three_points_better_is_found_better_and_equal_ones_are_not_told_apart() -> None:
    parts = [Part(name, 28, level(error), seed) for seed, (name, error) in enumerate(THREE.items())]
    found = analyse_population(population(*parts), fits=0, resamples=FEW)
    worse, other, equal = (pair.sentence for pair in found.pairs)
    assert worse.startswith("regnetx has a lower mean error than anynetx_e, by ")
    assert other.startswith("regnety has a lower mean error than anynetx_e, by ")
    assert equal.startswith("No difference shown between regnetx and regnety")
    assert [plan.difference for plan in found.planner.plans] == [1.0, 0.5]
    one, half = found.planner.plans
    assert 1.5 < one.spread < 2.5  # that within spaces, and not the distance between them
    assert half.mean.networks == pytest.approx(4 * one.mean.networks, rel=0.05)
    assert "28 of anynetx_e, 28 of regnetx, 28 of regnety" in found.planner.sentence


def test_what_matters_explains_more_than_noise_and_the_rest_does_not() -> None:
    shares = {axis.name: axis for axis in analysis().space("regnetx").importances.axes}
    assert set(shares) == set(SPACES["regnetx"].axes)
    relevant = shares.pop("linear.depth")
    assert relevant.above_null
    assert relevant.share.low > max(axis.share.value for axis in shares.values())
    assert sum(axis.above_null for axis in shares.values()) <= 1  # of five, each with one chance in 20
    assert any("than noise: linear.depth " in sentence for sentence in analysis().sentences)


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
    assert "25 of 28 networks finished (1 diverged, 1 failed, 1 not trained to the end yet)" in found.sentences[0]
    assert any("3 that diverged or failed" in note for note in found.notes)
    for words in ("1 diverged", "1 failed", "1 waiting"):
        assert words in printed(found)


def test_it_reads_back_from_json() -> None:
    assert msgspec.json.decode(msgspec.json.encode(analysis()), type=Analysis) == analysis()


def test_best_median_and_worst_are_the_networks_of_these_errors() -> None:
    for space in analysis().spaces:
        errors = dict(zip(space.labels, space.errors, strict=True))
        ranked = sorted(error for error in errors.values() if error is not None)
        for marked, place in ((space.summary.best, 0), (space.summary.worst, -1)):
            assert errors[marked.label] == marked.error == ranked[place]
        assert errors[space.summary.middle.label] == ranked[(len(ranked) - 1) // 2]


def test_a_curve_normalised_by_complexity_counts_levels_alike() -> None:
    rows = [
        (space.name, macs, error)
        for space in analysis().spaces
        for macs, error in zip(space.costs["macs"], space.errors, strict=True)
        if error is not None
    ]
    edges = np.histogram_bin_edges([macs for _, macs, _ in rows], 10)
    for space in analysis().spaces:
        bins: dict[int, list[float]] = {}
        for name, macs, error in rows:
            if name == space.name:
                bins.setdefault(min(int(np.searchsorted(edges, macs, side="right")), 10), []).append(error)
        expected = np.mean([np.mean(errors) for errors in bins.values()])
        assert space.summary.by_complexity["macs"].edf.mean == pytest.approx(expected)


def test_tests_are_adjusted_over_all_pairs() -> None:
    pairs = [pair.comparison for pair in analysis().pairs]
    assert len(pairs) == 3
    tests = [
        test
        for pair in pairs
        for test in (pair.distance_test, pair.mean.test, *(effect.test for effect in pair.quantiles))
    ]
    assert [test.adjusted_p for test in tests] == pytest.approx(holm([test.p for test in tests]))
    assert "over all tests of 3 pairs" in pairs[0].method


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
    assert f"the {FITS} networks fitted, of 25 finished" in space.linear_rule.sentence
    assert analysis().space("regnetx").linear_rule.computed == 0


def test_networks_near_the_linear_rule_are_found_better_where_they_are() -> None:
    drawn = population(Part("anynetx_e", 12, level(50)), noise=0)
    fits = {arm.label: linear_fit(arm.network).error for arm in drawn.study.arms}
    trials = tuple(replace(trial, accuracy=60 - 20 * fits[trial.arm]) for trial in drawn.study.trials)
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
            assert radix_here.reason == f"{drawn} networks draw it and have a result; at least 20 are needed"
        else:
            assert radix_here.numeric.missing == 40 - drawn
    assert found["total depth"].reason == "it is 13 in all networks"


def test_the_history_of_a_narrowed_space_is_told() -> None:
    narrowed = share(SPACES["anynetx_a"], "expansion")
    found = analyse_population(population(Part(narrowed, 3, level(50)))).spaces[0]
    assert [(step.of, step.change) for step in found.history] == [("anynetx_a", "share expansion")]
    assert found.points < found.history[0].points == float(size(SPACES["anynetx_a"]))


@pytest.mark.parametrize("networks", [1, 3])
def test_of_a_few_networks_it_says_that_they_are_few(networks: int) -> None:
    found = analyse_population(population(Part("anynetx_a", networks, level(50)), Part("regnetx", networks, level(50))))
    axis = found.space("anynetx_a").axes[0]
    assert axis.reason == f"{networks} networks have a result; at least 20 are needed"
    assert found.space("anynetx_a").importances.reason == f"{networks} networks have a result; at least 30 are needed"
    assert f"{2 * networks if networks > 1 else 0} networks to go by" in found.planner.sentence
    assert found.space("regnetx").summary.mean.low is None
    assert "…" not in printed(found)


def test_where_nothing_has_finished_it_says_so() -> None:
    labels = {f"regnetx/{index}" for index in range(3)}
    found = analyse_population(population(Part("regnetx", 3, level(50)), waiting=labels))
    assert found.spaces[0].summary is None
    assert found.sentences[0].endswith(
        "0 of 3 networks finished (3 not trained to the end yet); nothing can be said of its errors."
    )
    assert "0 networks" in printed(found)


def test_equal_errors_have_no_shares_and_no_plan() -> None:
    found = analyse_population(population(Part("regnetx", 32, level(50)), noise=0))
    assert found.spaces[0].importances.reason == "all errors are 50 %"
    assert "all errors of a space are equal" in found.planner.sentence


def test_errors_of_which_nearly_all_are_equal_have_shares() -> None:
    drawn = population(Part("regnetx", 30, level(90)), noise=0)
    trials = (replace(drawn.study.trials[0], accuracy=60.0), *drawn.study.trials[1:])
    one = replace(drawn, study=replace(drawn.study, trials=trials))
    found = analyse_population(one, resamples=FEW).spaces[0].importances
    assert {axis.name for axis in found.axes} == set(SPACES["regnetx"].axes)
    assert all(0 <= axis.share.low <= axis.share.value <= axis.share.high <= 1 for axis in found.axes)


def test_an_error_is_the_mean_over_seeds_and_needs_all_of_them() -> None:
    drawn = population(Part("regnetx", 5, level(50)), seeds=2)
    lost = replace(drawn.study.trials[1], status="failed", accuracy=None)
    trials = (drawn.study.trials[0], lost, *drawn.study.trials[2:9])
    found = analyse_population(replace(drawn, study=replace(drawn.study, trials=trials))).spaces[0]
    assert found.statuses == ("failed", "finished", "finished", "finished", "waiting")
    runs = [100 - trial.accuracy for trial in trials if trial.arm == "regnetx/2"]
    assert found.errors[2] == pytest.approx(sum(runs) / 2)


TWELVE = {space: tuple(f"{space}/{index}" for index in range(12)) for space in ("anynetx_a", "regnetx")}


def evidence(noise: float) -> Retrained:
    """12 networks of two spaces at two budgets; errors of the long one are those of the short one, plus noise."""
    random = np.random.default_rng(0)
    labels = [label for pair in zip(*TWELVE.values(), strict=True) for label in pair]
    truth = random.normal(50, 5, (24, 1, 1)) - np.tile([0, 8], 12)[:, None, None]
    errors = truth + np.array([0, -10])[:, None] + noise * random.standard_normal((24, 2, 2))
    return Retrained(
        labels=tuple(labels),
        budgets=("10 epochs", "40 epochs"),
        errors=tuple(tuple(tuple(map(float, seeds)) for seeds in budgets) for budgets in errors),
    )


def test_without_evidence_the_schedule_is_called_unverified() -> None:
    found = analysis().reliability
    assert found.sentence.startswith("Unverified: nothing shows that a schedule of 10 epochs ranks")
    assert "`dorsal space reliability`" in found.sentence
    assert found.sentence in analysis().sentences


def test_evidence_on_the_schedule_is_told_by_space_and_together() -> None:
    steady = reliability_finding(evidence(0.5), TWELVE, 10)
    assert [rank.space for rank in steady.ranks] == ["anynetx_a", "regnetx", "all spaces"]
    assert steady.sentence.startswith("10 epochs ranks networks as 40 epochs does")
    assert any("in the mean error survives: regnetx is ahead" in said for said in steady.orders[0].sentences)
    shaken = reliability_finding(evidence(50), TWELVE, 10)
    assert shaken.sentence.startswith("10 epochs does not rank networks as 40 epochs does")


def test_little_evidence_is_called_little() -> None:
    some = evidence(0.5)
    found = reliability_finding(replace(some, labels=some.labels[:4], errors=some.errors[:4]), TWELVE, 10)
    assert found.sentence == "On ranks: 4 networks of all spaces were trained longer, and at least 5 are needed."
    assert "2 and 2 networks have a result at every schedule" in found.orders[0].sentences[0]


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
    found = msgspec.json.decode(capsys.readouterr().out, type=Analysis)
    assert [space.name for space in found.spaces] == ["regnetx"]
