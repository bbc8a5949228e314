import html
import json
import sys
from math import log2

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dorsal.cli import main
from dorsal.report.distributions import distribution_figure
from dorsal.report.narrowing import _distributions, narrowing_page
from dorsal.space.axis import Axis
from dorsal.space.count import dimensions, size
from dorsal.space.draw import Choice, LogUniform, PowerOfTwo, PowerOfTwoOrLogUniform, Uniform
from dorsal.space.named import SPACES, read_space
from dorsal.space.narrow import fix, monotone, rename, restrict, share
from dorsal.space.sample import sample
from dorsal.space.space import Space
from dorsal.study.narrowing.propose import propose
from dorsal.study.narrowing.steps import courses, members
from dorsal.study.population import saved as population_saved
from tests.report.browser import assert_legible, look_at, needs_browser
from tests.study.populations import Part, level, population

DRAWS = 300


ONE = population(Part("anynetx_a", 1, level(40)))


def drawn_from(space, count, seed):
    """Networks of a space as they are drawn, without results."""
    found = sample(space, count, seed=seed)
    return msgspec.structs.replace(
        ONE.spaces[0],
        space=space,
        labels=tuple(f"{space.name}/{index}" for index in range(count)),
        axes=found.axes(),
        costs={"macs": found.costs["macs"].astype(float).tolist()},
    )


def with_errors(*parts):
    """A population of (drawn, errors) for each space, without the networks themselves, which take long to make."""
    arm, trial = ONE.study.arms[0], ONE.study.trials[0]
    errors = {label: error for drawn, errors in parts for label, error in zip(drawn.labels, errors, strict=True)}
    arms = [msgspec.structs.replace(arm, label=label) for label in errors]
    trials = [msgspec.structs.replace(trial, arm=label, accuracy=100 - errors[label]) for label in errors]
    study = msgspec.structs.replace(ONE.study, arms=tuple(arms), trials=tuple(trials))
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
    return next(each for each in proposal.considered if each.change == change)


def changes(proposal):
    return [each.change for each in proposal.considered if each.taken]


def test_finds_what_costs_nothing_and_refuses_what_costs():
    def rule(network):
        # Stages that differ in expansion are good, widths that fall are bad.
        return 40 + 2 * falls(network["widths"]) - 3 * spread(network["expansion"])

    proposal = propose(population(Part("anynetx_a", 400, rule), noise=1), draws=DRAWS)
    rising = step(proposal, "monotone widths")
    assert rising.taken
    assert rising.evidence == "regression"
    assert rising.cost.verdict(0.5) == "gains"
    assert "gain of at least" in rising.sentence
    # What the members say alone is less precise, and agrees.
    assert rising.direct.change.low < rising.cost.change.value < rising.direct.change.high
    assert f"of the {rising.direct.inside} that have it already" in rising.sentence
    shared = step(proposal, "share expansion")
    assert not shared.taken
    assert shared.evidence == "regression"
    # The expected variance of four draws of 0, 1, 2 is 3/4 of 2/3.
    assert shared.cost.change.low < 3 * 0.5 < shared.cost.change.high
    assert shared.sentence.startswith("Refused: sharing expansion changes the mean error by +1.")
    new = proposal.space
    assert new.non_decreasing[:1] == ("widths",)
    assert new.axes["expansion"].by_stage
    assert [each.change for each in new.history] == changes(proposal)
    assert proposal.points == (size(SPACES["anynetx_a"]), size(new))
    assert proposal.dimensions == (16, dimensions(new))
    assert new.name == "anynetx_a_narrow"


def test_shares_what_costs_nothing_with_enough_networks():
    proposal = propose(population(Part("anynetx_a", 250, level(40)), noise=0.8), margin=0.5, draws=DRAWS)
    assert {"share expansion", "share mixer.group_width"} <= set(changes(proposal))
    assert "the margin is 0.5" in step(proposal, "share expansion").sentence
    assert proposal.space.axes["mixer.group_width"] == Axis(PowerOfTwo(1, 32))


def test_what_stages_do_each_alone_is_no_cost_of_sharing():
    # A valley for each stage, which sharing neither deepens nor fills: the mean error stays the same.
    drawn = drawn_from(SPACES["anynetx_a"], 150, 0)
    truth = [40 + 2 * np.mean((logs(widths) - 2) ** 2) for widths in drawn.axes["mixer.group_width"]]
    random = np.random.default_rng(0)
    whole = [with_errors((drawn, truth + random.normal(0, 1, 150))) for _ in range(5)]
    found = [step(propose(each, draws=DRAWS), "share mixer.group_width").cost.change for each in whole]
    assert all(change.low < 0 < change.high for change in found)
    assert abs(np.mean([change.value for change in found])) < 0.15


