import html
import json
import sys
from functools import partial
from math import log2
from unittest.mock import patch

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dorsal.cli.app import main
from dorsal.findings.narrowing import propose as proposing
from dorsal.findings.narrowing.features import features, sample_more
from dorsal.findings.narrowing.propose import propose_space
from dorsal.findings.narrowing.records import StepVerdict
from dorsal.findings.narrowing.steps import members
from dorsal.findings.population.short_schedule import reliability_finding
from dorsal.report.distributions import distribution_figure
from dorsal.report.narrowing import _distributions, narrowing_page
from dorsal.report.words.narrowing import conclusions, step_change, step_sentence
from dorsal.report.words.schedule import schedule_sentence
from dorsal.space.axis import Axis
from dorsal.space.distributions import Choice, LogUniform, PowerOfTwo, PowerOfTwoOrLogUniform, Uniform
from dorsal.space.named import SPACES, read_space
from dorsal.space.refine import fix, monotone, rename, restrict, share
from dorsal.space.sample import sample
from dorsal.space.size import dimensions, size
from dorsal.space.space import Space, to_json
from dorsal.stats import ErrorIncrease, Estimate, members_cost
from dorsal.study.population import saved as population_saved
from dorsal.study.population.records import RecheckRuns
from dorsal.study.recheck import saved as recheck_saved
from tests.report.browser import assert_legible, look_at, needs_browser
from tests.study.populations import Part, level, population

DRAWS = 300


ONE = population(Part("anynetx_a", 1, level(40)))


def drawn_from(space, count, seed, bounds=None):
    """Networks of a space as they are drawn, without results."""
    found = sample(space, count, bounds, seed)
    return msgspec.structs.replace(
        ONE.spaces[0],
        space=space,
        sampling=found.sampling,
        labels=tuple(f"{space.name}/{index}" for index in range(count)),
        axes=found.axes(),
        costs={name: column.astype(float).tolist() for name, column in found.costs.items()},
    )


def within(drawn, bounds):
    """What was drawn, as if within other bounds."""
    return msgspec.structs.replace(drawn, sampling=msgspec.structs.replace(drawn.sampling, bounds=bounds))


def with_errors(*parts):
    """A population of (drawn, errors) for each space, without the networks themselves, which take long to make."""
    arm, trial = ONE.study.arms[0], ONE.study.trials[0]
    errors = {label: error for drawn, errors in parts for label, error in zip(drawn.labels, errors, strict=True)}
    arms = [msgspec.structs.replace(arm, label=label) for label in errors]
    trials = [msgspec.structs.replace(trial, key=label, score=100 - errors[label]) for label in errors]
    runs = [msgspec.structs.replace(ONE.study.runs[0], key=label, arm=label) for label in errors]
    study = msgspec.structs.replace(ONE.study, arms=tuple(arms), runs=tuple(runs), trials=tuple(trials))
    return msgspec.structs.replace(ONE, study=study, spaces=tuple(drawn for drawn, _ in parts))


def logs(values):
    return np.log2(values)


def falls(values):
    """How much a course falls, in doublings."""
    return float(np.maximum(0, -np.diff(logs(values))).sum())


def spread(values):
    return float(np.var(logs(values)))


def step(proposal, change):
    """The step of this change; one that is only asked about by its words."""
    return next(each for each in proposal.considered if step_change(each) == change)


def changes(proposal):
    return [each.change for each in proposal.considered if each.taken]


def test_finds_what_costs_nothing_and_refuses_what_costs():
    def rule(network):
        # Stages that differ in expansion are good, widths that fall are bad.
        return 40 + 2 * falls(network["widths"]) - 5 * spread(network["expansion"])

    proposal = propose_space(population(Part("anynetx_a", 400, rule), noise=1), draws=DRAWS)
    rising = step(proposal, "monotone widths")
    assert rising.taken
    assert rising.evidence == "members"
    assert rising.cost.verdict(0.5) == "gains"
    assert "gain of at least" in step_sentence(rising, proposal)
    assert f"(in it already: {rising.cost.inside} of 400 networks)" in step_sentence(rising, proposal)
    shared = step(proposal, "share expansion")
    assert not shared.taken
    # The expected variance of four draws of 0, 1, 2 is 3/4 of 2/3.
    assert shared.cost.change.low < 5 * 0.5 < shared.cost.change.high
    assert step_sentence(shared, proposal).startswith("Refused: sharing expansion changes the mean error by +2.")
    new = proposal.space
    assert new.non_decreasing[:1] == ("widths",)
    assert new.axes["expansion"].by_stage
    assert [each.change for each in new.history] == changes(proposal)
    assert proposal.points == (size(SPACES["anynetx_a"]), size(new))
    assert proposal.dimensions == (16, dimensions(new))
    assert new.name == "anynetx_a_narrow"


def test_shares_what_costs_nothing_with_enough_members():
    rule = level(40)
    proposal = propose_space(population(Part("anynetx_a", 250, rule), noise=0.8), margin=1, draws=DRAWS)
    assert "share expansion" in changes(proposal)
    assert "the margin is 1" in step_sentence(step(proposal, "share expansion"), proposal)
    assert proposal.space.axes["expansion"] == Axis(PowerOfTwo(1, 4))
    few = step(proposal, "share mixer.group_width")
    assert (few.taken, few.cost.change) == (False, None)
    assert f"(in it already: {few.cost.inside} of 250 networks; 5 in and 5 out are the least)" in step_sentence(
        few, proposal
    )


