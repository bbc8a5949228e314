"""What the choice of test images does to scores and to differences."""

from math import inf, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from dorsal.stats import Ratios, compare_arms, compare_fixed, pooled_means
from dorsal.stats.images import Few, difference_noise
from dorsal.stats.needs import seeds_needed
from dorsal.stats.tukey import POWER_QUANTILE, critical_t, same_level
from tests.stats.simulate_ious import coverage, ious


def hits(right, groups=None):
    top = np.asarray(right, dtype=np.float64)[:, None]
    return Ratios(top=top, bottom=np.ones_like(top), groups=groups)


def ratios(seed=0, groups=None, n=300):
    """Counts as of a mean intersection over union of three classes, of which the last is in no image."""
    random = np.random.default_rng(seed)
    bottom = random.integers(0, 50, (n, 3)).astype(np.float64) * [1, 1, 0]
    return Ratios(top=np.floor(bottom * random.random((n, 1))), bottom=bottom, groups=groups)


def runs(arms=3, seeds=3, images=200, seed=0, apart=0.3):
    """Right and wrong answers [arms, seeds, images] as scores and as values by image."""
    random = np.random.default_rng(seed)
    logits = 1 + random.normal(size=images) + apart * np.arange(arms)[:, None, None]
    logits = logits + 0.5 * random.normal(size=(arms, 1, images)) + 0.2 * random.normal(size=(arms, seeds, 1))
    answers = 100.0 * (random.random((arms, seeds, images)) < 1 / (1 + np.exp(-logits)))
    names = "abcdefgh"[:arms]
    scores = dict(zip(names, answers.mean(axis=2).tolist(), strict=True))
    return scores, dict(zip(names, map(list, answers), strict=True))


def test_an_image_contributes_100_or_0_to_the_accuracy():
    accuracy = hits([1, 0, 1, 1])
    assert accuracy.score() == 75
    assert accuracy.values().tolist() == [100, 0, 100, 100]


def test_a_weight_counts_as_so_many_copies():
    some, weights = ratios(n=20), np.arange(20) % 3
    copied = Ratios(top=np.repeat(some.top, weights, axis=0), bottom=np.repeat(some.bottom, weights, axis=0))
    assert some.fold(weights[None].astype(float))[0] == pytest.approx(copied.score())
    assert np.isnan(some.fold(np.zeros((1, 20)))).all()


@pytest.mark.parametrize("groups", [None, np.arange(300) // 3])
def test_the_spread_of_the_values_is_that_of_a_bootstrap(groups):
    some = ratios(groups=groups)
    values = some.values()
    assert values.mean() == pytest.approx(some.score())
    drawn = np.concatenate([some.fold(weights) for weights in some.redrawn(4000, np.random.default_rng(0))])
    assert values.std(ddof=1) / sqrt(values.size) == pytest.approx(drawn.std(), rel=0.05)


def test_copies_of_an_image_in_one_group_count_once():
    once, copies = ratios(), ratios()
    copied = Ratios(
        top=np.repeat(copies.top, 4, axis=0), bottom=np.repeat(copies.bottom, 4, axis=0), groups=np.arange(1200) // 4
    )
    assert copied.values() == pytest.approx(once.values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"top": np.ones((3, 2))}, "both must be"),
        ({"top": np.full((3, 1), np.nan)}, "finite"),
        ({"bottom": np.zeros((3, 1))}, "there is no score"),
        ({"groups": np.zeros(2, int)}, "one number for each image"),
    ],
)
def test_counts_that_are_no_score_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Ratios(**({"top": np.ones((3, 1)), "bottom": np.ones((3, 1))} | change))


def test_the_spread_of_a_difference_is_the_textbooks():
    first, second = (np.random.default_rng(seed).random((1, 500)) < 0.7 for seed in (0, 1))
    b, c = ((first & ~second).mean(), (second & ~first).mean())
    found = difference_noise(100.0 * first, 100.0 * second)
    assert found.spread == pytest.approx(100 * sqrt((b + c - (b - c) ** 2) / 499))
    assert found.own == 1  # one seed: nothing of it is known to be of the seed


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 9), st.integers(0, 9), st.sampled_from([0.05, 0.01, 0.2]))
def test_few_separating_images_exclude_0_as_mcnemars_exact_test_does(wins, losses, level):
    low, high = Few(wins=float(wins), losses=float(losses), images=1000).ends(level)
    assert -1 <= low <= (wins - losses) / 1000 <= high <= 1
    p = stats.binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
    assert (low > 0 or high < 0) == (p < level)


def test_models_that_never_differ_may_still_differ_on_other_images():
    low, high = Few(wins=0.0, losses=0.0, images=50).ends(0.05)
    assert -low == high == pytest.approx(1 - 0.025 ** (1 / 50))


