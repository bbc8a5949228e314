"""What is said of findings, word by word."""

import msgspec
import numpy as np
import pytest

from dorsal.report.words.numerals import decimals, interval, p_value, plural, roughly
from dorsal.report.words.pairs import Judged, noise_sentence, pair_sentence
from dorsal.report.words.populations import comparison_sentence
from dorsal.report.words.schedule import ranking_sentence, survival_sentence
from dorsal.stats import (
    Estimate,
    Need,
    Pair,
    compare_arms,
    compare_populations,
    population_reliability,
    rank_reliability,
)
from dorsal.stats.verdicts import Judgement

BUDGETS = ("10 epochs", "100 epochs")


def compare(shift=0.0, scale=1.0, n=60):
    random = np.random.default_rng(0)
    a = random.normal(40, 2, n)
    return compare_populations(a, 40 + shift + scale * random.normal(0, 2, n), draws=500)


def test_a_difference_of_means():
    better = comparison_sentence(compare(shift=2.0), "RegNetX", "AnyNetX_A")
    assert better.startswith("RegNetX has a lower mean error than AnyNetX_A, by 2.")
    assert "points (95 % interval 1." in better
    assert better.endswith("60 and 60 networks).")
    worse = comparison_sentence(compare(shift=-2.0), "RegNetX", "AnyNetX_A")
    assert worse.startswith("AnyNetX_A has a lower mean error than RegNetX, by 1.")
    # The size and its interval are stated as what the better one gains.
    assert "interval -" not in worse


def test_a_difference_among_the_best_only():
    text = comparison_sentence(compare(scale=4.0), "A", "B")
    assert text.startswith(
        "The mean errors of A and B are not shown to differ, but the 10 % quantile of errors of B is below"
    )


def test_a_difference_of_distributions_only():
    random = np.random.default_rng(0)
    # Two peaks against one, the same median and lowest tenth.
    a = np.concatenate([random.normal(-3, 0.3, 200), random.normal(3, 0.3, 200)])
    result = compare_populations(a, random.normal(0, 2.5, 400), quantiles=(), draws=500)
    text = comparison_sentence(result, "A", "B")
    assert text.startswith(
        "The mean errors of A and B are not shown to differ, but their distributions differ, by at most 0."
    )


def test_no_difference_says_what_is_needed():
    text = comparison_sentence(compare(shift=0.3), "A", "B")
    assert text.startswith("No difference shown between A and B: their mean errors differ by 0.")
    assert " networks in each would be needed to show a difference of this size." in text
    found = compare(shift=0.3)
    beyond = msgspec.structs.replace(found, needed=Need(value=None, low=None, high=None))
    assert "more than 1,000,000 networks in each would be needed" in comparison_sentence(beyond, "A", "B")
    unknown = comparison_sentence(msgspec.structs.replace(found, needed=None), "A", "B")
    assert unknown.endswith("; they are too few to say how many would show a difference of this size.")


def test_level_populations_and_missing_networks():
    result = compare_populations([1.0, 2.0, 3.0, None], [1.0, 2.0, 3.0], draws=100)
    assert comparison_sentence(result, "A", "B") == (
        "No difference shown between A and B: their mean errors are equal (too few networks for an interval, or all "
        "equal; 3 and 3 networks, 1 without a result left out)."
    )


def test_constant_populations_have_no_interval():
    text = comparison_sentence(compare_populations([5.0] * 9, [6.0] * 9, draws=500), "A", "B")
    assert text.startswith(
        "A has a lower mean error than B, by 1 points (too few networks for an interval, or all equal; "
    )