def test_members_that_cost_overrule_a_regression_that_does_not_fit():
    # Only networks whose stages all agree are bad, one in 27, which a line can hardly say.
    drawn = drawn_from(SPACES["anynetx_a"], 700, 0)
    truth = [40 + 3 * (len(set(values)) == 1) for values in drawn.axes["expansion"]]
    errors = truth + np.random.default_rng(0).normal(0, 1, 700)
    found = step(propose(with_errors((drawn, errors)), margin=1, draws=DRAWS), "share expansion")
    assert found.evidence == "regression"
    assert found.cost.verdict(1) == "harmless"
    assert found.direct.verdict(1) == "costly"
    assert not found.taken
    assert found.sentence.startswith("Refused: sharing expansion changes the mean error by more than the margin of 1 (")


def test_a_population_of_the_narrower_space_counts_for_more_than_members():
    shared = rename(share(SPACES["anynetx_a"], "expansion"), "mine")
    # The regression would say that sharing gains.
    parts = Part("anynetx_a", 100, lambda network: 40 + spread(network["expansion"])), Part(shared, 60, level(43), 1)
    proposal = propose(population(*parts, noise=1), "anynetx_a", draws=DRAWS)
    found = step(proposal, "share expansion")
    assert found.evidence == "population"
    assert (found.cost.inside, found.cost.outside) == (60, 100)
    assert found.cost.verdict(0.5) == "costly"
    assert "60 networks of that space against 100 of this one" in found.sentence
    # Under other bounds it is no evidence.
    whole = population(*parts, noise=1)
    bounded = msgspec.structs.replace(whole.spaces[1], bounds={"macs": "..1G"})
    other = propose(msgspec.structs.replace(whole, spaces=(whole.spaces[0], bounded)), "anynetx_a", draws=DRAWS)
    assert step(other, "share expansion").evidence == "regression"


def test_the_new_spaces_own_population_is_what_comes_after(followed):
    proposal = propose(followed, "anynetx_c", margin=0, draws=DRAWS)
    assert changes(proposal) == ["monotone widths"]
    assert proposal.after.edf.n == 50
    assert proposal.before.edf.n == 200


