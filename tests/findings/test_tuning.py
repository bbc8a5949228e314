"""What tuning gained, in numbers and in words."""

import shlex

import pytest
from msgspec.structs import replace
from scipy import stats

from dorsal.findings.comparison import MEAN_OF_RECIPES, analyse_comparison
from dorsal.findings.tuning import Edge
from dorsal.recipes.text import recipe
from dorsal.report.words.comparison import caveats, conclusions
from dorsal.report.words.tuning import tuning_sentences
from dorsal.stats import Estimate
from tests.findings.studies import contributions_of, make_case

CASE = make_case("tuned")
FOUND = {each.arm: each for each in CASE.analysis.tuning}


def test_a_gain_is_paired_by_seed() -> None:
    gain = FOUND["resnet"].gain
    assert gain is not None
    low, high = stats.t.interval(0.95, 2, 2.0, stats.sem([1.9, 2.0, 2.1]))
    assert (gain.value, gain.low, gain.high) == pytest.approx((2.0, low, high))
    assert (FOUND["resnet"].setting, FOUND["resnet"].lost) == ({"lr": 0.75}, 0)
    assert FOUND["resnet"].best is not None
    assert FOUND["resnet"].default is not None
    assert FOUND["resnet"].best.value - FOUND["resnet"].default.value == pytest.approx(2.0)


def test_with_what_each_image_contributes_a_gain_covers_images_too() -> None:
    covered = analyse_comparison(CASE.study, contributions_of(CASE.study)).tuning[0].gain
    alone = FOUND["resnet"].gain
    assert covered is not None
    assert alone is not None
    assert covered.value == pytest.approx(alone.value)
    assert (covered.low or 0) < (alone.low or 0)
    assert (covered.high or 0) > (alone.high or 0)


def test_edges_are_those_where_a_wider_range_could_help() -> None:
    assert {arm: each.edges for arm, each in FOUND.items() if each.edges} == {"resnet": (Edge("lr", 0.75, 0.05, 0.8),)}
    ranges = {"lr": (0.05, 0.8), "weight_decay": (0.1, 1.0), "level_decay": (0.5, 1.0)}
    at_ends = {"lr": 0.2, "weight_decay": 1.0, "level_decay": 1.0}  # beyond which there is nothing
    for fields, edges in ((at_ends, ()), (at_ends | {"level_decay": 0.52}, ("level_decay",))):
        tries = tuple(replace(each, fields=fields) for each in CASE.study.tuning[0].tries)
        tuning = (replace(CASE.study.tuning[0], tries=tries, ranges=ranges),)
        (found,) = analyse_comparison(replace(CASE.study, tuning=tuning)).tuning
        assert tuple(edge.field for edge in found.edges) == edges


def test_conclusions_rest_on_tuned_runs() -> None:
    compared = CASE.analysis.comparisons
    assert list(compared) == [MEAN_OF_RECIPES, "plain, tuned", "plain", "tricks"]
    pairs = {name: {(p.better, p.worse): p.difference.value for p in found.pairs} for name, found in compared.items()}
    both = ("resnest", "regnet")
    mean = (pairs["plain, tuned"][both] + pairs["tricks"][both]) / 2
    assert pairs[MEAN_OF_RECIPES][both] == pytest.approx(mean)
    assert CASE.analysis.shares is not None


def test_what_is_said_of_tuning() -> None:
    said = [line for line in conclusions(CASE.study, CASE.analysis) if " under plain: " in line]
    assert said == [
        "resnet under plain: tuning gains 2.00 points, 95 % interval 1.75 to 2.25, from 80.87 to 82.87 %, with "
        "lr=0.75, the best of 3 settings.",
        "res2net under plain: none of 3 settings finished, so the recipe's own is kept.",
        "resnest under plain: the recipe's own setting is the best of 3; tuning changes nothing.",
        "regnet under plain: no gain of tuning is shown (0.1 points, 95 % interval -1.3 to 1.5, from 82.41 to 82.51 "
        "%), with lr=0.3, the best of 3 settings.",
    ]
    limits = caveats(CASE.study, CASE.analysis)
    assert not any("tuned for no arm" in line for line in limits)
    assert "3 settings that did not finish counted as tried." in limits
    (edge,) = (line for line in limits if "edge of the range" in line)
    assert edge.startswith(
        "resnet under plain: the best setting lies at the edge of the range (lr=0.75 of 0.05 to 0.8)."
    )
    command = edge.partition("give --recipe ")[2].removesuffix(" in place of plain.")
    assert recipe(shlex.split(command)[0]) == replace(CASE.study.recipes["plain"], lr=0.75)


def test_a_loss_is_said_without_a_sign() -> None:
    worse = replace(
        FOUND["resnet"],
        gain=Estimate(value=-3.25, low=-6.2, high=-0.3),
        default=Estimate(value=66.46, low=None, high=None),
        best=Estimate(value=63.21, low=None, high=None),
    )
    (said,) = tuning_sentences([worse])
    assert said.startswith(
        "resnet under plain: tuning loses 3.2 points, 95 % interval 0.3 to 6.2, from 66.46 to 63.21 %, with lr=0.75"
    )


def test_an_average_over_settings_is_called_that() -> None:
    case = make_case("averaged")
    assert any(
        "fewer than 10 of each class, too few to choose by" in line for line in caveats(case.study, case.analysis)
    )
    said = [line for line in conclusions(case.study, case.analysis) if " under plain: " in line]
    assert said[0] == (
        "resnet under plain: the average over the settings gains 2.00 points, 95 % interval 1.75 to 2.25, from 80.87 "
        "to 82.87 %."
    )
    assert all(each.averaged and not each.edges and not each.setting for each in case.analysis.tuning)