def test_an_interval_of_one_difference_is_called_so_where_correction_leaves_nothing():
    """Holm asks more than the interval of one difference does, which may exclude 0 where nothing is shown."""
    found = compare(shift=0.8)
    assert found.mean.difference.high < 0
    assert found.mean.test.p < 0.05 < found.mean.test.adjusted_p
    text = comparison_sentence(found, "A", "B")
    assert text.startswith(
        "No difference shown between A and B after correction for all tests: their mean errors differ by 0."
    )
    assert " points (95 % interval of this difference alone 0." in text
    for shift in (0.3, 2.0):
        other = comparison_sentence(compare(shift=shift), "A", "B")
        assert "correction" not in other
        assert "alone" not in other


def rank(correlation, n=40, seeds=2, noise=0.1):
    random = np.random.default_rng(0)
    true = random.normal(size=(n, 1, 1))
    other = correlation * true + (1 - correlation**2) ** 0.5 * random.normal(size=(n, 1, 1))
    errors = np.concatenate([true, other], axis=1) + noise * random.normal(size=(n, 2, seeds))
    result = rank_reliability(errors, BUDGETS, k=min(2, n), draws=300)
    return ranking_sentence(result.agreements[0], result)


@pytest.mark.parametrize(
    ("correlation", "noise", "opening", "schedule"),
    [
        (1.0, 0.1, "ranks networks as one at 100 epochs does: they put about 9", "keeps the order"),
        (0.0, 0.1, "does not rank networks as one at 100 epochs does: they put about ", "does not keep the order"),
        (0.95, 0.1, "is not shown to rank networks as one at 100 epochs does: they put ", "is not shown to keep"),
        (1.0, 0.8, "is too noisy to rank networks as one at 100 epochs does: they put about ", "keeps the order"),
    ],
)
def test_ranking(correlation, noise, opening, schedule):
    text = rank(correlation, noise=noise, n=60 if noise > 0.5 else 40, seeds=3)
    assert text.startswith(f"One run at 10 epochs {opening}")
    assert " Two runs at the same schedule agree in " in text
    assert " % at 10 epochs and " in text
    assert f" The schedule itself {schedule}" in text


def test_ranking_without_ceiling_or_without_anything():
    assert rank(1.0, seeds=1).endswith(
        "40 networks). Noise and the schedule itself cannot be told apart: that takes two runs at both schedules, and "
        "the two must agree."
    )
    assert rank(1.0, n=12).endswith("; 15 networks are needed to judge it.")
    assert (
        rank(1.0, n=4)
        == "Nothing can be said on ranks at 10 epochs and 100 epochs: 4 networks are too few, or all equal."
    )


def survive(short, long, n=30, quantiles=(), lost=0):
    random = np.random.default_rng(0)
    shift = np.array([short, long])[None, :, None]
    a, b = (random.normal(0, 1, (n, 2, 1)) for _ in range(2))
    a[:lost, 1] = np.nan
    return survival_sentence(
        population_reliability(a + shift, b, BUDGETS, quantiles=quantiles, draws=300).survivals[-1], "A", "B"
    )


def test_survival():
    assert survive(-3, -3).startswith(
        "The order of A and B in the mean error survives: A is ahead at 10 epochs and at 100 epochs (the same"
    )
    assert survive(3, -3).startswith(
        "The order of A and B in the mean error is reversed: B is ahead at 10 epochs, A at 100 epochs"
    )
    assert survive(0, 0, quantiles=(0.5,)).startswith(
        "Whether the order of A and B in the median error survives from 10 epochs to 100 epochs is not shown"
    )
    assert survive(-3, -3, lost=15) == (
        "Whether the order of A and B in the mean error survives from 10 epochs to 100 epochs hinges on lost runs: "
        "without them, the same order in 100.0 % of bootstrap draws; counted as errors of 100 %, they no longer show "
        "it."
    )
    assert survive(0, 0, quantiles=(0.1,)) == (
        "Too few networks to say whether the order of A and B in the 10 % quantile of errors survives."
    )