def test_without_a_sample_of_the_space_the_members_stand_alone():
    # What bounds a predicted time cannot be drawn again.
    whole = population(Part("anynetx_a", 150, lambda n: 40 + 3 * falls(n["widths"])), noise=1)
    bounded = within(whole.spaces[0], {"forward_b1_ms": "5..8"})
    alone = step(propose_space(msgspec.structs.replace(whole, spaces=(bounded,)), draws=DRAWS), "monotone widths").cost
    beside = step(propose_space(whole, draws=DRAWS), "monotone widths").cost
    errors = np.array([100 - trial.score for trial in whole.study.trials])
    inside = members(bounded.axes, monotone(bounded.space, "widths"))
    assert alone.change.value == pytest.approx(errors[inside].mean() - errors.mean())
    assert alone.change.high - alone.change.low > 1.5 * (beside.change.high - beside.change.low)


def test_a_population_of_the_narrower_space_counts_for_more_than_members():
    shared = rename(share(SPACES["anynetx_a"], "expansion"), "mine")
    # The members would say that sharing gains.
    parts = Part("anynetx_a", 100, lambda network: 40 + spread(network["expansion"])), Part(shared, 60, level(43), 1)
    proposal = propose_space(population(*parts, noise=1), "anynetx_a", draws=DRAWS)
    found = step(proposal, "share expansion")
    assert found.evidence == "population"
    assert (found.cost.inside, found.cost.outside) == (60, 100)
    assert found.cost.verdict(0.5) == "costly"
    assert "60 networks of that space against 100 of this one" in step_sentence(found, proposal)
    # Under other bounds it is no evidence.
    whole = population(*parts, noise=1)
    bounded = within(whole.spaces[1], {"macs": "..1G"})
    other = propose_space(msgspec.structs.replace(whole, spaces=(whole.spaces[0], bounded)), "anynetx_a", draws=DRAWS)
    assert step(other, "share expansion").evidence == "members"


def test_the_new_spaces_own_population_is_what_comes_after(followed):
    proposal = propose_space(followed, "anynetx_c", margin=0, draws=DRAWS)
    assert changes(proposal) == ["monotone widths"]
    assert proposal.after.edf.n == 50
    assert proposal.before.edf.n == 200


def test_a_range_that_matters():
    proposal = propose_space(
        population(Part("regnetx_pycls", 200, lambda n: 30 + 0.6 * max(0, n["linear.depth"] - 15)), noise=0.5),
        draws=DRAWS,
    )
    (change,) = changes(proposal)
    low, high = (proposal.space.axes["linear.depth"].draw.low, proposal.space.axes["linear.depth"].draw.high)
    assert change == f"restrict linear.depth to {low}..{high}"
    assert low == 12
    assert 14 <= high <= 20
    found = step(proposal, change)
    assert (found.kind, found.evidence) == ("range", "members")
    assert found.adjusted_p < 0.05
    assert found.good_range.high == high
    assert step_sentence(found, proposal).startswith("linear.depth matters")
    others = [each for each in proposal.considered if each is not found]
    assert all(each.adjusted_p > 0.05 and each.cost is None for each in others)
    assert all("may be chance" in step_sentence(each, proposal) for each in others)
    depths = drawn_from(SPACES["regnetx_pycls"], 200, 0).axes["linear.depth"]
    assert found.cost.inside == proposal.after.edf.n == sum(depth <= high for depth in depths)


def test_ends_of_an_axis_by_stage_hold_in_all_stages():
    proposal = propose_space(
        population(Part("anynetx_e", 200, lambda n: 30 + 3 * max(0, 5 - log2(min(n["widths"])))), noise=0.3),
        draws=DRAWS,
    )
    draw = proposal.space.axes["widths"].draw
    assert isinstance(draw, LogUniform)
    assert 16 <= draw.low <= 40
    assert draw.high == 1024
    drawn = drawn_from(SPACES["anynetx_e"], 200, 0)
    inside = members(drawn.axes, restrict(drawn.space, "widths", low=draw.low))
    assert inside == [min(widths) >= draw.low for widths in drawn.axes["widths"]]


def test_a_value_is_left_out_with_the_axes_under_it():
    def rule(network):
        return 30 + 4 * ("split_attention" in network["mixer"]) + 4 * (network["activation"] == "relu")

    # Of 27 ranges, none can be shown to matter by fewer draws.
    proposal = propose_space(population(Part("crossed", 200, rule), noise=1), draws=2000)
    assert "restrict mixer to [conv, multi_scale, selective_kernel]" in changes(proposal)
    assert "restrict activation to [silu, mish]" in changes(proposal)
    new = proposal.space
    assert not {"mixer.radix", "mixer.cardinality"} & set(new.axes)
    assert {"mixer.group_width", "mixer.scales", "mixer.inner", "mixer.paths"} <= set(new.axes)
    networks = list(sample(new, 20).networks())
    assert all(network.activation in ("silu", "mish") for network in networks)


