"""Average precision as a fold over images, on sets that are drawn without boxes."""

import numpy as np
import pytest

from dorsal.stats import Ranked, Ratios, compare_arms, compare_fixed
from dorsal.stats.images import difference_noise


def ranked(n=150, classes=3, seed=0, groups=None, skill=0.6, difficulty=0):
    """What a detector finds in n images, some harder than others, at two thresholds. The last class is absent."""
    random, images = np.random.default_rng(seed), np.random.default_rng(difficulty)
    truths = images.integers(0, 4, (n, classes)) * (np.arange(classes) < classes - 1)
    hard = images.normal(size=(n, 1))
    found = random.binomial(truths, 1 / (1 + np.exp(hard - skill)))
    wrong = random.poisson(np.exp(0.5 * hard), (n, classes))
    image, label = np.indices(truths.shape)
    rows = [np.repeat(places.ravel(), (found + wrong).ravel()) for places in (image, label)]
    loose = np.concatenate([np.arange(f + w) < f for f, w in zip(found.ravel(), wrong.ravel(), strict=True)])
    hit = np.stack([loose, loose & (random.random(len(loose)) < 0.6)], axis=1)
    return Ranked(
        image=rows[0],
        label=rows[1],
        scores=random.normal(size=len(loose)) + loose - 0.5 * hard[rows[0], 0],
        hit=hit,
        ignored=~hit & (random.random((len(loose), 1)) < 0.05),
        truths=truths.astype(np.float64),
        groups=groups,
    )


def repeated(some, times, groups=None):
    """The set in which each image is there so many times."""
    parts = [(image, copy) for image, count in enumerate(times) for copy in range(count)]
    rows = [np.flatnonzero(some.image == image) for image, _ in parts]
    every = np.concatenate(rows)
    return Ranked(
        image=np.repeat(np.arange(len(parts)), [len(own) for own in rows]),
        label=some.label[every],
        scores=some.scores[every],
        hit=some.hit[every],
        ignored=some.ignored[every],
        truths=some.truths[[image for image, _ in parts]],
        groups=groups,
    )


def by_hand(some, label, threshold):
    """The average precision of a class as the text has it: the slow twin."""
    order = sorted(np.flatnonzero(some.label == label), key=lambda row: -some.scores[row])
    kept = [some.hit[row, threshold] for row in order if not some.ignored[row, threshold]]
    truths = some.truths[:, label].sum()
    points = [(sum(kept[: k + 1]) / truths, sum(kept[: k + 1]) / (k + 1)) for k in range(len(kept))]
    recalls = np.linspace(0, 1, 101)
    best = [max((precision for recall, precision in points if recall >= least), default=0) for least in recalls]
    return 100 * np.mean(best)


def test_precisions_are_those_of_the_text():
    some = ranked(40)
    found = some.precisions()
    expected = [[by_hand(some, label, threshold) for threshold in range(2)] for label in range(2)]
    assert found[:2] == pytest.approx(np.array(expected), abs=1e-10)
    assert np.isnan(found[2]).all()
    assert some.score() == pytest.approx(np.mean(expected), abs=1e-10)
    assert some.fold(np.ones((1, 40)))[0] == pytest.approx(some.score(), abs=1e-10)


def test_a_weight_counts_as_so_many_copies():
    some, random = ranked(30), np.random.default_rng(1)
    weights = random.integers(0, 4, (5, 30))
    copied = [repeated(some, times).score() for times in weights]
    assert some.fold(weights.astype(float)) == pytest.approx(copied, abs=1e-10)
    assert some.fold(0.5 * weights) == pytest.approx(copied, abs=1e-10)
    assert np.isnan(some.fold(np.zeros((1, 30)))).all()


def test_a_class_without_truth_in_a_draw_is_left_out_of_it():
    some = ranked(30)
    only = (some.truths[:, 1] == 0).astype(float)
    assert only.any()
    assert some.fold(only[None])[0] == pytest.approx(np.mean([by_hand_weighted(some, only, t) for t in range(2)]))


def by_hand_weighted(some, kept, threshold):
    """As `by_hand`, of the first class, on the images that are kept."""
    return by_hand(repeated(some, kept.astype(int)), 0, threshold)


