"""The findings of experiments/cifar10_spaces, pinned as the code that first made them found them.

Numbers are of the analysis at commit d2745a9, of the same runs as files of schema 1. Errors are multiples of 0.1, so
permutations tie, and processors that add up in another order count ties as others do not: hence the tolerance of p.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import pytest

from dorsal.findings.narrowing.propose import propose_space
from dorsal.findings.pick import pick_networks
from dorsal.findings.population.analyse import analyse_population
from dorsal.findings.population.records import Importances, PopulationFindings
from dorsal.jobs.plan import run_key
from dorsal.jobs.resources import Resources
from dorsal.jobs.study_file import load_study
from dorsal.latency.records import MEASUREMENTS, MODEL, LatencyModel, Measurements, read_latency
from dorsal.recipes.text import read_recipes
from dorsal.report.words.populations import conclusions
from dorsal.spec.timm import hash_of
from dorsal.stats import Estimate
from dorsal.study.load import load
from dorsal.study.population.records import PopulationStudy
from dorsal.study.recheck.saved import RECHECK_FILE, load_recheck
from dorsal.study.timing.fit import fit_model

FOLDER = Path(__file__).parents[2] / "experiments" / "cifar10_spaces" / "population"

SPACES = {
    "anynetx_a": (
        (65.49375, 62.85230976, 68.1402002),
        (64.6, 60.8, 70.9),
        ("anynetx_a/8", 51.3),
        (57.88989711, 53.74472167, 60.72090951),
    ),
    "anynetx_e": (
        (60.740625, 58.64617547, 63.13324117),
        (59.85, 56.3, 64.0),
        ("anynetx_e/10", 50.9),
        (54.72236652, 52.82356513, 56.4766766),
    ),
    "regnetx": (
        (59.534375, 57.43372941, 62.34847693),
        (57.8, 55.2, 63.3),
        ("regnetx/16", 51.2),
        (53.73701891, 52.19316803, 55.12131786),
    ),
    "crossed": (
        (57.121875, 55.24572331, 59.61480794),
        (56.45, 52.9, 58.6),
        ("crossed/15", 45.7),
        (51.84938821, 48.82892834, 53.4793687),
    ),
}
"""Mean error, median, the best network, and the error expected of the best of four."""

PAIRS = {
    ("anynetx_a", "anynetx_e"): (
        0.34375,
        (0.04089591041, 0.6134386561),
        (4.753125, 1.309528785, 8.134400172),
        0.11338866,
        65,
    ),
    ("anynetx_a", "regnetx"): (
        0.4375,
        (0.003199680032, 0.06399360064),
        (5.959375, 2.28243458, 9.299299807),
        0.03149685,
        45,
    ),
    ("anynetx_a", "crossed"): (
        0.625,
        (9.9990001e-05, 0.002399760024),
        (8.371875, 4.852410357, 11.62130688),
        0.00239976,
        22,
    ),
    ("anynetx_e", "regnetx"): (0.21875, (0.4156584342, 1.0), (1.20625, -2.008604873, 4.257038986), 1.0, 868),
    ("anynetx_e", "crossed"): (
        0.34375,
        (0.04449555044, 0.6229377062),
        (3.61875, 0.5096741431, 6.603513194),
        0.37736226,
        89,
    ),
    ("regnetx", "crossed"): (0.21875, (0.4097590241, 1.0), (2.4125, -0.6723032491, 5.672679991), 1.0, 212),
}
"""Kolmogorov-Smirnov distance with its p and adjusted p, difference of means with its adjusted p, networks needed."""

PLANS = {1.0: ((1315, 1009, 1769), 1554), 0.5: ((5252, 4029, 7067), 6196)}
"""Networks a space to see a difference of so many points in the mean, and in the distance."""

FRONTS = {
    "params": (
        *("anynetx_a/20", "anynetx_a/1", "anynetx_a/6", "anynetx_a/15", "crossed/22", "crossed/29", "crossed/14"),
        *("regnetx/18", "crossed/2", "crossed/15"),
    ),
    "macs": ("anynetx_e/5", "regnetx/20", "crossed/4", "crossed/14", "regnetx/16", "crossed/2", "crossed/15"),
    "activations": (
        *("anynetx_a/1", "anynetx_e/25", "anynetx_e/28", "anynetx_e/1", "regnetx/9", "regnetx/29", "anynetx_e/10"),
        *("crossed/10", "crossed/15"),
    ),
}

RANKS = {
    "anynetx_a": ((0.68891836, 0.159852741, 1), (1, -1, 1), "not shown", "not shown", (0.7877263614, 0.6)),
    "anynetx_e": ((0.8, 1 / 3, 1), (1, 0.4244210394, 1), "not shown", "not shown", (0.7333333333, 0.8666666667)),
    "regnetx": ((0.8, 0.2307692308, 1), (1, -1, 1), "not shown", "not shown", (0.8666666667, 0.7333333333)),
    "crossed": ((1, 0.4244210394, 1), (1, 0.4244210394, 1), "not shown", "not shown", (1, 1)),
    "within spaces": (
        (0.8232198479, 0.6196747339, 0.9795918367),
        (1, 0.8701001206, 1),
        "reliable",
        "keeps the order",
        (0.8475793795, 0.8),
    ),
}
"""Kendall's tau of 4 and 8 epochs, that without the noise of runs, both verdicts, and tau of two runs at 4 and at 8."""