def test_a_step_on_an_axis_that_is_never_drawn_any_more_is_left_out():
    where = {"attention": ("squeeze_excite",)}
    space = Space(
        name="mine",
        base="regnetx_002",
        axes={
            "attention": Axis(Choice(("none", "squeeze_excite"))),
            "attention.ratio": Axis(Choice((0.0625, 0.25, 0.5)), when=where),
            "depths": Axis(Uniform(1, 8), by_stage=True),
            "widths": Axis(LogUniform(8, 256, 8), by_stage=True),
        },
    )

    def rule(network):
        ratio = network["attention.ratio"]
        return 30 if ratio is None else 40 + 9 * (ratio == 0.5) + 3 * (ratio == 0.25)

    proposal = propose_space(population(Part(space, 300, rule), noise=0.3), draws=DRAWS)
    assert "restrict attention to [none]" in changes(proposal)
    ratio = step(proposal, "restrict attention.ratio to [0.0625]")
    assert not ratio.taken
    assert ratio.cost.verdict(0.5) == "gains"
    assert ratio.dropped
    assert step_sentence(ratio, proposal).endswith("with other steps attention.ratio is never drawn.")
    assert "attention.ratio" not in proposal.space.axes


def test_a_small_population_is_too_small_to_say():
    proposal = propose_space(population(Part("anynetx_a", 12, lambda n: 40 + falls(n["widths"])), noise=2), draws=DRAWS)
    assert proposal.space is None
    assert proposal.after is None
    assert proposal.points[0] == proposal.points[1]
    rising = step(proposal, "monotone widths")
    assert rising.cost.change is None
    said = step_sentence(rising, proposal)
    assert said.startswith("Too small to say what non-decreasing widths costs (")
    assert "; if it costs nothing, roughly " in said
    assert said.endswith(" networks of each space would show it.")
    assert 20 < rising.needed.low < rising.needed.value < rising.needed.high
    assert "Nothing is proposed: of 12 steps considered, 12 finished networks show none" in conclusions(proposal)[0]


def test_the_number_needed_is_about_enough():
    random = np.random.default_rng(0)
    drawn = drawn_from(SPACES["anynetx_a"], 60, 0)
    first = propose_space(with_errors((drawn, random.normal(40, 1.5, 60))), margin=1, draws=DRAWS)
    needed = step(first, "monotone depths").needed.value
    ordered = monotone(rename(SPACES["anynetx_a"], "b"), "depths")
    both = [drawn_from(space, needed, 0) for space in (SPACES["anynetx_a"], ordered)]
    shown = 0
    for _ in range(20):
        whole = with_errors(*((each, random.normal(40, 1.5, needed)) for each in both))
        with patch.object(proposing, "sample_more", lambda *_: None):  # of no use beside a population, and slow
            shown += step(propose_space(whole, "anynetx_a", margin=1, draws=DRAWS), "monotone depths").taken
    assert shown >= 12  # 80 %, or fewer with a chance of 1 in 100


def test_missing_networks_are_counted_and_left_out():
    whole = population(
        Part("anynetx_a", 100, level(40)),
        diverged=["anynetx_a/0", "anynetx_a/1"],
        failed=["anynetx_a/2"],
        waiting=["anynetx_a/3"],
    )
    proposal = propose_space(whole, draws=DRAWS)
    counts = proposal.counts
    assert (counts.finished, counts.diverged, counts.failed, counts.waiting) == (96, 2, 1, 1)
    assert proposal.before.edf.n == 96
    said = " ".join(conclusions(proposal))
    assert "diverged (2) or failed (1)" in said
    assert "1 network not trained to the end yet" in said
    share_cost = step(proposal, "share expansion").cost
    assert share_cost.inside + share_cost.outside == 96


def test_without_any_result_nothing_is_proposed():
    whole = population(Part("anynetx_a", 5, level(40)), waiting=[f"anynetx_a/{index}" for index in range(5)])
    proposal = propose_space(whole)
    assert conclusions(proposal)[0] == "Nothing is proposed: no network of anynetx_a has finished."
    assert (proposal.considered, proposal.before, proposal.space) == ((), None, None)


@pytest.mark.parametrize(
    ("better", "noise", "said"),
    [
        (0, 0, "half of 45 finished networks have an error of 70.00 to 70.00 %"),
        (5, 0, "half of 45 finished networks have an error of 70.00 to 70.00 %"),
        (0, 0.1, "half of 45 finished networks have an error of 69.9"),
    ],
)
def test_errors_that_are_alike_propose_nothing(better, noise, said):
    drawn = drawn_from(SPACES["anynetx_a"], 45, 0)
    errors = np.where(np.arange(45) < better, 40, 70 - noise * np.random.default_rng(0).random(45))
    proposal = propose_space(with_errors((drawn, errors)), draws=DRAWS)
    assert (proposal.considered, proposal.space, proposal.after) == ((), None, None)
    assert conclusions(proposal)[0].startswith(f"Nothing is proposed: {said}")
    assert (
        "within the margin of 0.5, so the schedule or the data can hardly tell them apart" in conclusions(proposal)[0]
    )