def test_a_range_that_matters():
    proposal = propose(
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
    assert found.sentence.startswith("linear.depth matters")
    others = [each for each in proposal.considered if each is not found]
    assert all(each.adjusted_p > 0.05 and each.cost is None for each in others)
    assert all("may be chance" in each.sentence for each in others)
    depths = drawn_from(SPACES["regnetx_pycls"], 200, 0).axes["linear.depth"]
    assert found.cost.inside == proposal.after.edf.n == sum(depth <= high for depth in depths)


def test_ends_of_an_axis_by_stage_hold_in_all_stages():
    proposal = propose(
        population(Part("anynetx_e", 200, lambda n: 30 + 3 * max(0, 5 - log2(min(n["widths"])))), noise=0.3),
        draws=DRAWS,
    )
    draw = proposal.space.axes["widths"].draw
    assert isinstance(draw, LogUniform)
    assert 16 <= draw.low <= 40
    assert draw.high == 1024
    drawn = drawn_from(SPACES["anynetx_e"], 200, 0)
    inside = members(drawn, restrict(drawn.space, "widths", low=draw.low))
    assert inside == [min(widths) >= draw.low for widths in drawn.axes["widths"]]


def test_a_value_is_left_out_with_the_axes_under_it():
    def rule(network):
        return 30 + 4 * ("split_attention" in network["mixer"]) + 4 * (network["activation"] == "relu")

    # Of 27 ranges, none can be shown to matter by fewer draws.
    proposal = propose(population(Part("crossed", 200, rule), noise=1), draws=2000)
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

    proposal = propose(population(Part(space, 300, rule), noise=0.3), draws=DRAWS)
    assert "restrict attention to [none]" in changes(proposal)
    ratio = step(proposal, "restrict attention.ratio to [0.0625]")
    assert not ratio.taken
    assert ratio.cost.verdict(0.5) == "gains"
    assert ratio.sentence.endswith("with other steps attention.ratio is never drawn.")
    assert "attention.ratio" not in proposal.space.axes


def test_a_small_population_is_too_small_to_say():
    proposal = propose(population(Part("anynetx_a", 12, lambda n: 40 + falls(n["widths"])), noise=2), draws=DRAWS)
    assert proposal.space is None
    assert proposal.after is None
    assert proposal.points[0] == proposal.points[1]
    rising = step(proposal, "monotone widths")
    assert rising.cost.change is None
    assert rising.sentence.startswith("Too small to say what non-decreasing widths costs: ")
    assert f"about {rising.needed:,} networks of each space" in rising.sentence
    assert rising.needed > 20
    assert "Nothing is proposed: of 12 steps considered, 12 finished networks show none" in proposal.sentences[0]


def test_the_number_needed_is_about_enough():
    random = np.random.default_rng(0)
    drawn = drawn_from(SPACES["anynetx_a"], 60, 0)
    first = propose(with_errors((drawn, random.normal(40, 1.5, 60))), margin=1, draws=DRAWS)
    needed = step(first, "monotone depths").needed
    ordered = monotone(rename(SPACES["anynetx_a"], "b"), "depths")
    both = [drawn_from(space, needed, 0) for space in (SPACES["anynetx_a"], ordered)]
    shown = 0
    for _ in range(20):
        whole = with_errors(*((each, random.normal(40, 1.5, needed)) for each in both))
        shown += step(propose(whole, "anynetx_a", margin=1, draws=DRAWS), "monotone depths").taken
    assert shown >= 12  # 80 %, or fewer with a chance of 1 in 100


def test_missing_networks_are_counted_and_left_out():
    whole = population(
        Part("anynetx_a", 100, level(40)),
        diverged=["anynetx_a/0", "anynetx_a/1"],
        failed=["anynetx_a/2"],
        waiting=["anynetx_a/3"],
    )
    proposal = propose(whole, draws=DRAWS)
    counts = proposal.counts
    assert (counts.finished, counts.diverged, counts.failed, counts.waiting) == (96, 2, 1, 1)
    assert proposal.before.edf.n == 96
    said = " ".join(proposal.sentences)
    assert "diverged (2) or failed (1)" in said
    assert "1 network not trained to the end yet" in said
    assert "after 10 epochs; `dorsal space reliability`" in said
    share_cost = step(proposal, "share expansion").cost
    assert share_cost.inside + share_cost.outside == 96


def test_without_any_result_nothing_is_proposed():
    whole = population(Part("anynetx_a", 5, level(40)), waiting=[f"anynetx_a/{index}" for index in range(5)])
    proposal = propose(whole)
    assert proposal.sentences[0] == "Nothing is proposed: no network of anynetx_a has finished."
    assert (proposal.considered, proposal.before, proposal.space) == ((), None, None)


def test_equal_errors_show_that_nothing_costs():
    proposal = propose(population(Part("anynetx_a", 200, level(40)), noise=0), draws=DRAWS)
    assert set(changes(proposal)) >= {"share expansion", "monotone widths"}
    assert all(each.kind != "range" for each in proposal.considered if each.taken)


def test_it_is_a_pure_function_that_can_be_written():
    whole = population(Part("anynetx_a", 80, lambda n: 40 + 3 * falls(n["widths"])), noise=1)
    first, second = propose(whole, draws=DRAWS), propose(whole, draws=DRAWS)
    assert first == second
    assert json.loads(msgspec.json.encode(first))["space"]["name"] == "anynetx_a_narrow"
    assert propose(whole, name="b", draws=DRAWS).space.name == "b"


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
        propose(both, **arguments)


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
    assert all(members(drawn, whole))
    assert not all(members(drawn, narrower))
    # A network of the narrower space is a member, as a network of the whole: a shared value is that of four stages.
    own = drawn_from(narrower, 10, seed)
    shared = {axis: [[value] * 4 for value in own.axes[axis]] for axis in own.axes if is_shared(whole, narrower, axis)}
    assert all(members(msgspec.structs.replace(own, axes={**own.axes, **shared}), narrower))


def is_shared(whole, narrower, axis):
    return whole.axes[axis].by_stage and not narrower.axes[axis].by_stage


def test_courses_by_hand():
    column = [[1, 1, 1], [8, 2, 4], [4, None, None], [None, None, None]]
    moments, spread, falls = courses(Axis(PowerOfTwo(1, 8), by_stage=True), column)
    one = np.log(2)
    assert spread == [0, pytest.approx(2 / 3 * one**2), None, None]
    assert falls == [0, pytest.approx(2 * one), None, None]
    assert moments[0] == [0, pytest.approx(2 * one), pytest.approx(2 * one), None]
    assert moments[1] == [0, pytest.approx(14 / 3 * one**2), pytest.approx(4 * one**2), None]
    shares, spread, falls = courses(Axis(Choice(("a", "b", "c")), by_stage=True), [["a", "b"], ["c", "c"]])
    assert spread == [0.5, 0]  # 1 - the sum of squared shares
    assert falls == [0, 0]
    assert shares[:3] == [[0.5, 0], [0.5, 0], [0, 1]]
    moments, spread, _ = courses(Axis(Uniform(1, 9)), [3, 5])
    assert (moments, spread) == ([[3, 5], [9, 25]], [None, None])


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
    considered = propose(population(Part(space, 60, level(40)), noise=1), draws=DRAWS).considered
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
    assert changes(propose(whole, draws=DRAWS, margin=0)) == ["restrict head_width to 512..1024"]


def share_of(drawn, truth, noise, is_wrong, populations):
    """In what share of populations, each with this truth and noise of its own, the proposal is wrong."""
    wrong = 0
    for state in range(populations):
        errors = truth + noise(np.random.default_rng([state, 1]))  # not the stream of the permutations
        wrong += is_wrong(propose(with_errors((drawn, errors)), draws=400, seed=state))
    return wrong / populations


SIMULATED = pytest.mark.parametrize(
    # 5 % are allowed; more than so many would come with a chance below 1 in 500.
    ("populations", "most"),
    [(30, 0.2), pytest.param(400, 0.09, marks=pytest.mark.slow)],
)


@SIMULATED
def test_where_nothing_matters_no_axis_is_said_to(populations, most):
    def matters(proposal):
        return any(each.adjusted_p <= 0.05 for each in proposal.considered if each.kind == "range")

    drawn = drawn_from(SPACES["anynetx_a"], 50, 0)
    assert share_of(drawn, 40, lambda random: random.gamma(2, 1.5, 50), matters, populations) <= most


@SIMULATED
def test_what_costs_the_margin_is_rarely_taken(populations, most):
    # Each of the four costs just the margin, so that any is wrong to take.
    drawn = drawn_from(SPACES["anynetx_a"], 100, 0)
    departures = [
        [summary(values) for values in drawn.axes[axis]]
        for axis, summary in (
            ("expansion", spread),
            ("mixer.group_width", spread),
            ("widths", falls),
            ("depths", falls),
        )
    ]
    truth = 45 - sum(0.5 * np.array(each) / np.mean(each) for each in departures)

    def wrong(proposal):
        return any(each.taken for each in proposal.considered if each.kind != "range")

    assert share_of(drawn, truth, lambda random: random.gamma(2, 0.5, 100), wrong, populations) <= most


@SIMULATED
def test_a_range_of_the_best_that_costs_the_mean_is_rarely_taken(populations, most):
    # More depth is worse in the mean, by more than the margin, but spreads: the best are deep.
    drawn = drawn_from(SPACES["anynetx_a"], 100, 0)
    depth = np.array([min(depths) for depths in drawn.axes["depths"]]) / 4

    def noise(random):
        return (0.5 + 2.5 * depth) * random.standard_normal(100)

    def wrong(proposal):
        return any(each.taken for each in proposal.considered if each.kind == "range" and each.axis == "depths")

    assert share_of(drawn, 40 + 1.5 * depth, noise, wrong, populations) <= most


@pytest.fixture
def narrow(monkeypatch, capsys):
    """Calls `dorsal space narrow` on a population and returns (exit code, stdout, stderr)."""

    def run(whole, *words):
        monkeypatch.setattr(population_saved, "load_population", lambda *_: whole)
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
    assert space == propose(falling, name="next").space
    assert [each.name for each in tmp_path.iterdir()] == ["next.toml"]
    rows = [line.split() for line in shown.splitlines() if "anynetx_a" in line and "150" in line]
    assert rows[0][3] == "150"


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
    text, proposal = page.read_text(), propose(followed, "anynetx_c", margin=0)
    assert all(html.escape(sentence).split(" %")[0] in text for sentence in proposal.sentences)
    assert all(f'<th scope="row">{html.escape(step.change)}</th>' in text for step in proposal.considered)
    figure = distribution_figure(_distributions(proposal))
    before, after = (trace for trace in figure.data if trace.hoverinfo != "skip")
    assert len(before.x) == proposal.before.edf.n + 2
    assert len(after.x) == proposal.after.edf.n + 2 == 52


@needs_browser
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_is_legible(followed, width, tmp_path):
    seen = look_at(narrowing_page(propose(followed, "anynetx_c", margin=0)), width, tmp_path)
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
