"""Which training images an epoch has, in which order: functions of (seed, epoch) and of nothing else."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dorsal.data.sampling import order


def balanced_order(labels: NDArray[np.int64], seed: int, epoch: int) -> Tensor:
    """As many images as there are labels, in a random order, int64 [n]: of every class that has images equally many, to
    within one. Images of a small class come several times, each equally often to within one."""
    shuffled = order(len(labels), seed, epoch).numpy()
    members = {label: shuffled[labels[shuffled] == label] for label in np.unique(labels).tolist()}
    share = -(-len(labels) // len(members))
    drawn = np.stack([np.resize(images, share) for images in members.values()], axis=1).ravel()[: len(labels)]
    again = order(len(labels), seed, -1 - epoch)
    return torch.from_numpy(drawn)[again]


def repeat_factors(present: NDArray[np.bool_], threshold: float) -> NDArray[np.float64]:
    """How often an epoch should have each image so that rare classes come more often, float64 [n].

    `present` [n, K] says which classes an image has. A class in a share f of the images has the factor
    max(1, sqrt(threshold / f)). An image has the largest factor of its classes, and 1 without classes. This is the
    repeat factor sampling of LVIS (arXiv 1908.03195), with detectron2's RepeatFactorTrainingSampler as the reference;
    that one keeps float32. Raises ValueError for a threshold outside 0 to 1.
    """
    if not 0 <= threshold <= 1:
        nearest = 1 if threshold > 1 else 0
        raise ValueError(f"threshold={threshold} is not a share of the images, 0 to 1; nearest valid: {nearest}")
    images = present.sum(axis=0).clip(min=1)  # a class without images counts for no image, so 1 is as good as any
    of_classes = np.sqrt(threshold * len(present) / images)
    # A view and a mask, since a float64 array [n, K] would take a gigabyte for LVIS.
    factors: NDArray[np.float64] = np.max(
        np.broadcast_to(of_classes, present.shape), axis=1, initial=1.0, where=present
    )
    return factors


def repeated_order(factors: NDArray[np.float64], seed: int, epoch: int) -> Tensor:
    """Each image i `factors[i]` times, rounded up or down by chance, in a random order, int64 [m].

    m is round(factors.sum()) in every epoch. Where the factors add up to a whole number, image i comes `factors[i]`
    times in expectation. Where they do not, the expectations have to add up to m: together they move by 1/2 at most,
    and no whole factor moves. `factors` [n] are finite and not negative. Where all are 1, this is `order`.

    detectron2's RepeatFactorTrainingSampler rounds every image on its own, so that its epochs differ in length.
    """
    whole = np.floor(factors)
    chance = factors - whole
    more = round(factors.sum()) - int(whole.sum())
    lack = more - chance.sum()
    if lack:
        room = np.where(chance > 0, 1 - chance, 0) if lack > 0 else chance
        chance += lack * room / room.sum()
    # Systematic sampling: the chances lie end to end on a line, in a random order. Points at a distance of 1 hit each
    # image with its chance, none twice, and always equally many images.
    random = np.random.default_rng((seed, epoch))
    images = random.permutation(np.flatnonzero(chance))
    points = random.random() + np.arange(more)
    hit = images[np.searchsorted(chance[images].cumsum()[:-1], points, side="right")]
    repeated = np.concatenate([np.repeat(np.arange(len(factors)), whole.astype(np.int64)), hit])
    return torch.from_numpy(repeated)[order(len(repeated), seed, epoch)]


def grouped_order(order: Tensor, wide: NDArray[np.bool_], batch: int) -> Tensor:
    """The images of `order`, int64 [m], moved so that wide ones share batches with wide ones, int64 [m].

    `wide` [n] says which images are wide; the others are tall. Batches of one kind need less padding. Each kind has a
    queue, and a queue that has `batch` images becomes the next batch, as in detectron2's AspectRatioGroupedDataset.
    What is left comes last, the tall images first; detectron2 has no end of an epoch. So of the batches that `Batches`
    cuts, only one of the last two may hold both kinds. Images of one kind keep their order.
    """
    is_wide = wide.tolist()
    tall_queue: list[int] = []
    wide_queue: list[int] = []
    grouped: list[int] = []
    for image in order.tolist():
        queue = wide_queue if is_wide[image] else tall_queue
        queue.append(image)
        if len(queue) == batch:
            grouped += queue
            queue.clear()
    return torch.tensor(grouped + tall_queue + wide_queue, dtype=torch.int64)


def grouped_epoch(orders: Callable[[int], Tensor], wide: NDArray[np.bool_], batch: int, epoch: int) -> Tensor:
    """`grouped_order` of the order of an epoch. With functools.partial it groups any `orders` of `Batches`:
    partial(grouped_epoch, partial(repeated_order, factors, seed), wide, batch)."""
    return grouped_order(orders(epoch), wide, batch)