def test_a_narrow_interval_has_three_decimals():
    tiny = ErrorIncrease(change=Estimate(value=1e-15, low=-1e-14, high=1e-14), inside=30, outside=30, missing=0)
    shared = StepVerdict(kind="share", axis="expansion", change="share expansion", taken=True, cost=tiny)
    proposal = propose_space(ONE)
    assert "sharing expansion changes the mean error by +0.000 points, +0.000 at most" in step_sentence(
        shared, proposal
    )


@pytest.mark.parametrize("longer", [True, False])
def test_what_reliability_found_of_this_space_is_said(longer):
    whole = population(Part("anynetx_a", 40, level(40)), Part("anynetx_e", 40, level(40)), noise=2)
    labels = tuple(label for drawn in whole.spaces[not longer :] for label in drawn.labels[:12])
    errors = np.random.default_rng(0).normal(40, 1, len(labels))
    runs = tuple(((error,), (error - 5,)) for error in errors.tolist())  # the order holds
    retrained = RecheckRuns(labels=labels, budgets=("10 epochs", "50 epochs"), runs=runs)
    said = conclusions(propose_space(whole, "anynetx_a", retrained=retrained, draws=DRAWS))[-1]
    own = RecheckRuns(labels=labels[:12], budgets=retrained.budgets, runs=runs[:12]) if longer else None
    assert said == schedule_sentence(reliability_finding(own, {"anynetx_a": whole.spaces[0].labels}, 10))
    assert said.startswith("Unverified: nothing shows that a schedule of 10 epochs") is not longer


def test_it_is_a_pure_function_that_can_be_written():
    whole = population(Part("anynetx_a", 150, lambda n: 40 + 3 * falls(n["widths"])), noise=1)
    first, second = propose_space(whole, draws=DRAWS), propose_space(whole, draws=DRAWS)
    assert first == second
    assert json.loads(msgspec.json.encode(first))["space"]["name"] == "anynetx_a_narrow"
    assert propose_space(whole, name="b", draws=DRAWS).space.name == "b"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "say which to narrow: anynetx_a, anynetx_b"),
        ({"space": "anynetx_c"}, "space='anynetx_c' is not in this population.*anynetx_"),
        ({"space": "anynetx_a", "margin": -1}, "margin=-1 must be at least 0"),
        ({"space": "anynetx_a", "margin": float("nan")}, "margin=nan"),
        ({"space": "anynetx_a", "confidence": 0.2}, "confidence=0.2 must be above 0.5"),
        ({"space": "anynetx_a", "draws": 3}, "draws=3"),
    ],
)
def test_bad_arguments_are_named(arguments, said):
    both = population(Part("anynetx_a", 25, level(40)), Part("anynetx_b", 25, level(40)))
    with pytest.raises(ValueError, match=said):
        propose_space(both, **arguments)


NARROWED = {
    "shared": share(SPACES["anynetx_a"], "expansion"),
    "rising": monotone(SPACES["anynetx_a"], "widths"),
    "restricted": restrict(SPACES["anynetx_a"], "widths", low=64, high=512),
    "values": restrict(SPACES["anynetx_a"], "depths", values=(1, 2, 3, 5, 8)),
    "fixed": fix(SPACES["crossed"], "mixer", "multi_scale"),
    "conditional": restrict(SPACES["crossed"], "mixer", values=("conv", "split_attention")),
    "linear": restrict(SPACES["regnetx"], "linear.wa", low=8.1, high=64.3),
}


@given(st.sampled_from(sorted(NARROWED)), st.integers(0, 50))
@settings(max_examples=10, deadline=None)
def test_members_are_what_the_narrower_space_can_draw(name, seed):
    narrower = NARROWED[name]
    whole = SPACES[narrower.name]
    drawn = drawn_from(whole, 200, seed)
    assert all(members(drawn.axes, whole))
    assert not all(members(drawn.axes, narrower))
    # A network of the narrower space is a member, as a network of the whole: a shared value is that of four stages.
    own = drawn_from(narrower, 10, seed)
    shared = {axis: [[value] * 4 for value in own.axes[axis]] for axis in own.axes if is_shared(whole, narrower, axis)}
    assert all(members({**own.axes, **shared}, narrower))


def is_shared(whole, narrower, axis):
    return whole.axes[axis].by_stage and not narrower.axes[axis].by_stage


