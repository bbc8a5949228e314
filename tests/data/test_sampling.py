import random
from collections.abc import Callable

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.transforms import v2

from dorsal.data.sampling import SeededItems, held_out, inner_data, order, resample, resampled_data, whole
from dorsal.data.split import ImageData, Split
from dorsal.tasks.classify.method import LabelledItems
from tests.train.tiny import Closed, Stacked, make_data


def seeded(split: Split, transform: Callable[[Tensor], Tensor], seed: int) -> SeededItems[tuple[Tensor, int]]:
    return SeededItems(LabelledItems(split, transform), len(split), seed)


def draw(image: Tensor) -> Tensor:
    """Stands for an augmentation: reports the draws it was given."""
    return torch.rand(4)


def draws(dataset: SeededItems[tuple[Tensor, int]], count: int) -> list[tuple[float, ...]]:
    return [tuple(dataset[index][0].tolist()) for index in range(count)]


def test_draws_are_fixed_by_seed_epoch_and_index(scenes: ImageData) -> None:
    seen: set[tuple[float, ...]] = set()
    for seed in range(3):
        for epoch in range(3):
            dataset = seeded(scenes.train, draw, seed)
            dataset.set_epoch(epoch)
            first = draws(dataset, 50)
            assert first == draws(dataset, 50)
            seen.update(first)
    assert len(seen) == 3 * 3 * 50


def test_the_global_generators_are_left_alone(scenes: ImageData) -> None:
    def fails(image: Tensor) -> Tensor:
        torch.rand(1)
        raise RuntimeError("in a transform")

    torch.manual_seed(5)
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    assert len(draws(seeded(scenes.train, draw, 0), 10)) == 10
    with pytest.raises(RuntimeError, match="in a transform"):
        seeded(scenes.train, fails, 0)[0]
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1:] == (random.getstate(), np.random.get_state()[1].tolist())


def test_the_global_generator_has_no_say(scenes: ImageData) -> None:
    dataset = seeded(scenes.train, draw, 0)
    torch.manual_seed(1)
    first = draws(dataset, 10)
    torch.manual_seed(2)
    assert first == draws(dataset, 10)


def test_a_real_augmentation_repeats(scenes: ImageData) -> None:
    augment = v2.Compose([v2.RandomResizedCrop(32, antialias=True), v2.RandAugment(), v2.RandomErasing(p=1.0)])
    dataset = seeded(scenes.train, augment, 3)
    first = [dataset[index][0] for index in range(20)]
    again = [dataset[index][0] for index in reversed(range(20))][::-1]
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))
    dataset.set_epoch(1)
    assert not any(torch.equal(one, dataset[index][0]) for index, one in enumerate(first))


def test_items_are_images_with_their_labels(scenes: ImageData) -> None:
    dataset = seeded(scenes.train, lambda image: image, 0)
    assert len(dataset) == len(scenes.train)
    for index in (0, 7, 999):
        image, label = dataset[index]
        assert torch.equal(image, scenes.train.image(index))
        assert label == scenes.train.labels[index]
        assert type(label) is int


@pytest.mark.parametrize("workers", [1, 2])
def test_loader_processes_change_nothing_and_hear_of_the_epoch(scenes: ImageData, workers: int) -> None:
    dataset = seeded(scenes.train, draw, 0)
    loader = DataLoader(
        dataset, batch_size=8, sampler=range(32), num_workers=workers, persistent_workers=True, prefetch_factor=2
    )
    for epoch in range(3):
        dataset.set_epoch(epoch)
        loaded = torch.cat([batch for batch, _ in loader])
        assert torch.equal(loaded, torch.tensor(draws(dataset, 32)))


@given(st.integers(1, 300), st.integers(0, 2**32 - 1), st.integers(0, 1000))
def test_order_is_a_permutation_that_repeats(n: int, seed: int, epoch: int) -> None:
    permutation = order(n, seed, epoch)
    assert sorted(permutation.tolist()) == list(range(n))
    assert torch.equal(permutation, order(n, seed, epoch))


def test_order_depends_on_seed_and_epoch() -> None:
    orders = {tuple(order(50, seed, epoch).tolist()) for seed in range(10) for epoch in range(10)}
    assert len(orders) == 100


def test_order_is_uniform() -> None:
    """Each place is equally likely to hold each item: chi-square over 16 cells of 4,000 orders."""
    counts = np.zeros((4, 4))
    for epoch in range(4000):
        counts[np.arange(4), order(4, 0, epoch).numpy()] += 1
    chi_square = ((counts - 1000) ** 2 / 1000).sum()
    assert chi_square < 27.9  # 99.9 % point of chi-square on (4 - 1) ** 2 = 9 degrees of freedom


def test_draws_of_neighbours_are_uniform_and_unrelated(scenes: ImageData) -> None:
    values = np.array(draws(seeded(scenes.train, draw, 0), 1000))[:, 0]
    histogram = np.histogram(values, bins=10, range=(0, 1))[0]
    assert ((histogram - 100) ** 2 / 100).sum() < 27.9  # 99.9 % point on 9 degrees of freedom
    assert abs(np.corrcoef(values[1:], values[:-1])[0, 1]) < 0.11  # 3.5 standard errors


