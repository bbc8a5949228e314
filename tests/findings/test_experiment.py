"""The findings of a study that was really run, experiments/cifar10_spaces, are what they were when it was written up.

`cifar10_spaces.json` holds the figures that commit d2745a9 found, and the errors of the networks trained again.
"""

import csv
import json
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from dorsal.findings.narrowing.propose import propose_space
from dorsal.findings.pick import pick_networks
from dorsal.findings.population.analyse import analyse_population
from dorsal.findings.population.records import AxisFinding, SpaceFinding
from dorsal.findings.population.short_schedule import reliability_finding
from dorsal.findings.population.space_finding import complexity_bins, space_finding
from dorsal.findings.population.space_pairs import planner, space_pairs
from dorsal.jobs.records import PlannedRun
from dorsal.jobs.results import network_results
from dorsal.recipes.recipe import Recipe
from dorsal.space.costs import QUANTITIES
from dorsal.spec.cost import Cost
from dorsal.stats import Estimate, Need
from dorsal.stats.populations import Effect, Significance
from dorsal.study.population.records import PopulationStudy, RecheckRuns, SpaceSample
from dorsal.zoo import network
from tests.study.populations import Part, level, population

FOLDER = Path(__file__).parents[2] / "experiments" / "cifar10_spaces" / "population"
PINNED = json.loads((Path(__file__).parent / "cifar10_spaces.json").read_text(encoding="utf-8"))
RECHECK = msgspec.convert(PINNED["recheck"], RecheckRuns)
MARGIN = 1.0

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the experiment is in the repository alone")


@cache
def trained() -> PopulationStudy:
    """The population, from its table of networks and what was drawn."""
    rows = list(csv.DictReader((FOLDER / "networks.csv").read_text(encoding="utf-8").splitlines()))
    whole = population(Part("regnetx", 1, level(50)))
    arm, trial = whole.study.arms[0], whole.study.trials[0]
    costs = Cost.__struct_fields__
    assert set(costs) <= set(QUANTITIES)
    return replace(
        whole,
        study=replace(
            whole.study,
            name="cifar10_spaces",
            recipes={"plain(batch=64)": Recipe(epochs=4, batch=64)},
            arms=tuple(
                replace(
                    arm,
                    label=row["label"],
                    text=row["text"],
                    network=network(row["text"]),
                    cost=Cost(**{name: int(float(row[name])) for name in costs}),
                )
                for row in rows
            ),
            runs=tuple(PlannedRun(row["label"], row["label"], "plain(batch=64)", 1) for row in rows),
            trials=tuple(replace(trial, key=row["label"], accuracy=100 - float(row["error_seed_1"])) for row in rows),
        ),
        spaces=msgspec.convert(
            json.loads((FOLDER / "spaces.json").read_text(encoding="utf-8"))["spaces"], tuple[SpaceSample, ...]
        ),
    )


@cache
def spaces() -> tuple[SpaceFinding, ...]:
    """The findings on each space but for its axes, which take long."""
    study = trained().study
    results, arms = network_results(study), {arm.label: arm for arm in study.arms}
    bins = complexity_bins(trained().spaces, results)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dorsal.findings.population.space_finding.axis_findings", lambda *_: ())
        return tuple(space_finding(drawn, arms, results, bins, 0, 20, 0.95) for drawn in trained().spaces)


def same(found: Any, pinned: Any, place: str = "") -> None:
    """All figures to within rounding, which differs between processors; all words and counts exactly."""
    if isinstance(pinned, list):
        assert len(found) == len(pinned), place
        for row, (mine, theirs) in enumerate(zip(found, pinned, strict=True)):
            same(mine, theirs, f"{place}[{row}]")
    elif isinstance(pinned, dict):
        assert found.keys() == pinned.keys(), place
        for key, value in pinned.items():
            same(found[key], value, f"{place}.{key}")
    elif isinstance(pinned, float):
        assert found == pytest.approx(pinned, rel=1e-6, abs=1e-9), place
    else:
        assert found == pinned, place


def ends(estimate: Estimate | None) -> list[float | None] | None:
    return None if estimate is None else [estimate.value, estimate.low, estimate.high]


def chances(test: Significance) -> list[float]:
    return [test.p, test.adjusted_p]


def effect(found: Effect) -> list[Any]:
    return [ends(found.difference), *chances(found.test)]


def value_of(need: Need | None) -> int | None:
    return None if need is None else need.value