def test_features_by_hand():
    space = Space(
        name="mine",
        base="regnetx_002",
        axes={
            "stages": Axis(Uniform(1, 4)),
            "depths": Axis(Uniform(1, 8), by_stage=True),
            "widths": Axis(LogUniform(8, 256, 8), by_stage=True),
            "mixer": Axis(Choice(("conv", "split_attention")), by_stage=True),
        },
    )
    axes = {
        "stages": [4, 2],
        "depths": [[2, 1, 3, 4], [6, 5, None, None]],
        "widths": [[8, 16, 32, 64], [8, 8, None, None]],
        "mixer": [["conv", "conv", "split_attention", "conv"], ["split_attention", "conv", None, None]],
    }
    costs = {"macs": [1.0, 10.0], "params": [1.0, 1.0], "activations": [1.0, 100.0]}
    first, second = features(space, axes, costs).tolist()
    one = np.log(8)
    wide = [one + step * np.log(2) for step in range(4)]
    assert first == pytest.approx(
        [
            *(0, 0, 0, 1, 4, 16, 16),
            *(1, 1, 1, 1, 2, 1, 3, 4, 30 / 4, -1),
            *(1, 1, 1, 1, *wide, np.mean(np.square(wide)), 0),
            *(1, 1, 0, 1, 0, 0, 1, 0, 9 / 16 + 1 / 16),
        ]
    )
    assert second == pytest.approx(
        [
            *(np.log(10), 0, np.log(100), 1, 2, 4, 4),
            *(1, 1, 0, 0, 6, 5, 0, 0, 61 / 4, -1),
            *(1, 1, 0, 0, one, one, 0, 0, one**2 / 2, 0),
            *(0, 1, 0, 0, 1, 0, 0, 0, 1 / 16 + 1 / 16),
        ]
    )
    # Where a narrower space shares an axis, or lacks one, it is as if all stages agreed, or none had it.
    narrower = {**axes, "depths": [7, 7]}
    del narrower["mixer"]
    assert features(space, narrower, costs)[1].tolist() == pytest.approx(
        [*second[:7], 1, 1, 0, 0, 7, 7, 0, 0, 98 / 4, 0, *second[17:27], *[0] * 9]
    )


@pytest.mark.parametrize("name", ["anynetx_a", "crossed", "regnetx"])
def test_samples_of_a_space_have_the_features_of_its_populations(name):
    drawn = drawn_from(SPACES[name], 400, 5, {"macs": "20M..2G"})
    own, found = features(drawn.space, drawn.axes, drawn.costs), sample_more(drawn.space, drawn, 0)
    assert len(found.features) == 3000
    assert own.shape[1] == found.features.shape[1]
    error = np.sqrt(own.var(axis=0) * (1 / 400 + 1 / 3000))
    assert np.all(np.abs(own.mean(axis=0) - found.features.mean(axis=0)) <= 4.5 * error + 1e-9)


def test_no_sample_where_the_bounds_leave_nothing_to_draw():
    drawn = drawn_from(SPACES["anynetx_a"], 20, 0)
    for bounds in ({"macs": "1000G.."}, {"forward_b1_ms": "..8"}):
        assert sample_more(drawn.space, within(drawn, bounds), 0) is None


def test_samples_of_a_small_space_are_as_likely_as_its_networks():
    # Different points of so few would be none of the likely ones: a step of no cost would seem to have one.
    axes = {"head_width": Axis(PowerOfTwoOrLogUniform(8, 1024, 32)), "depths": Axis(Uniform(1, 4), by_stage=True)}
    space = Space(name="mine", base="regnetx_002", axes=axes)
    whole = population(Part(space, 150, lambda n: 40 + abs(n["head_width"] - 700) / 40), noise=0.1)
    found = step(propose_space(whole, draws=DRAWS), "monotone depths")
    assert found.cost.change.low < 0 < found.cost.change.high


def test_which_steps_are_considered():
    space = Space(
        name="mine",
        base="regnetx_002",
        axes={
            "widths": Axis(Choice((64, 128, 256)), by_stage=True),
            "depths": Axis(Choice((2,)), by_stage=True),
            "mixer": Axis(Choice(("conv", "split_attention")), by_stage=True),
            "mixer.radix": Axis(PowerOfTwo(1, 4), by_stage=True, when={"mixer": ("split_attention",)}),
            "expansion": Axis(Choice((1, 2)), by_stage=True),
            "head_width": Axis(PowerOfTwoOrLogUniform(8, 256, 32)),
        },
    )
    considered = propose_space(population(Part(space, 60, level(40)), noise=1), draws=DRAWS).considered
    # Depths have one value; radix cannot be shared while stages differ in mixer; widths are not asked to be equal.
    assert [each.change for each in considered if each.kind != "range"] == [
        "share mixer",
        "share expansion",
        "monotone widths",
    ]
    assert [each.axis for each in considered if each.kind == "range"] == (
        ["widths"] * 3 + ["mixer"] * 2 + ["mixer.radix"] * 2 + ["expansion"] * 2 + ["head_width"]
    )


def test_ends_that_must_be_powers_of_two_are_moved_outward():
    axes = {"head_width": Axis(PowerOfTwoOrLogUniform(8, 1024, 32)), "depths": Axis(Uniform(1, 4), by_stage=True)}
    space = Space(name="mine", base="regnetx_002", axes=axes)
    whole = population(Part(space, 150, lambda n: 40 + abs(n["head_width"] - 700) / 40), noise=0.1)
    assert changes(propose_space(whole, draws=DRAWS, margin=0)) == ["restrict head_width to 512..1024"]


@pytest.fixture(scope="module")
def many():
    """Networks of AnyNetX_A to make populations of."""
    return drawn_from(SPACES["anynetx_a"], 10_000, 1)


def taken_of(drawn, rows):
    """Only these of the networks."""
    columns = {
        field: {name: [column[row] for row in rows] for name, column in getattr(drawn, field).items()}
        for field in ("axes", "costs")
    }
    return msgspec.structs.replace(drawn, labels=drawn.labels[: len(rows)], **columns)


