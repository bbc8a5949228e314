"""The region proposal network: boxes in which there may be an object, whatever its class (arXiv 1506.01497).

Settings are detectron2's where a function has a default.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dorsal.tasks.detect.anchors import RATIOS, make_anchors
from dorsal.tasks.detect.boxes import Coder, clip, has_area, iou, pick
from dorsal.tasks.detect.match import Match, Sample, match
from dorsal.tasks.detect.nms import survivors_in_each

CODER = Coder((1.0, 1.0, 1.0, 1.0))
"""How the head's numbers change an anchor."""


class RpnLevel(NamedTuple):
    """What the head says on one map: `anchors` [A, 4], for each image and anchor a logit of there being an object
    [N, A], and how the anchor is to change [N, A, 4]."""

    anchors: Tensor
    logits: Tensor
    deltas: Tensor


class Proposals(NamedTuple):
    """Boxes [N, P, 4] inside of the images, best first by their logits [N, P]. Of those that are not `valid` bool
    [N, P], boxes and logits are 0."""

    boxes: Tensor
    logits: Tensor
    valid: Tensor


class RpnHead(nn.Module):
    """One head for all maps: a 3x3 convolution with ReLU, then two 1x1 convolutions. Weights start as N(0, .01)."""

    def __init__(self, channels: int, strides: Sequence[int], anchor: float) -> None:
        """For maps of so many channels with these strides; `anchor` is as in `make_anchors`."""
        super().__init__()
        self.strides, self.anchor = tuple(strides), anchor
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.logits = nn.Conv2d(channels, len(RATIOS), 1)
        self.deltas = nn.Conv2d(channels, 4 * len(RATIOS), 1)
        for layer in (self.conv, self.logits, self.deltas):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, maps: Sequence[Tensor]) -> tuple[RpnLevel, ...]:
        """Maps [N, channels, H, W] → what is said at each."""
        levels = []
        for x, stride in zip(maps, self.strides, strict=True):
            hidden = F.relu(self.conv(x))
            anchors = make_anchors((x.shape[2], x.shape[3]), stride, self.anchor, x.device)
            logits = self.logits(hidden).permute(0, 2, 3, 1).flatten(1)
            deltas = self.deltas(hidden).permute(0, 2, 3, 1).reshape(x.shape[0], -1, 4)
            levels.append(RpnLevel(anchors, logits.float(), deltas.float()))
        return tuple(levels)


@torch.no_grad()
def propose(levels: Sequence[RpnLevel], sizes: Tensor, before: int, after: int, threshold: float = 0.7) -> Proposals:
    """The best boxes of each image; no gradient goes through them.

    On each level the `before` anchors with the largest logits are changed and clipped to the image, `sizes` [N, 2]
    being heights and widths. Those left without area, or not finite, are dropped, and those that overlap a better one
    of their level by more than `threshold`. The `after` best of all levels are proposed.
    """
    boxes, logits = [], []
    for level in levels:
        best, place = _largest(level.logits, before)
        found = CODER.decode(level.anchors[place], pick(level.deltas, place))
        found = clip(found, sizes)
        fit = has_area(found) & best.isfinite()
        found, best = torch.where(fit[..., None], found, 0), torch.where(fit, best, -torch.inf)
        kept = survivors_in_each(found, best, threshold)
        boxes.append(found)
        logits.append(torch.where(kept, best, -torch.inf))
    together = torch.cat(logits, 1)
    best, place = _largest(together, after)
    valid = best.isfinite()
    chosen = pick(torch.cat(boxes, 1), place)
    return Proposals(torch.where(valid[..., None], chosen, 0), torch.where(valid, best, 0), valid)


def _largest(logits: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` largest of logits [N, A], or all if there are fewer, and their places. In a graph for images of any
    size, where nobody knows A, there are always `count`: -inf at place 0 where there are no more."""
    there = logits.shape[1]
    if isinstance(there, torch.SymInt):
        best, place = F.pad(logits, (0, count), value=-torch.inf).topk(count, 1)
        return best, torch.where(best.isfinite(), place, 0)
    best, place = logits.topk(min(count, there), 1)
    return best, place


def match_anchors(anchors: Tensor, boxes: Tensor, labels: Tensor) -> Match:
    """Matches anchors [A, 4] to the objects of each image: from IoU .7 on, background below .3, the best always.

    `boxes` [N, G, 4] and `labels` int64 [N, G] are the objects, -1 where there is none; G ≥ 1, and every object has an
    area. The match is [N, A].
    """
    # One image after another: the overlaps of all at once would take gigabytes on images of ordinary size.
    each = [match(iou(b, anchors), label >= 0, 0.3, 0.7, forced=True) for b, label in zip(boxes, labels, strict=True)]
    return Match(torch.stack([m.place for m in each]), torch.stack([m.label for m in each]))


def rpn_losses(
    levels: Sequence[RpnLevel], matched: Match, sample: Sample, boxes: Tensor, number: int
) -> dict[str, Tensor]:
    """The losses on a sample of the anchors, `sample` and `matched` counting those of all levels in a row.

    `objectness` is the sum of binary cross entropies, `rpn box` that of absolute differences over the positive ones.
    Both are divided by images x `number`, the size that the sample was to have, as in detectron2.
    """
    logits = torch.cat([level.logits for level in levels], 1).gather(1, sample.place)
    deltas = pick(torch.cat([level.deltas for level in levels], 1), sample.place)
    anchors = torch.cat([level.anchors for level in levels])[sample.place]
    objects = pick(boxes, matched.place.gather(1, sample.place))
    targets = torch.where(sample.positive[..., None], CODER.encode(anchors, objects), 0)
    entropy = F.binary_cross_entropy_with_logits(logits, sample.positive.to(logits.dtype), reduction="none")
    divisor = number * len(logits)
    return {
        "objectness": torch.where(sample.valid, entropy, 0).sum() / divisor,
        "rpn box": torch.where(sample.positive[..., None], (deltas - targets).abs(), 0).sum() / divisor,
    }