def test_seeding_visits_no_accelerator(scenes: ImageData, monkeypatch: pytest.MonkeyPatch) -> None:
    def visits(*args: object, **options: object) -> None:
        raise AssertionError("forty times the time of seeding the one generator that is used")

    dataset = seeded(scenes.train, draw, 0)
    before = draws(dataset, 5)
    for name in ("torch.manual_seed", "torch.random.manual_seed", "torch.random.fork_rng", "torch.random.seed"):
        monkeypatch.setattr(name, visits)
    assert draws(dataset, 5) == before


def test_of_each_class_a_share_is_held_out() -> None:
    labels = np.array([0] * 10 + [1] * 3 + [2])
    learnt, held = held_out(labels, 0.2, 5)
    assert sorted([*learnt, *held]) == list(range(14))
    assert np.bincount(labels[held], minlength=3).tolist() == [2, 1, 0]
    assert held_out(labels, 0.2, 5)[1].tolist() == held.tolist()
    assert {tuple(held_out(labels, 0.2, seed)[1]) for seed in range(5)} != {tuple(held)}


@pytest.mark.parametrize("grouped", [False, True])
def test_inner_data_are_training_images_alone(grouped: bool) -> None:
    data = make_data(train=60)
    assert isinstance(data.train, Stacked)
    if grouped:
        data.train.groups = np.arange(60) // 6 * 3 + np.arange(60) % 3  # two of a class each
    closed = msgspec.structs.replace(data, val=Closed())
    inner = inner_data(closed, 0.2, 0)
    assert np.bincount(inner.train.labels).tolist() == [16, 16, 16]
    assert np.bincount(inner.val.labels).tolist() == [4, 4, 4]
    parts = [split.stacked for split in (inner.train, inner.val)]
    assert {bytes(image.numpy()) for part in parts if part is not None for image in part} == {
        bytes(image.numpy()) for image in data.train.stacked
    }
    assert torch.equal(inner.val.image(3), data.train.stacked[_place(data.train, inner.val.image(3))])
    if grouped:
        assert inner.train.groups is not None
        assert inner.val.groups is not None
        assert not set(inner.train.groups.tolist()) & set(inner.val.groups.tolist())
    others = [inner_data(closed, 0.2, 0), inner_data(closed, 0.2, 1)]
    assert [other.fingerprint == inner.fingerprint for other in others] == [True, False]
    assert inner.fingerprint != data.fingerprint


def _place(split: Stacked, image: Tensor) -> int:
    return next(place for place in range(len(split)) if torch.equal(split.stacked[place], image))


@pytest.mark.parametrize("grouped", [False, True])
def test_folds_hold_each_image_out_once_and_classes_are_even(grouped: bool) -> None:
    data = make_data(train=42, val=18)
    if grouped:
        for split, first in ((data.train, 0), (data.val, 100)):
            assert isinstance(split, Stacked)
            split.groups = first + np.arange(len(split)) // 6 * 3 + np.arange(len(split)) % 3  # two of a class each
    images = whole(data)
    draws = [resample(data, 4, seed) for seed in range(1, 9)]
    for partition in (draws[:4], draws[4:]):
        assert sorted(np.concatenate([each.held for each in partition]).tolist()) == list(range(60))
    assert {tuple(each.held) for each in draws[:4]} != {tuple(each.held) for each in draws[4:]}
    for each in draws:
        assert sorted([*each.learnt, *each.held]) == list(range(60))
        assert np.abs(np.bincount(images.labels[each.held]) - 5).max() <= (2 if grouped else 0)
        if images.groups is not None:
            assert not set(images.groups[each.held].tolist()) & set(images.groups[each.learnt].tolist())
    assert resample(data, 4, 2).held.tolist() == draws[1].held.tolist()


def test_at_random_a_seed_holds_out_as_many_images_as_the_data_do() -> None:
    data = make_data(train=45, val=15)
    draws = [resample(data, "random", seed) for seed in range(5)]
    assert {tuple(np.bincount(whole(data).labels[each.held]).tolist()) for each in draws} == {(5, 5, 5)}
    assert len({tuple(each.held.tolist()) for each in draws}) == 5
    drawn = resampled_data(data, "random", 3)
    assert drawn.val.labels.tolist() == whole(data).labels[draws[3].held].tolist()
    assert torch.equal(drawn.val.image(0), whole(data).image(int(draws[3].held[0])))
    assert drawn.train.stacked is not None
    assert torch.equal(drawn.train.stacked[7], drawn.train.image(7))
    fingerprints = {drawn.fingerprint, data.fingerprint, resampled_data(data, 4, 3).fingerprint}
    assert len(fingerprints | {resampled_data(data, "random", 4).fingerprint}) == 4


def test_more_folds_than_images_of_a_class_are_refused() -> None:
    data = make_data(train=30, val=9)
    with pytest.raises(ValueError, match=r"resample=14: class 'red' has 13 images, .*; nearest valid: 13"):
        resample(data, 14, 1)
    with pytest.raises(ValueError, match="resample=1 is fewer than 2 folds"):
        resample(data, 1, 1)