def populations_of(truth, noise, networks, count):
    """Rows of so many networks, and their errors, for each population."""
    for state in range(count):
        random = np.random.default_rng([state, 1])  # not the stream of the permutations
        rows = random.choice(len(truth), networks, replace=False)
        yield rows, truth[rows] + noise(random, truth[rows])


def skewed(random, truth):
    return random.gamma(2, 1 / np.sqrt(2), len(truth)) - np.sqrt(2)


def rising(random, truth):
    """Skewed, and the more variable the higher the errors are."""
    return skewed(random, truth) * np.exp(0.25 * (truth - truth.mean()) / truth.std())


def normal(random, truth):
    return random.standard_normal(len(truth))


def range_proposals(drawn, truth, noise, networks, populations):
    """With the ranges alone."""
    with (
        patch.object(proposing, "shares", lambda _: []),
        patch.object(proposing, "order_steps", lambda _: []),
        patch.object(proposing, "sample_more", cache_of(sample_more)),
    ):
        for rows, errors in populations_of(truth, noise, networks, populations):
            yield propose_space(with_errors((taken_of(drawn, rows), errors)), draws=400)


def cache_of(function):
    """The function of a space, which is asked once for each."""
    found = {}

    def asked(space, *rest):
        key = to_json(space)
        if key not in found:
            found[key] = function(space, *rest)
        return found[key]

    return asked


SIMULATED = pytest.mark.parametrize(
    # 5 % are allowed; more than so many would come with a chance below 1 in 500.
    ("populations", "most"),
    [(20, 0.25), pytest.param(400, 0.09, marks=pytest.mark.slow)],
)


@SIMULATED
def test_where_nothing_matters_no_axis_is_said_to(many, populations, most):
    wrong = [
        any(each.adjusted_p <= 0.05 for each in proposal.considered)
        for proposal in range_proposals(many, np.full(10_000, 40.0), skewed, 50, populations)
    ]
    assert np.mean(wrong) <= most


@SIMULATED
def test_a_range_of_the_best_that_costs_the_mean_is_rarely_taken(many, populations, most):
    # More depth is worse in the mean, by more than the margin, but spreads: the best are deep.
    depth = np.array([min(depths) for depths in many.axes["depths"]]) / 4

    def noise(random, truth):
        return (0.5 + 2.5 * (truth - 40) / 1.5) * random.standard_normal(len(truth))

    wrong = [
        any(each.taken for each in proposal.considered if each.axis == "depths")
        for proposal in range_proposals(many, 40 + 1.5 * depth, noise, 100, populations)
    ]
    assert np.mean(wrong) <= most


def agree(values):
    return len(set(values)) == 1


def in_order(values):
    return values == sorted(values)


STEPS = {
    "share expansion": (share(SPACES["anynetx_a"], "expansion"), spread, agree),
    "share mixer.group_width": (share(SPACES["anynetx_a"], "mixer.group_width"), spread, agree),
    "monotone widths": (monotone(SPACES["anynetx_a"], "widths"), falls, in_order),
    "monotone depths": (monotone(SPACES["anynetx_a"], "depths"), falls, in_order),
}
"""The steps of AnyNetX_A but for ranges: the narrower space, how far from it the values of its axis are, and whether
they lie in it."""


def tables_of(drawn):
    """For each of `STEPS` what a regression sees of the networks, and of samples of the two spaces."""
    own, whole = features(drawn.space, drawn.axes, drawn.costs), sample_more(drawn.space, drawn, 0)
    tables = {}
    for change, (narrower, *_) in STEPS.items():
        new = np.insert(sample_more(narrower, drawn, 0).features, 0, 1.0, axis=1)
        old = np.column_stack([members(whole.axes, narrower), whole.features])
        tables[change] = np.column_stack([members(drawn.axes, narrower), own]), new, old
    return tables


@pytest.fixture(scope="module")
def tables(many):
    return tables_of(many)


def simulated_costs(tables, *populations):
    """The costs of all `STEPS` that `propose_space` finds in each of the populations, without making it."""
    level = 1 - 2 * 0.05 / len(STEPS)
    for rows, errors in populations_of(*populations):
        yield {
            change: members_cost(errors, table[rows], new, old, confidence=level)
            for change, (table, new, old) in tables.items()
        }


def is_taken(cost):
    return cost.verdict(0.5) in ("gains", "harmless")


def test_simulated_costs_are_those_proposed(many, tables):
    truth = np.array([40 + 2 * falls(widths) for widths in many.axes["widths"]])
    (found,) = simulated_costs(tables, truth, normal, 150, 1)
    ((rows, errors),) = populations_of(truth, normal, 150, 1)
    proposal = propose_space(with_errors((taken_of(many, rows), errors)), draws=DRAWS)
    for change, cost in found.items():
        considered = step(proposal, change)
        assert (considered.cost.inside, considered.taken) == (cost.inside, is_taken(cost))
        if cost.change is not None:
            assert considered.cost.change.high == pytest.approx(cost.change.high)