KEPT = {
    ("anynetx_a", "anynetx_e"): (0.8442, 0.8668),
    ("anynetx_a", "regnetx"): (0.9595, 0.9749),
    ("anynetx_a", "crossed"): (0.9323, 0.9287),
    ("anynetx_e", "regnetx"): (0.9202, 0.8823),
    ("anynetx_e", "crossed"): (0.9361, 0.9282),
    ("regnetx", "crossed"): (0.9355, 0.9811),
}
"""In how many bootstrap draws the order of two spaces by mean and by median is the same at 8 epochs as at 4."""

LATENCY = {
    "forward_b1_ms": (
        -42.60936611,
        (9.005416935, 0.8261904762),
        (-7.492311446, -12.08309082, -0.9798655400),
        16.72249313,
    ),
    "forward_b16_ms": (
        156.4956121,
        (8.145116915, 0.821957672),
        (-6.519358721, -9.685995854, -2.651137832),
        13.19725638,
    ),
    "step_b1_ms": (-28.1695277, (7.635702807, 0.8671957672), (-6.594344328, -11.96118868, -2.208928105), 13.51160785),
    "step_b16_ms": (546.2786237, (7.159001718, 0.8277777778), (-7.245909766, -11.91681818, -1.413147573), 9.714455791),
}
"""Intercept in ms, error in percent and tau of all predictors together, by how much activations beat MACs, spread."""

IMPORTANT = {
    "anynetx_a": (
        "widths, stage 4",
        (0.2678463248, 0.07441873749, 0.5308255607),
        (-0.04670053168, -0.2980110103, 0.2013489208),
    ),
    "anynetx_e": (
        "depths, stage 3",
        (0.5607519507, 0.252184609, 0.9369745275),
        (-0.2163337389, -0.4481916387, 0.02969692924),
    ),
    "regnetx": ("linear.depth", (0.5541008029, 0.201106052, 0.8503705484), None),
    "crossed": (
        "depths, stage 3",
        (0.4742776182, 0.2309538946, 0.8450495862),
        (-0.2480131137, -0.527761956, 0.03505976449),
    ),
}
"""The axis with the largest share of variance, its share, and tau of error and distance from the linear rule."""

GOOD_RANGES = {
    "anynetx_a": {"total depth": (6, 19)},
    "anynetx_e": {"depths, stage 3": (1, 4), "depths, stage 4": (2, 10), "total depth": (5, 16)},
    "regnetx": {"linear.depth": (4, 11), "linear.wa": (6.5, 26.2)},
    "crossed": {"depths, stage 2": (1, 2)},
}
"""The good ranges that are no accident: with an adjusted p below 0.05."""

