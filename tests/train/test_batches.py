"""Orders of images: rare classes more often, wide images together."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dorsal.data.orders import grouped_epoch, grouped_order, repeat_factors, repeated_order
from dorsal.data.sampling import order
from dorsal.train.batches import Batches

SEEDS = st.integers(0, 2**31)
FACTORS = st.lists(st.integers(1, 4).map(float) | st.floats(1, 4), max_size=40).map(np.array)
# An order in which images may come several times or not at all, which of them are wide, and the size of a batch.
ORDERS = st.lists(st.booleans(), min_size=1, max_size=12).flatmap(
    lambda wide: st.tuples(
        st.lists(st.integers(0, len(wide) - 1), max_size=60).map(partial(torch.tensor, dtype=torch.int64)),
        st.just(np.array(wide)),
        st.integers(1, 9),
    )
)


def test_repeat_factors_known_answers() -> None:
    present = np.zeros((8, 5), bool)
    present[:7, 0] = True  # frequent: sqrt(4 / 7) is below 1
    present[:4, 1] = True  # exactly at the threshold
    present[:2, 2] = True  # sqrt(2)
    present[0, 3] = True  # 2; of class 4 there is no image
    factors = repeat_factors(present, 0.5)
    assert factors.dtype == np.float64
    assert factors.tolist() == pytest.approx([2, math.sqrt(2), 1, 1, 1, 1, 1, 1], abs=0, rel=1e-15)
    assert repeat_factors(present, 0).tolist() == [1] * 8
    assert repeat_factors(present[:, :0], 0.5).tolist() == [1] * 8


@given(st.integers(1, 12), st.integers(0, 6), st.floats(0, 1), SEEDS)
def test_repeat_factors_are_those_of_a_loop(images: int, classes: int, threshold: float, seed: int) -> None:
    present = np.random.default_rng(seed).random((images, classes)) < 0.3
    expected = []
    for row in present:
        factor = 1.0
        for label in np.flatnonzero(row):
            share = sum(present[:, label].tolist()) / images
            factor = max(factor, math.sqrt(threshold / share))
        expected.append(factor)
    assert repeat_factors(present, threshold).tolist() == pytest.approx(expected, abs=0, rel=1e-15)


@pytest.mark.parametrize(("threshold", "nearest"), [(-0.1, 0), (1.5, 1), (math.nan, 0)])
def test_a_threshold_that_is_no_share_is_refused(threshold: float, nearest: int) -> None:
    said = f"threshold={threshold} is not a share of the images, 0 to 1; nearest valid: {nearest}"
    with pytest.raises(ValueError, match=said):
        repeat_factors(np.ones((2, 2), bool), threshold)


def test_repeated_order_is_pinned() -> None:
    factors = np.array([1, 1.5, 2.5, 1])
    orders = [repeated_order(factors, 0, epoch) for epoch in range(3)]
    assert all(drawn.dtype == torch.int64 for drawn in orders)
    assert [drawn.tolist() for drawn in orders] == [[1, 2, 2, 1, 3, 0], [0, 1, 2, 3, 2, 2], [2, 1, 2, 3, 0, 1]]
    assert not torch.equal(repeated_order(factors, 1, 0), orders[0])


@given(FACTORS, SEEDS, st.integers(0, 100))
def test_repeated_order_rounds_every_factor_and_keeps_the_length(
    factors: NDArray[np.float64], seed: int, epoch: int
) -> None:
    given_factors = factors.copy()
    drawn = repeated_order(factors, seed, epoch)
    assert len(drawn) == round(factors.sum())
    counts = np.bincount(drawn.numpy(), minlength=len(factors))
    assert len(counts) == len(factors)
    assert ((counts == np.floor(factors)) | (counts == np.ceil(factors))).all()
    assert torch.equal(repeated_order(factors, seed, epoch), drawn)
    assert np.array_equal(factors, given_factors)


@pytest.mark.parametrize(
    ("factors", "expected"),
    [
        ([1, 1.25, 1.5, 2.25, 3.0, 1.9, 1.1], [1, 1.25, 1.5, 2.25, 3.0, 1.9, 1.1]),
        # 7.4: 0.4 is taken in proportion to the parts behind the point, which make 1.4.
        ([1, 1.7, 2.2, 2.5], [1, 1.5, 2 + 1 / 7, 2 + 2.5 / 7]),
        # 7.6: 0.4 is added in proportion to what is left to the next whole number, which makes 1.4.
        ([1, 1.3, 2.8, 2.5], [1, 1.5, 2 + 6 / 7, 2.5 + 1 / 7]),
        # 3.8: no image has more room than this takes.
        ([1.9, 1.9], [2, 2]),
        ([1.2, 1.2], [1, 1]),
    ],
)
def test_repeated_order_expects_the_factors(factors: list[float], expected: list[float]) -> None:
    epochs = 2000
    drawn = torch.cat([repeated_order(np.array(factors), 3, epoch) for epoch in range(epochs)])
    means = np.bincount(drawn.numpy()) / epochs
    # A count is one of two neighbours, with a variance of 1/4 at most: 4 standard errors.
    part = np.modf(expected)[0]
    assert (np.abs(means - expected) <= 4 * np.sqrt(part * (1 - part) / epochs) + 1e-12).all()


@given(st.integers(0, 50), SEEDS, st.integers(0, 100))
def test_without_repeats_the_order_is_the_plain_one(images: int, seed: int, epoch: int) -> None:
    assert torch.equal(repeated_order(np.ones(images), seed, epoch), order(images, seed, epoch))


def test_grouped_order_is_pinned() -> None:
    """The wide 0 3 4 are full first, then the tall 1 2 5 and 7 8 9. The tall 11 and the wide 6 10 are left."""
    wide = np.isin(np.arange(12), [0, 3, 4, 6, 10])
    grouped = grouped_order(torch.arange(12), wide, 3)
    assert grouped.dtype == torch.int64
    assert grouped.tolist() == [0, 3, 4, 1, 2, 5, 7, 8, 9, 11, 6, 10]
    assert grouped_order(torch.tensor([2, 0, 2, 1, 0, 1]), wide, 2).tolist() == [2, 2, 0, 0, 1, 1]


@given(ORDERS)
def test_grouped_order_is_that_of_counting(
    case: tuple[torch.Tensor, NDArray[np.bool_], int],
) -> None:
    """Slowly: wherever an image is the last of a full batch of its kind, counted from the beginning, that is one."""
    drawn, wide, batch = case
    expected: list[int] = []
    kinds = wide[drawn.numpy()]
    for place in range(len(drawn)):
        same = [other for other in range(place + 1) if kinds[other] == kinds[place]]
        if len(same) % batch == 0:
            expected += drawn[same[-batch:]].tolist()
    for kind in (False, True):
        same = [place for place in range(len(drawn)) if kinds[place] == kind]
        expected += drawn[same[len(same) // batch * batch :]].tolist()
    assert grouped_order(drawn, wide, batch).tolist() == expected


@given(ORDERS)
def test_grouped_order_moves_images_and_mixes_one_batch_at_most(
    case: tuple[torch.Tensor, NDArray[np.bool_], int],
) -> None:
    drawn, wide, batch = case
    before = drawn.clone()
    grouped = grouped_order(drawn, wide, batch)
    assert torch.equal(drawn, before)
    assert sorted(grouped.tolist()) == sorted(drawn.tolist())
    assert torch.equal(grouped_order(drawn, wide, batch), grouped)
    mixed = [index for index, cut in enumerate(grouped.split(batch)) if len(set(wide[cut.numpy()])) > 1]
    assert len(mixed) <= 1
    assert all(index >= math.ceil(len(drawn) / batch) - 2 for index in mixed)
    tall, rest = (drawn[torch.from_numpy(kind[drawn.numpy()])] for kind in (~wide, wide))
    assert bool(mixed) == (len(tall) % batch > 0 and len(rest) % batch > 0)  # fewer cannot be
    for alike in (tall, rest):
        assert torch.equal(grouped_order(alike, wide, batch), alike)


@given(FACTORS, st.integers(1, 9), st.integers(1, 4), SEEDS, st.integers(0, 3))
def test_processes_share_the_batches_of_grouped_repeated_images(
    factors: NDArray[np.float64], batch: int, world: int, seed: int, epoch: int
) -> None:
    wide = np.random.default_rng(seed).random(len(factors)) < 0.6
    orders = partial(grouped_epoch, partial(repeated_order, factors, seed), wide, batch)
    parts = [Batches(round(factors.sum()), batch, orders, rank, world) for rank in range(world)]
    for part in parts:
        part.epoch = epoch
    seen: list[int] = []
    for index, shares in enumerate(zip(*parts, strict=True)):
        cut = [0] * parts[0].size(index)
        for rank, (part, share) in enumerate(zip(parts, shares, strict=True)):
            cut[rank::world] = share[: part.share(index)]
        seen += cut
    assert seen == grouped_order(repeated_order(factors, seed, epoch), wide, batch).tolist()