def at_the_margin(many, jump, of_group_width=3):
    """Errors of which each of the four steps costs just the margin: in proportion to how far a network is from the
    narrower space, or at the members alone, of which nothing else tells. The mean group width matters too, which no
    step moves."""
    truth = 45 + of_group_width * np.mean(logs(np.array(many.axes["mixer.group_width"])), axis=1)
    for change, (_, departure, belongs) in STEPS.items():
        values = many.axes[change.split()[1]]
        each = np.array([(belongs if jump else departure)(value) for value in values], dtype=float)
        truth += 0.5 * (each / (1 - each.mean()) if jump else -each / each.mean())
    return truth


@pytest.mark.parametrize(
    ("populations", "most", "networks", "jump"),
    [
        (60, 0.17, 100, True),
        *(
            pytest.param(500, 0.085, networks, jump, marks=pytest.mark.slow)
            for networks in (60, 100, 300)
            for jump in (False, True)
        ),
    ],
)
def test_what_costs_the_margin_is_rarely_taken(many, tables, populations, most, networks, jump):
    """Any of the four is wrong to take."""
    costs = simulated_costs(tables, at_the_margin(many, jump), rising, networks, populations)
    assert np.mean([any(map(is_taken, each.values())) for each in costs]) <= most


@pytest.mark.slow
def test_members_that_vary_more_than_others_are_taken_more_often(many, tables):
    """The limit of the promise: where hardly anything but membership matters, the noise of members is 1.8 times that of
    others, and skewed. 8 % were taken."""
    costs = simulated_costs(tables, at_the_margin(many, jump=True, of_group_width=0), rising, 300, 500)
    assert np.mean([any(map(is_taken, each.values())) for each in costs]) <= 0.12


POWER = {  # percent, for 100, 200 and 300 networks, at a margin of 0.5 and at one of 1
    "share expansion": ((1, 13, 19), (8, 44, 63)),
    "share mixer.group_width": ((0, 0, 0), (0, 0, 0)),
    "monotone widths": ((5, 22, 35), (17, 64, 84)),
    "monotone depths": ((9, 31, 48), (37, 80, 96)),
}


@pytest.mark.slow
@pytest.mark.parametrize("column", [0, 1, 2])
def test_what_costs_nothing_is_taken_as_often_as_the_docs_say(many, tables, column):
    """docs/narrowing.md, from 300 populations; here 100, to within three standard errors of both."""
    costs = list(simulated_costs(tables, np.full(len(many.labels), 45.0), normal, (100, 200, 300)[column], 100))
    for change, shares in POWER.items():
        for margin, percents in zip((0.5, 1), shares, strict=True):
            expected = max(percents[column] / 100, 0.01)
            taken = np.mean([each[change].verdict(margin) in ("gains", "harmless") for each in costs])
            assert taken == pytest.approx(expected, abs=3 * np.sqrt(expected * (1 - expected) * (1 / 100 + 1 / 300)))


def by_macs(drawn):
    return 60 - 8 * np.log10(np.array(drawn.costs["macs"]) / 1e8)


def by_two_stages(drawn):
    widths = logs(np.array(drawn.axes["widths"]))
    return 40 + 0.7 * (widths[:, 2] - widths[:, 1])


def by_agreement(axis):
    return lambda drawn: np.array([40 + 3.0 * (not isinstance(each, list) or agree(each)) for each in drawn.axes[axis]])