NARROWED = {
    "anynetx_a": {},
    "anynetx_e": {"restrict depths to 1..10": (-2.237316883, -3.461175478, -1.013458288)},
    "regnetx": {
        "restrict linear.depth to 4..11": (-4.735077468, -6.984068093, -2.486086844),
        "restrict linear.wa to 6.5..26.2": (-4.986027558, -7.085856726, -2.88619839),
        "restrict expansion to 1..2": (-3.778523227, -6.687482094, -0.8695643607),
    },
    "crossed": {},
}
"""The steps that are proposed within a margin of one point, and what they do to the mean error."""


def near(values: object) -> object:
    """Equal but for the order in which a processor adds up."""
    return pytest.approx(values, rel=1e-6, abs=1e-9)


def three(estimate: Estimate | None) -> tuple[float | None, float | None, float | None] | None:
    return None if estimate is None else (estimate.value, estimate.low, estimate.high)


@pytest.fixture(scope="module")
def population() -> PopulationStudy:
    loaded = load(FOLDER)
    assert isinstance(loaded, PopulationStudy)
    return loaded


@pytest.fixture(scope="module")
def found(population: PopulationStudy) -> Iterator[PopulationFindings]:
    """All but what takes long: single axes, and fits of the linear rule."""
    with pytest.MonkeyPatch.context() as patch:
        none = Importances(axes=(), resamples=0, permutations=0, n=0)
        patch.setattr("dorsal.findings.population.space_finding.axis_findings", lambda *_: ())
        patch.setattr("dorsal.findings.population.space_finding.importances", lambda *_: none)
        yield analyse_population(population, retrained=load_recheck(FOLDER), fits=0)


def test_runs_are_known_by_the_keys_of_today(population: PopulationStudy) -> None:
    recipes = read_recipes(["plain(batch=64)"], 4)
    assert population.study.recipes == recipes
    again = load_study(FOLDER, file=RECHECK_FILE)
    for study, count in ((population.study, 128), (again, 96)):
        arms = {arm.label: arm for arm in study.arms}
        assert all(arm.network_hash == hash_of(arm.network) for arm in study.arms)
        assert all(
            run.key == run_key(arms[run.arm], study.recipes[run.recipe], run.seed, study.data, Resources())
            for run in study.runs
        )
        assert len(study.runs) == len(study.trials) == count
        assert {trial.status for trial in study.trials} == {"finished"}
    assert {run.key for run in population.study.runs} & {run.key for run in again.runs}


def test_errors_of_the_spaces(found: PopulationFindings) -> None:
    assert [space.name for space in found.spaces] == list(SPACES)
    for space in found.spaces:
        mean, median, best, best_of_four = SPACES[space.name]
        summary = space.summary
        assert summary is not None
        assert summary.search is not None
        (four,) = (point for point in summary.search.points if point.k == 4)
        assert (three(summary.mean), three(summary.median)) == (near(mean), near(median))
        assert (summary.best.label, summary.best.error) == (best[0], near(best[1]))
        assert three(four.expected) == near(best_of_four)


def test_pairs_of_spaces(found: PopulationFindings) -> None:
    assert [(pair.a, pair.b) for pair in found.pairs] == list(PAIRS)
    for pair in found.pairs:
        distance, (p, adjusted), difference, adjusted_mean, needed = PAIRS[pair.a, pair.b]
        compared = pair.comparison
        assert compared is not None
        assert compared.distance == near(distance)
        assert (compared.distance_test.p, compared.distance_test.adjusted_p) == pytest.approx((p, adjusted), abs=0.01)
        assert three(compared.mean.difference) == near(difference)
        assert compared.mean.test is not None
        assert compared.mean.test.adjusted_p == pytest.approx(adjusted_mean, abs=0.01)
        assert compared.needed is not None
        assert compared.needed.value == needed


def test_networks_that_it_takes(found: PopulationFindings) -> None:
    assert {
        plan.difference: ((plan.mean.value, plan.mean.low, plan.mean.high), plan.distance)
        for plan in found.planner.plans
    } == PLANS
    assert [plan.spread for plan in found.planner.plans] == near([6.534722896] * 2)