@pytest.mark.parametrize(("arms", "seeds", "images"), [(2, 2, 40), (3, 3, 200), (4, 10, 1000), (3, 5, 60)])
def test_the_interval_has_both_halves_and_is_never_narrower_than_one_noise_alone(arms, seeds, images):
    scores, values = runs(arms, seeds, images, seed=arms)
    both, alone = compare_arms(scores, images=values), compare_arms(scores)
    for pair, before in zip(both.pairs, alone.pairs, strict=True):
        assert (pair.better, pair.worse, pair.n, pair.images) == (before.better, before.worse, seeds, images)
        assert pair.difference.value == before.difference.value
        assert pair.seed_half == pytest.approx(before.difference.high - before.difference.value)
        half = (pair.difference.high - pair.difference.low) / 2
        assert half == pytest.approx(np.hypot(pair.seed_half, pair.image_half))
        spread = difference_noise(np.array(values[pair.better]), np.array(values[pair.worse])).spread
        assert half >= critical_t(arms, inf, 0.95) * spread - 1e-9
        assert pair.significant == (pair.difference.low > 0) == (pair.p < 0.05)
        assert pair.p >= before.p - 1e-3


def test_the_level_of_p_is_the_one_at_which_the_interval_ends_at_0():
    scores, values = runs(3, 4, 300)
    for pair in compare_arms(scores, images=values).pairs:
        if 1e-6 < pair.p < 0.9:
            (same,) = (
                each
                for each in compare_arms(scores, confidence=1 - pair.p, images=values).pairs
                if (each.better, each.worse) == (pair.better, pair.worse)
            )
            assert same.difference.low == pytest.approx(0, abs=0.01 * pair.difference.value)


def test_noise_that_a_seed_does_to_single_images_is_counted_once():
    """Runs whose answers are independent draws: the noise of seeds holds all of it."""
    random = np.random.default_rng(0)
    first, second = 100.0 * (random.random((2, 8, 2000)) < 0.7)
    assert difference_noise(first, second).own < 0.1
    same = np.repeat(first[:1], 8, axis=0)
    assert difference_noise(same, np.repeat(second[:1], 8, axis=0)).own == 1


def test_with_one_seed_the_interval_is_over_images_alone():
    scores, values = runs(3, 1)
    found = compare_arms(scores, images=values)
    for pair in found.pairs:
        assert pair.seed_half is None
        assert pair.image_half == pytest.approx((pair.difference.high - pair.difference.low) / 2)
        assert (pair.p < 0.05) == pair.significant
        assert pair.needed is None
    assert all(mean.low is not None for mean in pooled_means(scores, images=values).values())


def test_means_have_the_noise_of_images_too():
    scores, values = runs(3, 5)
    both, alone = pooled_means(scores, images=values), pooled_means(scores)
    for arm, mean in both.items():
        assert mean.high - mean.low > alone[arm].high - alone[arm].low
    # 50 right answers of 50 are no proof that there is no error.
    all_right = pooled_means({"a": [100.0]}, images={"a": [np.full(50, 100.0)]})["a"]
    assert (all_right.low, all_right.high) == (pytest.approx(100 * 0.025 ** (1 / 50)), 100)


def test_missing_results_have_no_images():
    scores, values = runs(3, 3)
    scores["a"][1] = values["a"][1] = None
    assert len(compare_arms(scores, images=values).pairs) == 3
    values["a"][1] = values["a"][0]
    with pytest.raises(ValueError, match="None exactly where there is no result"):
        compare_arms(scores, images=values)
    with pytest.raises(ValueError, match="images lacks 'c'"):
        compare_arms(scores, images={"a": values["a"], "b": values["b"]})
    values["b"][1] = values["b"][1][:9]
    with pytest.raises(ValueError, match=r"runs on \[9, 200\] images"):
        compare_arms(scores, images=values)


def test_images_needed_is_what_the_normal_test_takes():
    scores, values = runs(2, 1, 400, seed=1, apart=0.1)
    (pair,) = compare_arms(scores, images=values).pairs
    spread = difference_noise(np.array(values[pair.better]), np.array(values[pair.worse])).spread
    taken = 400 * ((critical_t(2, inf, 0.95) + POWER_QUANTILE) * spread / pair.difference.value) ** 2
    assert pair.images_needed.value == pytest.approx(taken, abs=1)


def test_images_add_to_the_seeds_that_are_needed_until_no_number_of_seeds_is_enough():
    assert seeds_needed(1.0, 3, images=0.0) == seeds_needed(1.0, 3)
    assert seeds_needed(1.0, 3) < seeds_needed(1.0, 3, images=0.05)
    assert seeds_needed(1.0, 3, images=0.2) is None


@pytest.mark.parametrize(("arms", "freedom"), [(2, 1), (4, 6), (8, 7)])
def test_statistics_of_one_level(arms, freedom):
    for confidence in (0.5, 0.95, 0.99):
        found = same_level(critical_t(arms, inf, confidence), arms, freedom)
        assert found == pytest.approx(critical_t(arms, freedom, confidence), rel=1e-3)


