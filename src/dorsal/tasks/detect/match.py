"""Which box learns which object, and which boxes learn at all."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Match(NamedTuple):
    """What boxes are matched to.

    - `place` int64 [B]: that of the object of largest overlap, for boxes of every label.
    - `label` int64 [B]: 1 for an object, 0 for background, -1 for a box that takes no part.
    """

    place: Tensor
    label: Tensor


class Sample(NamedTuple):
    """A draw of boxes, in sets of a fixed size S.

    - `place` int64 [N, S]: those of the boxes among all. `valid` bool [N, S]: whether there is a box.
    - `positive` bool [N, S]: whether it learns an object; these come first.
    """

    place: Tensor
    valid: Tensor
    positive: Tensor


def match(overlap: Tensor, valid: Tensor, low: float, high: float, forced: bool = False) -> Match:
    """Matches the boxes of one image by their overlap [G, B] with G ≥ 1 objects, of which `valid` bool [G] count.

    A box is an object's from an overlap of `high` on, background below `low`, and takes no part between. With `forced`
    every object's best boxes, all that tie, become positive whatever their overlap: an object that overlaps no box
    makes every box positive that has an overlap of 0 with it. A forced box keeps the `place` of largest overlap, as in
    detectron2, so that it may learn another object than the one that forced it. Without valid objects every box is
    background.
    """
    overlap = torch.where(valid[:, None], overlap, -1)
    best, place = overlap.max(0)
    label = (best >= high).long() - ((best >= low) & (best < high)).long()
    if forced:
        best_of_object = overlap.max(1, keepdim=True).values
        label = torch.where(((overlap == best_of_object) & valid[:, None]).any(0), 1, label)
    return Match(place, label)


def sample(label: Tensor, draws: Tensor, number: int, positive_share: float) -> Sample:
    """Draws up to `number` boxes of each image: at most `positive_share` of them positive, the rest background.

    `label` [N, B] is that of `Match`. `draws` float [N, B] in [0, 1) are random numbers; of each kind the boxes with
    the smallest are taken, so that the sample is a function of them. There are min(number, B) places; those left over
    are not valid.
    """
    places = min(number, label.shape[1])
    most_positive = min(int(number * positive_share), places)
    positive, positive_found = _smallest(draws, label == 1, most_positive)
    negative, negative_found = _smallest(draws, label == 0, places)
    left = number - positive_found.sum(1, keepdim=True)
    negative_found &= torch.arange(places, device=label.device) < left
    place = torch.cat((positive, negative), 1)
    valid = torch.cat((positive_found, negative_found), 1)
    front = valid.byte().argsort(dim=1, descending=True, stable=True)[:, :places]
    place, valid = place.gather(1, front), valid.gather(1, front)
    return Sample(place, valid, valid & (label.gather(1, place) == 1))


def draw_numbers(boxes: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Random numbers [N, B] in [0, 1) for `sample`, one a box [N, B, 4]. They are drawn on the CPU, from its default
    generator where none is given, so that they are the same on every device."""
    return torch.rand(boxes.shape[:2], generator=generator).to(boxes.device)


def _smallest(draws: Tensor, of: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Places [N, count] of the smallest draws among those `of`, in order, and which of these places are real."""
    place = torch.where(of, draws, 2).topk(count, 1, largest=False).indices
    return place, of.gather(1, place)