def test_fronts_and_the_winner(population: PopulationStudy, found: PopulationFindings) -> None:
    assert {front.cost: front.labels for front in found.fronts} == FRONTS
    picked = pick_networks(population)
    assert [(each.label, each.error) for each in picked.networks] == [("crossed/15", near(45.7))]


def test_four_epochs_rank_as_eight_do(found: PopulationFindings) -> None:
    assert [rank.space for rank in found.reliability.ranks] == list(RANKS)
    for rank in found.reliability.ranks:
        tau, true_tau, verdict, schedule, ceilings = RANKS[rank.space]
        assert rank.reliability is not None
        (agreement,) = rank.reliability.agreements
        assert (three(agreement.tau), three(agreement.true_tau)) == (near(tau), near(true_tau))
        assert (agreement.verdict, agreement.schedule) == (verdict, schedule)
        assert [ceiling.tau.value for ceiling in rank.reliability.ceilings if ceiling.tau] == near(list(ceilings))
    kept = {}
    for order in found.reliability.orders:
        assert order.reliability is not None
        shares = [stable.kept for stable in order.reliability.survivals if stable.kept is not None]
        kept[order.a, order.b] = tuple(shares)
        assert {stable.verdict for stable in order.reliability.survivals} == {"not shown"}
    assert kept == {pair: pytest.approx(shares, abs=0.001) for pair, shares in KEPT.items()}


def test_latency_is_fitted_as_it_was() -> None:
    stored = read_latency(FOLDER / "latency" / MODEL, LatencyModel)
    again = fit_model(read_latency(FOLDER / "latency" / MEASUREMENTS, Measurements))
    for model in (stored, again):
        assert (model.networks, model.rounds) == (128, 5)
        assert [fit.quantity for fit in model.fits] == list(LATENCY)
        for fit in model.fits:
            intercept, (error, tau), contest, spread = LATENCY[fit.quantity]
            together = fit.scores.scores[-1]
            assert (fit.fitted.intercept, fit.spread) == near((intercept, spread))
            assert (together.error.value, together.tau.value) == near((error, tau))
            assert three(fit.contest.error_difference) == near(contest)


@pytest.mark.slow
def test_important_axes_and_the_linear_rule(population: PopulationStudy) -> None:
    for space in analyse_population(population, retrained=load_recheck(FOLDER)).spaces:
        name, share, tau = IMPORTANT[space.name]
        first = space.importances.axes[0]
        assert (first.name, three(first.share)) == (name, near(share))
        assert three(space.linear_rule.correlation) == (tau and near(tau))
        assert {
            axis.name: (axis.good_range.low, axis.good_range.high)
            for axis in space.axes
            if axis.good_range is not None and axis.adjusted_p is not None and axis.adjusted_p < 0.05
        } == GOOD_RANGES[space.name]


@pytest.mark.slow
def test_narrowing_proposes_what_it_did(population: PopulationStudy) -> None:
    for name, steps in NARROWED.items():
        proposed = propose_space(population, name, 1.0, retrained=load_recheck(FOLDER))
        taken = {step.change: step.cost and three(step.cost.change) for step in proposed.considered if step.taken}
        assert taken == {change: near(cost) for change, cost in steps.items()}


def excerpt(page: Path) -> list[str]:
    """The sentences that a page shows of what the analysis says."""
    text = page.read_text(encoding="utf-8")
    block = re.split(r"experiments/cifar10_spaces/population`\)?[^:]*:\n\n", text, maxsplit=1)[1]
    lines = takewhile(lambda line: line.startswith("    "), block.split("\n"))
    joined = " ".join(line.strip() for line in lines)
    return [sentence.strip() for sentence in joined.split("•")[1:]]


@pytest.mark.parametrize("page", ["README.md", "docs/populations.md"])
def test_pages_show_what_the_analysis_says_today(found: PopulationFindings, page: str) -> None:
    shown = excerpt(FOLDER.parents[2] / page)
    said = conclusions(found)
    assert len(shown) >= 2
    assert [each for each in shown if each not in said and "axes that explain" not in each] == []  # axes: see `found`