def test_errors_of_each_space() -> None:
    for space in spaces():
        summary = space.summary
        assert summary is not None
        assert summary.search is not None
        whole = summary.distribution
        found = {
            "mean": ends(summary.mean),
            "median": ends(summary.median),
            "best": summary.best.label,
            "middle": summary.middle.label,
            "worst": summary.worst.label,
            "by_complexity": {name: [each.edf.mean, each.edf.n] for name, each in summary.by_complexity.items()},
            "band": [whole.simultaneous.low[-1], whole.pointwise.high_below],
            "best_of_4": ends(next(point.expected for point in summary.search.points if point.k == 4)),
        }
        same(found, PINNED["spaces"][space.name], space.name)


def pairs_of(spaces: tuple[SpaceFinding, ...]) -> list[Any]:
    found = []
    for pair in space_pairs(spaces, 0.95):
        each = pair.comparison
        assert each is not None
        tests = chances(each.distance_test), effect(each.mean), [effect(other) for other in each.quantiles]
        found.append([pair.a, pair.b, each.distance, *tests, value_of(each.needed)])
    return found


def test_spaces_compared_and_what_it_takes() -> None:
    same(pairs_of(spaces()), PINNED["pairs"])
    plans = planner(spaces(), 0.95).plans
    found = [[p.difference, p.mean.value, p.mean.low, p.mean.high, p.distance, p.spread, p.confidence] for p in plans]
    same(found, PINNED["plans"])


def test_ranks_and_orders_at_twice_the_epochs() -> None:
    found = reliability_finding(RECHECK, {space.name: space.labels for space in spaces()}, 4)
    ranks = [
        [
            rank.space,
            rank.reliability
            and [
                [ends(own.tau) for own in rank.reliability.ceilings],
                [
                    [ends(pair.tau), ends(pair.true_tau), ends(pair.top), pair.verdict, pair.schedule]
                    for pair in rank.reliability.agreements
                ],
            ],
        ]
        for rank in found.ranks
    ]
    orders = [
        [
            order.a,
            order.b,
            order.reliability
            and [
                [each.quantile, each.kept, each.verdict, ends(each.long_difference)]
                for each in order.reliability.survivals
            ],
        ]
        for order in found.orders
    ]
    same(ranks, PINNED["ranks"])
    same(orders, PINNED["orders"])


def test_the_winner_and_the_front() -> None:
    winner = pick_networks(trained()).networks
    front = pick_networks(trained(), by="pareto", bounds={"params": "..60k"}).networks
    same([[each.label, each.error] for each in winner], PINNED["pick"])
    same([[each.label, each.error] for each in front], PINNED["pareto"])


def axis_of(axis: AxisFinding) -> Any:
    if found := axis.good_range:
        shares = found.inside_if_irrelevant, found.p, axis.adjusted_p
        return [found.low, found.median, found.high, *shares]
    if values := axis.good_values:
        return [*([each.value, each.wins, each.good] for each in values.values), values.p, axis.adjusted_p]
    return None


@pytest.mark.slow
def test_the_whole_analysis() -> None:
    found = analyse_population(trained(), retrained=RECHECK)
    shares = {
        space.name: [[axis.name, ends(axis.share), axis.null_high, axis.above_null] for axis in space.importances.axes]
        for space in found.spaces
    }
    axes = {space.name: {axis.name: axis_of(axis) for axis in space.axes} for space in found.spaces}
    same(axes, PINNED["axes"])
    same(shares, PINNED["importances"])
    same({space.name: ends(space.linear_rule.correlation) for space in found.spaces}, PINNED["linear_rule"])
    same({front.cost: list(front.labels) for front in found.fronts}, PINNED["fronts"])
    same(found.shared_bins, PINNED["shared_bins"])
    assert found.pairs == space_pairs(found.spaces, 0.95)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(PINNED["narrowed"]))
def test_spaces_narrowed(name: str) -> None:
    proposal = propose_space(trained(), name, MARGIN, retrained=RECHECK)
    steps = [
        [
            step.kind,
            step.axis,
            step.taken,
            step.adjusted_p,
            step.evidence,
            value_of(step.needed),
            step.points,
            step.cost and [ends(step.cost.change), step.cost.inside, step.cost.outside],
        ]
        for step in proposal.considered
    ]
    found = {"points": list(proposal.points), "dimensions": list(proposal.dimensions), "steps": steps}
    same(found, PINNED["narrowed"][name])