def pair(difference=(2.1, 1.28, 2.92), **changes):
    value, low, high = difference
    fields = {
        "better": "resnest",
        "worse": "plain",
        "difference": Estimate(value=value, low=low, high=high),
        "p": 0.004,
        "n": 3,
        "significant": True,
        "needed": None,
        "confidence": 0.95,
    }
    return Pair(**(fields | changes))


def test_an_arm_that_is_better():
    assert pair_sentence(pair()) == (
        "resnest is better than plain by 2.10 ± 0.82 points (95 % simultaneous interval, 3 seeds, p = 0.004)."
    )
    said = pair_sentence(pair(p=1e-9, confidence=0.9, n=1))
    assert said.endswith("by 2.10 ± 0.82 points (90 % simultaneous interval, 1 seed, p < 0.001).")
    assert "by 0.023 ± 0.012 points" in pair_sentence(pair((0.0231, 0.0111, 0.0351)))


@pytest.mark.parametrize(
    ("needed", "said"),
    [
        (Need(value=37, low=22, high=58), "roughly 22 to 58 seeds would be needed to show a difference of this size."),
        (
            Need(value=1233, low=321, high=None),
            "roughly 320 to more than 10,000 seeds would be needed to show a difference of this size.",
        ),
        (
            Need(value=None, low=None, high=None),
            "more than 10,000 seeds would be needed to show a difference of this size.",
        ),
        (None, "that is too few to say how many would show a difference of this size."),
    ],
)
def test_a_difference_that_is_not_shown_says_roughly_what_it_takes(needed, said):
    found = pair_sentence(pair((0.4, -1.5, 2.3), p=0.6, significant=False, needed=needed))
    assert found == f"No difference shown between resnest and plain: 0.4 ± 1.9 points over 3 seeds; {said}"


def judged(margin=1.0, **changes):
    fields = {"better": "resnest", "worse": "plain", "verdict": "undecided", "within_margin": False}
    fields |= {"can_be_equal": False, "equal_needed": None, "equal_images": None}
    return Judged(Judgement(**(fields | changes)), margin)


def test_three_verdicts_by_a_margin():
    small = pair_sentence(pair((0.5, 0.2, 0.8)), judged=judged(verdict="better", within_margin=True))
    assert small.startswith("resnest is better than plain by 0.50 ± 0.30 points, less than the margin of 1 point (95 %")
    level = pair((0.1, -0.4, 0.6), significant=False)
    assert pair_sentence(level, judged=judged(2.0, verdict="practically equal"), models="network and all") == (
        "resnest and plain are practically equal: 0.10 ± 0.50 points, inside ± 2 points, as trained models: network "
        "and all (over 3 seeds)."
    )


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        (
            {"equal_needed": Need(value=40, low=30, high=60), "equal_images": 500},
            "; roughly 30 to 60 seeds or roughly 500 test images would show that level arms are equal within 1 point.",
        ),
        ({}, "; an interval of this length cannot show them to be equal within 1 point."),
        ({"can_be_equal": True}, "difference of this size."),
    ],
)
def test_an_undecided_pair_says_what_would_show_it_to_be_equal(verdict, said):
    found = pair((0.4, -1.5, 2.3), p=0.6, significant=False, needed=Need(value=37, low=22, high=58))
    sentence = pair_sentence(found, judged=judged(**verdict))
    assert sentence.startswith("Undecided between resnest and plain: 0.4 ± 1.9 points over 3 seeds; roughly 22 to 58")
    assert sentence.endswith(said)


BOTH = {"images": 1000, "seed_half": 0.9, "image_half": 1.1}