@pytest.mark.parametrize(("populations", "missed"), [(20, 3), pytest.param(200, 12, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("change", "rule", "bounds", "noise", "networks"),
    [
        pytest.param("monotone widths", by_macs, {"macs": "20M..400M"}, 1, 100, marks=pytest.mark.slow),
        ("monotone widths", by_macs, {"macs": "20M..400M"}, 1, 200),
        pytest.param("monotone widths", by_macs, {}, 1, 200, marks=pytest.mark.slow),
        ("monotone widths", by_two_stages, {}, 0.5, 200),
        pytest.param("share expansion", by_agreement("expansion"), {}, 1, 300, marks=pytest.mark.slow),
        pytest.param("share mixer.group_width", by_agreement("mixer.group_width"), {}, 1, 300, marks=pytest.mark.slow),
    ],
)
def test_the_cost_is_that_of_the_narrower_space(change, rule, bounds, noise, networks, populations, missed):
    """The bounds move MACs along, single stages matter, or nothing does but being a member."""
    whole = drawn_from(SPACES["anynetx_a"], 10_000, 1, bounds)
    truth = rule(whole)
    cost = rule(drawn_from(STEPS[change][0], 10_000, 2, bounds)).mean() - truth.mean()
    assert cost > 0.9
    found = simulated_costs(tables_of(whole), truth, lambda *given: noise * normal(*given), networks, populations)
    costs = [each[change] for each in found]
    assert not any(map(is_taken, costs))
    known = [each.change for each in costs if each.change is not None]
    assert sum(not change.low <= cost <= change.high for change in known) <= missed
    assert len(known) >= populations / 2 or change == "share mixer.group_width"


@pytest.fixture
def narrow(monkeypatch, capsys):
    """Calls `dorsal space narrow` on a population and returns (exit code, stdout, stderr)."""

    def run(whole, *words, retrained=None):
        monkeypatch.setattr(population_saved, "load_population", lambda *_: whole)
        monkeypatch.setattr(recheck_saved, "load_recheck", lambda *_: retrained)
        monkeypatch.setattr(proposing, "propose_space", partial(propose_space, draws=DRAWS))
        monkeypatch.setattr(sys, "argv", ["dorsal", "space", "narrow", "runs/x", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    return run


@pytest.fixture(scope="module")
def falling():
    return population(Part("anynetx_a", 150, lambda n: 40 + 3 * falls(n["widths"])), noise=1)


def test_the_command_shows_and_writes_the_next_space(narrow, falling, tmp_path):
    out = tmp_path / "next.toml"
    code, shown, _ = narrow(falling, "--out", out)
    assert code == 0
    assert "monotone widths" in shown
    assert "non-decreasing widths changes the mean error by" in " ".join(shown.split())
    assert f"next in {out}" in shown
    space = read_space(str(out))
    assert space.name == "next"
    assert "widths" in space.non_decreasing
    assert space == propose_space(falling, name="next", draws=DRAWS).space
    assert [each.name for each in tmp_path.iterdir()] == ["next.toml"]
    assert f"next in {out} (replaced)" in narrow(falling, "--out", out)[1]
    rows = [line.split() for line in shown.splitlines() if "anynetx_a" in line and "150" in line]
    assert rows[0][3] == "150"


def test_the_command_says_what_reliability_found(narrow, falling):
    labels = falling.spaces[0].labels[:12]
    runs = tuple(((40.0 + index,), (35.0 + index,)) for index in range(12))
    retrained = RecheckRuns(labels=labels, budgets=("10 epochs", "50 epochs"), runs=runs)
    code, shown, _ = narrow(falling, retrained=retrained)
    said = conclusions(propose_space(falling, retrained=retrained, draws=DRAWS))[-1]
    assert code == 0
    assert "50 epochs" in said
    assert " ".join(shown.split()).endswith(said)
    _, without, _ = narrow(falling)
    assert "Unverified: nothing shows that a schedule of 10 epochs" in " ".join(without.split())


def test_the_command_prints_json(narrow, falling):
    code, shown, _ = narrow(falling, "--json", "--margin", "2", "--space", "anynetx_a")
    read = json.loads(shown)
    assert code == 0
    assert read["margin"] == 2
    assert read["counts"]["finished"] == 150
    assert read["before"]["edf"]["n"] == len(read["before"]["band"]["values"]) == 150
    assert any(each["taken"] for each in read["considered"])


def test_the_command_says_that_it_proposes_nothing(narrow, tmp_path):
    out = tmp_path / "next.toml"
    code, shown, _ = narrow(population(Part("regnetx_pycls", 30, level(40))), "--out", out)
    assert code == 0
    assert "Nothing is proposed: of 5 steps considered" in shown
    assert f"{out} is not written" in " ".join(shown.split())
    assert not out.exists()


@pytest.fixture(scope="module")
def followed():
    """A space with a population of the next one."""
    rising = rename(monotone(SPACES["anynetx_c"], "widths"), "d")
    return population(
        Part("anynetx_c", 200, lambda n: 40 + falls(n["widths"])), Part(rising, 50, level(39), 1), noise=0.5
    )


def test_the_command_draws_what_was_before_and_after(narrow, followed, tmp_path):
    page = tmp_path / "new" / "page.html"
    code, shown, _ = narrow(followed, "--space", "anynetx_c", "--margin", "0", "--plot", page)
    assert (code, f"page: {page}" in shown) == (0, True)
    text, proposal = page.read_text(), propose_space(followed, "anynetx_c", margin=0, draws=DRAWS)
    assert all(html.escape(sentence).split(" %")[0] in text for sentence in conclusions(proposal))
    assert all(f'<th scope="row">{html.escape(step_change(step))}</th>' in text for step in proposal.considered)
    figure = distribution_figure(_distributions(proposal))
    before, after = (trace for trace in figure.data if trace.hoverinfo != "skip")
    assert len(before.x) == proposal.before.edf.n + 2
    assert len(after.x) == proposal.after.edf.n + 2 == 52


@needs_browser
@pytest.mark.parametrize("width", [390, pytest.param(1280, marks=pytest.mark.slow)])
def test_the_page_is_legible(followed, width, tmp_path):
    seen = look_at(narrowing_page(propose_space(followed, "anynetx_c", margin=0, draws=DRAWS)), width, tmp_path)
    assert_legible(seen)
    assert (seen["lines"], seen["title"]) == (2 + 4, "anynetx_c, narrowed")  # curves, and edges of bands


def test_the_command_names_what_is_wrong(narrow, falling):
    code, _, said = narrow(falling, "--plot", "page.png")
    assert (code, "plot='page.png' must end in .html; nearest valid: 'page.html'" in said) == (2, True)
    code, _, said = narrow(falling, "--out", "next.json")
    assert (code, "must end in .toml" in said) == (2, True)
    code, _, said = narrow(falling, "--space", "anynetx_e")
    assert (code, "space='anynetx_e' is not in this population" in said) == (2, True)
    assert len(said.strip().splitlines()) == 1