def test_two_trained_models():
    random = np.random.default_rng(0)
    first, second = random.random(400) < 0.8, random.random(400) < 0.7
    found = compare_fixed(hits(first), hits(second))
    wins, losses = int((first & ~second).sum()), int((second & ~first).sum())
    assert (found.first_only, found.second_only) == (wins, losses)
    assert found.p == pytest.approx(stats.binomtest(wins, wins + losses).pvalue)
    spread = difference_noise(100.0 * first[None], 100.0 * second[None]).spread
    assert found.difference.value == pytest.approx(100 * (wins - losses) / 400)
    assert found.difference.high - found.difference.low == pytest.approx(2 * 1.96 * spread, rel=0.06)


def test_two_trained_models_that_mcnemar_cannot_judge():
    grouped = np.arange(300) // 2
    assert compare_fixed(hits(np.arange(300) % 3 > 0, grouped), hits(np.arange(300) % 2, grouped)).p is None
    counts = compare_fixed(ratios(0), ratios(0))
    assert (counts.first_only, counts.p) == (None, None)
    assert (counts.difference.value, counts.difference.low) == (0, None)
    alike = compare_fixed(hits([1, 0, 1]), hits([1, 0, 1]))
    assert (alike.first_only, alike.second_only, alike.p) == (0, 0, 1)
    with pytest.raises(ValueError, match="scored on different images"):
        compare_fixed(hits([1, 0]), hits([1, 0, 1]))


def test_a_mean_of_seeds_that_answer_alike_has_the_interval_of_one_seed():
    """A probe of few images leaves nothing to chance. Seeds that only score alike do."""
    scores, values = runs(arms=1, seeds=1)
    (one,) = pooled_means(scores, images=values).values()
    (three,) = pooled_means({"a": scores["a"] * 3}, images={"a": values["a"] * 3}).values()
    assert (three.value, three.low, three.high) == pytest.approx((one.value, one.low, one.high))
    (alike,) = pooled_means({"a": scores["a"] * 2}, images={"a": [values["a"][0], values["a"][0][::-1]]}).values()
    assert alike.low is None
    apart = {"a": [values["a"][0], None], "b": [None, values["a"][0]]}
    single = pooled_means({"a": [scores["a"][0], None], "b": [None, scores["a"][0]]}, images=apart)
    assert all(mean.low is None for mean in single.values())


def by_loop(some, counts):
    """The slow twin: the IoU of each class over so many copies of each image, the mean over classes in the truth."""
    parts = []
    for k in range(some.top.shape[1]):
        top, bottom, present = (
            sum(float(column[i, k]) for i, count in enumerate(counts) for _ in range(count))
            for column in (some.top, some.bottom, some.present)
        )
        if present:
            parts.append(top / bottom)
    return 100 * sum(parts) / len(parts) if parts else np.nan


@given(st.integers(0, 10**6))
def test_classes_without_truth_are_left_out_of_each_draw(seed):
    random = np.random.default_rng(seed)
    some, counts = ious(random, 12), random.integers(0, 3, 12)
    assert some.fold(counts[None].astype(float))[0] == pytest.approx(by_loop(some, counts), nan_ok=True)


def test_presence_by_the_bottom_is_what_it_is_without_presence():
    for seed in range(5):
        plain = ratios(seed)
        told = Ratios(top=plain.top, bottom=plain.bottom, present=plain.bottom)
        weights = np.random.default_rng(seed).integers(0, 3, (50, 300)).astype(float)
        assert np.array_equal(told.fold(weights), plain.fold(weights))
        assert np.array_equal(told.values(), plain.values())
        assert told.score() == plain.score()


def test_the_spread_of_a_mean_iou_is_that_of_a_bootstrap():
    some = ious(np.random.default_rng(0), 400)
    values = some.values()
    assert values.mean() == pytest.approx(some.score())
    drawn = np.concatenate([some.fold(weights) for weights in some.redrawn(4000, np.random.default_rng(0))])
    assert values.std(ddof=1) / sqrt(values.size) == pytest.approx(drawn.std(), rel=0.05)


@pytest.mark.parametrize(("images", "rare"), [(200, 0.1), (400, 0.02)])
def test_intervals_of_a_mean_iou_cover_that_of_all_images(images, rare):
    """Also if a class is found and never true, and another is true in 8 images. With fewer they fail; see the docs."""
    share, error = coverage(images, rare)
    assert 0.93 <= share <= 0.97
    assert abs(error) < 0.2


@pytest.mark.parametrize(
    ("present", "message"),
    [
        (np.ones((3, 2)), "both must be"),
        (-np.ones((3, 1)), "none below 0"),
        (np.full((3, 1), np.inf), "finite"),
        (np.zeros((3, 1)), "present is 0 everywhere: there is no score"),
        (np.array([[1.0], [1.0], [1.0]]), "must have a bottom there"),
    ],
)
def test_presence_that_is_none_is_refused(present, message):
    with pytest.raises(ValueError, match=message):
        Ratios(top=np.zeros((3, 1)), bottom=np.array([[1.0], [1.0], [0.0]]), present=present)