def test_an_interval_over_seeds_and_images_has_both_halves():
    assert pair_sentence(pair((2.1, 0.7, 3.5), **BOTH)) == (
        "resnest is better than plain by 2.1 ± 1.4 points (95 % simultaneous interval over seeds and test images; "
        "3 seeds ± 0.9, 1,000 test images ± 1.1 on top, p = 0.004)."
    )
    assert "1,000 groups of test images ± 1.1 on top" in pair_sentence(pair((2.1, 0.7, 3.5), **BOTH), grouped=True)
    one = pair((2.1, 0.7, 3.5), **(BOTH | {"n": 1, "seed_half": None}))
    assert "(95 % simultaneous interval over 1,000 test images, of these trained models, not of the networks, p" in (
        pair_sentence(one)
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"needed": Need(value=30, low=20, high=60), "images_needed": Need(value=4000, low=3100, high=None)},
            "No difference shown between resnest and plain: 0.4 ± 1.4 points over 3 seeds and 1,000 test images; "
            "roughly 20 to 60 seeds or roughly 3,100 to more than 1,000,000 test images would be needed to show a "
            "difference of this size.",
        ),
        (
            {
                "needed": Need(value=None, low=None, high=None),
                "images_needed": Need(value=160, low=160, high=160),
                "images": 40,
                "seed_half": 0.3,
            },
            "On these 40 test images resnest is ahead of plain with other seeds too, by 0.4 ± 0.3 points over 3 "
            "seeds; on other images that is not shown (0.4 ± 1.4 points): roughly 160 test images would be needed to "
            "show a difference of this size.",
        ),
    ],
)
def test_a_difference_that_images_hide_says_what_would_help(changes, said):
    found = pair((0.4, -1.0, 1.8), **(BOTH | {"p": 0.3, "significant": False} | changes))
    assert pair_sentence(found) == said


@pytest.mark.parametrize(
    ("seeds", "images", "said"),
    [
        (30, 8000, "the noise of test images is the larger one (± 0.9 by seeds, ± 1.1 on top by test images); what "
         "helps most is more test images, about 8 times as many."),
        (6, None, "what helps most is more seeds, about 2 times as many."),
        (None, None, "± 1.1 on top by test images)."),
    ],
)  # fmt: skip
def test_the_larger_noise_and_what_helps_most(seeds, images, said):
    needs = {"needed": Need(value=seeds, low=seeds, high=seeds), "images_needed": Need(value=images, low=1, high=None)}
    assert noise_sentence(pair((0.4, -1.0, 1.8), **(BOTH | needs))).endswith(said)
    assert noise_sentence(pair()) == ""


def test_two_seeds_of_two_arms_do_not_say_how_many_seeds_it_takes():
    (two,) = compare_arms({"a": [90.0, 93.0], "b": [90.5, 92.0]}).pairs
    assert "that is too few to say how many" in pair_sentence(two)


def test_one_seed_and_no_noise():
    (only,) = compare_arms({"a": [1.0], "b": [1.4]}).pairs
    assert pair_sentence(only) == "b is ahead of a by 0.4 points, but one seed cannot tell a difference from chance."
    (tie,) = compare_arms({"a": [1.0, 1.0], "b": [1.0, 1.0]}).pairs
    assert pair_sentence(tie) == "a and b are level, but the results of 2 seeds show no noise to judge it by."


def test_figures_in_sentences():
    assert [plural(n, "seed") for n in (1, 0, 2, 12_345)] == ["1 seed", "0 seeds", "2 seeds", "12,345 seeds"]
    assert [p_value(p) for p in (0.0004, 0.0314)] == ["p < 0.001", "p = 0.031"]
    assert [decimals(*ends) for ends in ((0, 50), (0, 5), (0, 0.4), (0, 1e-9), (1, 1))] == [1, 1, 2, 3, 1]
    found = Estimate(value=1.5, low=1.0, high=2.0)
    assert interval(found, 0.95) == "95 % interval 1.00 to 2.00"
    assert interval(Estimate(value=1.5, low=None, high=None), 0.95) == ""
    assert roughly(Need(value=1315, low=1009, high=1769), "networks", 10**6) == "roughly 1,000 to 1,800 networks"
    assert roughly(Need(value=2, low=2, high=2), "networks", 10**6) == "roughly 2 networks"