@pytest.mark.parametrize(("n", "groups"), [(150, None), (150, np.arange(150) // 3), (400, None)])
def test_the_spread_of_the_values_is_that_of_a_bootstrap(n, groups):
    some = ranked(n, seed=n, groups=groups)
    values = some.values()
    assert values.shape == (n if groups is None else 50,)
    assert values.mean() == pytest.approx(some.score(), abs=1e-9)
    drawn = np.concatenate([some.fold(weights) for weights in some.redrawn(2000, np.random.default_rng(0))])
    assert values.var(ddof=1) / values.size == pytest.approx(drawn.var(), rel=0.15)


def test_the_spread_of_the_values_is_that_of_leaving_each_image_out():
    """With more images, leaving one out mostly tells between which recalls COCO happens to read the precision."""
    some = ranked(100, seed=2)
    left = some.fold(1 - np.eye(100))
    assert some.values().var(ddof=1) / 100 == pytest.approx(99 * left.var(), rel=0.15)
    assert np.corrcoef(some.values(), -left)[0, 1] > 0.95


def area(some, weights):
    """The mean over classes and thresholds of the area below the curve of precision over recall, in percent."""
    areas = []
    for label in range(2):
        rows = np.flatnonzero(some.label == label)
        rows = rows[np.argsort(-some.scores[rows])]
        own = weights[some.image[rows], None]
        hits, counted = np.cumsum(own * some.hit[rows], axis=0), np.cumsum(own * ~some.ignored[rows], axis=0)
        best = np.maximum.accumulate((hits / np.maximum(counted, 1e-9))[::-1], axis=0)[::-1]
        areas.append((own * some.hit[rows] * best).sum(axis=0) / (weights @ some.truths[:, label]))
    return 100 * np.mean(areas)


def test_the_values_are_the_derivative_of_the_area_below_the_curve():
    """Where two places have the same highest precision, the area bends, and the slope is that of one of them."""
    some = ranked(60)
    whole, steps = area(some, np.ones(60)), 1e-6 * np.eye(60)
    above = np.array([area(some, 1 + step) - whole for step in steps]) / 1e-6
    below = np.array([whole - area(some, 1 - step) for step in steps]) / 1e-6
    slopes = (some.values() - some.score()) / 60
    assert (below - 1e-5 <= slopes).all()
    assert (slopes <= above + 1e-5).all()
    assert (above - below < 1e-5).mean() > 0.5


def test_copies_of_an_image_in_one_group_count_once():
    once = ranked(40)
    copied = repeated(once, np.full(40, 4), groups=np.arange(160) // 4)
    assert copied.values() == pytest.approx(once.values(), abs=0.2)
    assert copied.values().std() == pytest.approx(once.values().std(), rel=0.01)


def test_detectors_are_compared_over_images():
    better, worse = (ranked(300, seed=seed, skill=skill) for seed, skill in ((1, 1.5), (2, 0)))
    scores = {"a": [better.score()], "b": [worse.score()]}
    (pair,) = compare_arms(scores, images={"a": [better.values()], "b": [worse.values()]}).pairs
    assert (pair.better, pair.significant) == ("a", True)
    fixed = compare_fixed(better, worse, draws=1000)
    assert fixed.difference.value == pytest.approx(better.score() - worse.score())
    assert (fixed.first_only, fixed.p, fixed.images) == (None, None, 300)
    spread = difference_noise(better.values()[None], worse.values()[None]).spread
    assert fixed.difference.high - fixed.difference.low == pytest.approx(2 * 1.96 * spread, rel=0.15)
    with pytest.raises(ValueError, match="scored on different images"):
        compare_fixed(better, ranked(300, difficulty=1))
    with pytest.raises(ValueError, match="scored on different images"):
        compare_fixed(better, Ratios(top=np.ones((300, 3)), bottom=np.ones((300, 3))))


def test_a_detector_that_is_always_right_or_never():
    some = ranked(50)
    never = Ranked(
        **{name: getattr(some, name)[:0] for name in ("image", "label", "scores", "hit", "ignored")}, truths=some.truths
    )
    assert never.score() == 0
    assert (never.values() == 0).all()
    rows = np.repeat(np.indices(some.truths.shape).reshape(2, -1), some.truths.astype(int).ravel(), axis=1)
    hit = np.ones((rows.shape[1], 2), dtype=bool)
    always = Ranked(image=rows[0], label=rows[1], scores=rows[0] * 1.0, hit=hit, ignored=~hit, truths=some.truths)
    assert always.score() == 100
    assert always.values() == pytest.approx(np.full(50, 100.0))


NOTHING = {
    "image": np.array([0]),
    "label": np.array([0]),
    "scores": np.zeros(1),
    "truths": np.ones((2, 1)),
} | dict.fromkeys(("hit", "ignored"), np.zeros((1, 1), dtype=bool))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"truths": np.ones(2)}, r"must be \[n, K\]"),
        ({"scores": np.zeros(2)}, "one entry for each of the 1 found"),
        ({"ignored": np.zeros((1, 2), dtype=bool)}, "must have the shape of hit"),
        (dict.fromkeys(("hit", "ignored"), np.ones((1, 1), dtype=bool)), "both right and ignored"),
        ({"image": np.array([2])}, "image holds 2 to 2: it must be within 0 to 1"),
        ({"label": np.array([-1])}, "label holds -1 to -1: it must be within 0 to 0"),
        ({"scores": np.array([np.nan])}, "finite"),
        ({"truths": np.zeros((2, 1))}, "there is no score"),
        (
            {"hit": np.ones((1, 1), dtype=bool), "truths": np.array([[0.0], [1.0]])},
            "more objects of an image and class",
        ),
        ({"groups": np.zeros(3, int)}, "one number for each image"),
    ],
)
def test_what_is_no_score_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Ranked(**(NOTHING | change))
