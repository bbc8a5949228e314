"""Seeds that draw training and test images anew from the same images: what the corrected variance is worth."""

import numpy as np
import pytest

from dorsal.stats import compare_arms, pooled_means
from dorsal.stats.needs import seeds_needed
from dorsal.stats.unequal_noise import compare_unequal_arms
from dorsal.stats.verdicts import judge, seeds_for_equality
from dorsal.stats.win_probability import win_probability

TABLE = {"a": [81.0, 83.0, 80.0, 84.0], "b": [79.0, 82.0, 79.0, 80.0], "c": [70.0, 75.0, 72.0, 71.0]}


def _gaps(random: np.random.Generator, images: int, seeds: int, held: int, folds: bool) -> np.ndarray:
    """By how much one of two classifiers by nearest means leads the other, which sees fewer of ten features, for each
    seed. Each holds out so many images, drawn anew or as one of the folds of a partition."""
    labels = random.integers(0, 2, images)
    features = random.standard_normal((images, 10)) + 0.45 * (2 * labels[:, None] - 1)
    found, places = np.empty((2, seeds)), random.permutation(images)
    for seed in range(seeds):
        places = np.roll(places, -held) if folds else random.permutation(images)
        test, train = places[:held], places[held:]
        for arm, seen in enumerate((10, 5)):
            means = [features[train][labels[train] == label, :seen].mean(axis=0) for label in (0, 1)]
            away = [((features[test, :seen] - mean) ** 2).sum(axis=1) for mean in means]
            found[arm, seed] = 100 * ((away[0] > away[1]) == labels[test]).mean()
    return found[0] - found[1]


@pytest.mark.parametrize(("seeds", "held", "folds", "most"), [(6, 30, False, 0.88), (5, 24, True, 0.95)])
def test_the_interval_covers_new_images_where_that_of_independent_seeds_does_not(
    seeds: int, held: int, folds: bool, most: float
) -> None:
    """The truth is the difference on all sets of so many images, not on the one that the seeds share. Folds share no
    test images, so that as independent seeds they miss less often."""
    random, images = np.random.default_rng(0), 120
    truth = np.mean([_gaps(random, images, 1, held, folds) for _ in range(5000)])
    covered = {0.0: 0, held / (images - held): 0}
    studies = [_gaps(random, images, seeds, held, folds).tolist() for _ in range(400)]
    for overlap in covered:
        for gap in studies:
            found = pooled_means({"gap": gap}, overlap=overlap)["gap"]
            covered[overlap] += found.low is not None and found.high is not None and found.low <= truth <= found.high
    plain, corrected = (hits / len(studies) for hits in covered.values())
    assert plain < most
    assert 0.94 < corrected < 0.99


def test_the_variance_grows_by_the_overlap_times_that_of_one_seed() -> None:
    plain, corrected = compare_arms(TABLE), compare_arms(TABLE, overlap=0.25)
    for before, after in zip(plain.pairs, corrected.pairs, strict=True):
        assert (before.better, before.worse, before.difference.value) == (
            after.better,
            after.worse,
            after.difference.value,
        )
        assert before.seed_half is not None
        assert after.seed_half == pytest.approx(before.seed_half * np.sqrt((1 / 4 + 0.25) / (1 / 4)))
    means = pooled_means(TABLE, overlap=0.25)
    for arm, before in pooled_means(TABLE).items():
        assert before.high is not None
        high = means[arm].high
        assert high is not None
        assert high - means[arm].value == pytest.approx((before.high - before.value) * np.sqrt(2))
    unequal = [compare_unequal_arms(TABLE, overlap=overlap).pairs[0].difference for overlap in (0.0, 0.25)]
    assert unequal[1].high is not None
    assert unequal[0].high is not None
    assert unequal[1].high - unequal[1].value == pytest.approx((unequal[0].high - unequal[0].value) * np.sqrt(2))


def test_no_number_of_seeds_shows_what_the_overlap_hides() -> None:
    """With infinitely many seeds the standard error is that of 1 / overlap independent ones."""
    assert seeds_needed(1.0, 2) is not None
    assert seeds_needed(1.0, 2, overlap=0.25) is None
    some = seeds_needed(3.0, 2, overlap=0.25)
    assert some is not None
    assert some > (seeds_needed(3.0, 2) or 0)
    assert seeds_for_equality(1.0, 2) is not None
    assert seeds_for_equality(1.0, 2, overlap=0.25) is None
    close = {"a": [81.0, 83.0, 80.0, 84.0], "b": [80.0, 83.5, 79.0, 84.0]}
    needs = [judge(compare_arms(close, overlap=overlap))[0].equal_needed for overlap in (0.0, 0.25)]
    assert needs[0] is not None
    assert needs[0].value is not None
    assert needs[1] is not None
    assert needs[1].value is None


def test_wins_are_less_certain() -> None:
    plain, corrected = (win_probability(TABLE["a"], TABLE["b"], overlap=overlap) for overlap in (0.0, 0.25))
    assert corrected.low is not None
    assert plain.low is not None
    assert corrected.low < plain.low


def test_an_overlap_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="overlap=-1"):
        compare_arms(TABLE, overlap=-1)
    seen = {arm: [np.zeros(10) for _ in runs] for arm, runs in TABLE.items()}
    with pytest.raises(ValueError, match="goes without images"):
        compare_arms(TABLE, images=seen, overlap=0.25)
