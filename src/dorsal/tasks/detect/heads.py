"""Box heads: the class of every proposal, and its box anew (Fast R-CNN, arXiv 1504.08083, as in detectron2).

Of K classes, 0 to K - 1 are objects and K is the background. Settings are detectron2's where a function has a default.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dorsal.nn.fpn import init_xavier
from dorsal.nn.norms import group_norm
from dorsal.nn.plain import is_eager, is_plain
from dorsal.tasks.detect.boxes import Coder, iou, pick
from dorsal.tasks.detect.match import match, sample
from dorsal.tasks.detect.nms import survivors_by_group, survivors_in_each

POSITIVE_SHARE = 0.25
"""Of the boxes from which a box head learns, at most so many have an object."""
CANDIDATES = 1000
"""So many of the best boxes go into the last suppression at first; twice as many each time that too few survive."""
MOST_CANDIDATES_IN_A_GRAPH = 4096
"""So many go into it in a compiled or exported graph, whose sizes cannot depend on the data."""


class LinearHead(nn.Module):
    """Two linear layers of `hidden` features with ReLU. Weights start by Xavier's rule."""

    def __init__(self, channels: int, hidden: int, size: int = 7) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(channels * size**2, hidden), nn.Linear(hidden, hidden)
        for layer in (self.fc1, self.fc2):
            init_xavier(layer)

    def forward(self, x: Tensor) -> Tensor:
        """Pooled features [R, channels, size, size] → [R, hidden]."""
        return F.relu(self.fc2(F.relu(_flat_linear(self.fc1, x))))


class ConvHead(nn.Module):
    """Four 3x3 convolutions of `width` channels with group norm and ReLU, then one linear layer of `hidden` features
    with ReLU (4conv1fc of arXiv 1803.08494). Convolutions start by He's rule, the linear layer by Xavier's."""

    def __init__(self, channels: int, width: int, hidden: int, size: int = 7) -> None:
        super().__init__()
        convs = [nn.Conv2d(channels if i == 0 else width, width, 3, padding=1, bias=False) for i in range(4)]
        for conv in convs:
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        self.convs = nn.Sequential(*(nn.Sequential(conv, group_norm(width), nn.ReLU()) for conv in convs))
        self.fc = nn.Linear(width * size**2, hidden)
        init_xavier(self.fc)

    def forward(self, x: Tensor) -> Tensor:
        """Pooled features [R, channels, size, size] → [R, hidden]."""
        return F.relu(_flat_linear(self.fc, self.convs(x)))


class Predictor(nn.Module):
    """Class logits, and how the box is to change: for each class (`groups` = classes) or for whatever it is (1)."""

    def __init__(self, hidden: int, classes: int, groups: int) -> None:
        super().__init__()
        self.classes, self.deltas = nn.Linear(hidden, classes + 1), nn.Linear(hidden, 4 * groups)
        nn.init.normal_(self.classes.weight, std=0.01)
        nn.init.normal_(self.deltas.weight, std=0.001)
        for layer in (self.classes, self.deltas):
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features [R, hidden] → logits [R, classes + 1], and deltas [R, groups, 4]."""
        return self.classes(x).float(), self.deltas(x).unflatten(1, (-1, 4)).float()


def judged_in_parts(head: nn.Module, parts: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """What a head that ends in a `Predictor` says of pooled features, together for all parts."""
    logits, deltas = zip(*map(head, parts), strict=True)
    return torch.cat(logits), torch.cat(deltas)


class RoiTargets(NamedTuple):
    """What boxes [N, R, 4] learn: `classes` int64 [N, R] (K: background, -1: takes no part), `place` int64 [N, R] of
    the object of largest overlap, and its box [N, R, 4], which means nothing for background."""

    classes: Tensor
    place: Tensor
    boxes: Tensor


class Detections(NamedTuple):
    """Boxes [N, D, 4], best first; where there is none the score is -1 and the label, int64 [N, D], too."""

    boxes: Tensor
    scores: Tensor
    labels: Tensor


def with_objects(boxes: Tensor, valid: Tensor, objects: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Proposals [N, P, 4], `valid` bool [N, P], with the objects [N, G, 4] after them, so that there is something to
    learn from at the start: boxes [N, P + G, 4] and which of them are valid."""
    return torch.cat((boxes, objects), 1), torch.cat((valid, labels >= 0), 1)


def match_boxes(
    boxes: Tensor, valid: Tensor, objects: Tensor, labels: Tensor, threshold: float, classes: int
) -> RoiTargets:
    """Labels boxes [N, R, 4] with the class of the object [N, G, 4] that overlaps them most, if by `threshold` IoU or
    more, else as background. `labels` int64 [N, G] are -1 where there is no object; G ≥ 1."""
    each = [
        match(iou(o, b), label >= 0, threshold, threshold) for o, b, label in zip(objects, boxes, labels, strict=True)
    ]
    place = torch.stack([m.place for m in each])
    positive = torch.stack([m.label for m in each]) == 1
    found = torch.where(positive, labels.gather(1, place), classes)
    return RoiTargets(torch.where(valid, found, -1), place, pick(objects, place))


def sample_boxes(
    boxes: Tensor, targets: RoiTargets, draws: Tensor, number: int, classes: int, share: float = POSITIVE_SHARE
) -> tuple[Tensor, RoiTargets]:
    """Draws `number` boxes of each image as `match.sample` does, at most `share` of them with an object; these come
    first. Returns boxes [N, min(number, R), 4], and what they learn."""
    kinds = torch.where(targets.classes < 0, -1, (targets.classes < classes).long())
    chosen = sample(kinds, draws, number, share)
    found = torch.where(chosen.valid, targets.classes.gather(1, chosen.place), -1)
    place = targets.place.gather(1, chosen.place)
    return pick(boxes, chosen.place), RoiTargets(found, place, pick(targets.boxes, chosen.place))


def box_losses(logits: Tensor, deltas: Tensor, boxes: Tensor, targets: RoiTargets, coder: Coder) -> dict[str, Tensor]:
    """The losses of the boxes [N, R, 4] that take part, for logits [N x R, K + 1] and deltas [N x R, groups, 4].

    `class` is the mean cross entropy, `box` the sum of absolute differences over those of an object, each in the group
    of its class, divided by the number of all that take part. Both are 0 where none do.
    """
    classes = targets.classes.flatten()
    part = classes >= 0
    background = logits.shape[1] - 1
    positive = part & (classes < background)
    count = part.sum().clamp(min=1)
    entropy = F.cross_entropy(logits, torch.where(part, classes, background), reduction="none")
    group = torch.where(positive, classes, 0).clamp(max=deltas.shape[1] - 1)
    own = pick(deltas, group[:, None]).squeeze(1)
    wanted = torch.where(positive[:, None], coder.encode(boxes, targets.boxes).flatten(0, 1), 0)
    return {
        "class": torch.where(part, entropy, 0).sum() / count,
        "box": torch.where(positive[:, None], (own - wanted).abs(), 0).sum() / count,
    }


def detect(
    probabilities: Tensor, boxes: Tensor, valid: Tensor, number: int, least: float = 0.05, threshold: float = 0.5
) -> Detections:
    """The `number` best detections of each image; one box may be found as several classes.

    `probabilities` [N, P, K + 1], background last. `boxes` [N, P, groups, 4] are clipped to the image; `valid` bool
    [N, P]. What scores `least` or less, or is not finite, is dropped, then what overlaps a better box of its class by
    more than `threshold` IoU. Boxes without area are kept, as in detectron2.
    """
    scores = probabilities[..., :-1]
    count, classes = scores.shape[1:]
    boxes = boxes.expand(-1, -1, classes, -1)
    fit = valid[..., None] & (scores > least) & torch.isfinite(boxes).all(-1) & torch.isfinite(scores)
    scores, boxes = torch.where(fit, scores, -1), torch.where(fit[..., None], boxes, 0)
    if torch.onnx.is_in_onnx_export():
        return _best_of_all(boxes, scores, number, threshold)
    scores, boxes = scores.flatten(1), boxes.flatten(1, 2)
    label = torch.arange(classes, device=scores.device).repeat(count)
    found = [_best(b, s, label, number, threshold) for b, s in zip(boxes, scores, strict=True)]
    return Detections(*(torch.stack(column) for column in zip(*found, strict=True)))


def _best_of_all(boxes: Tensor, scores: Tensor, number: int, threshold: float) -> Detections:
    """What `_best` finds in each image, of boxes [N, P, K, 4] and scores [N, P, K], some -1: without a loop over images
    or a limit of candidates, since the suppression in ONNX is of each class by itself."""
    images, _, classes = scores.shape
    scores = torch.where(scores >= 0, scores, -torch.inf)
    kept = survivors_in_each(boxes.transpose(1, 2).flatten(0, 1), scores.transpose(1, 2).flatten(0, 1), threshold)
    left = torch.where(kept.view(images, classes, -1).transpose(1, 2), scores, -torch.inf).flatten(1)
    best, place = F.pad(left, (0, number), value=-torch.inf).topk(number)
    found = best.isfinite()
    boxes = pick(boxes.flatten(1, 2), torch.where(found, place, 0))
    return Detections(
        torch.where(found[..., None], boxes, 0), torch.where(found, best, -1), torch.where(found, place % classes, -1)
    )


def _best(boxes: Tensor, scores: Tensor, label: Tensor, number: int, threshold: float) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes [number, 4], scores and labels of one image, out of boxes [M, 4] of which some score -1.

    A box is never suppressed by one that scores less, so what survives among the best is what would survive among all.
    Of equal scores the first counts as the better one.
    """
    in_graph = torch.compiler.is_compiling()
    many = len(scores) if in_graph else int((scores >= 0).sum())
    limit = min(many, MOST_CANDIDATES_IN_A_GRAPH if in_graph else CANDIDATES)
    ordered = scores.topk(limit) if in_graph else scores.sort(descending=True, stable=True)
    while True:
        best, place = ordered[0][:limit], ordered[1][:limit]
        kept = survivors_by_group(boxes[place], best, label[place], threshold) & (best >= 0)
        if in_graph or limit == many or kept.sum() >= number:
            break
        limit = min(2 * limit, many)
    countdown = torch.arange(limit, 0, -1, device=scores.device)
    left, rank = torch.where(kept, countdown, 0).topk(min(number, limit))
    found, place = left > 0, place[rank]
    missing = number - len(rank)
    return (
        F.pad(torch.where(found[:, None], boxes[place], 0), (0, 0, 0, missing)),
        F.pad(torch.where(found, best[rank], -1), (0, missing), value=-1.0),
        F.pad(torch.where(found, label[place], -1), (0, missing), value=-1),
    )


def _flat_linear(layer: nn.Linear, x: Tensor) -> Tensor:
    """layer(x.flatten(1)) of maps [R, C, h, w]. Where they are channels last, flattening would copy them; on CPUs the
    weight is laid out like them instead if it is smaller."""
    is_last = x.is_cpu and is_eager(x) and x.is_contiguous(memory_format=torch.channels_last)
    if not (is_last and x.numel() > layer.weight.numel() and is_plain(layer, nn.Linear)):
        return layer(x.flatten(1))  # type: ignore[no-any-return]
    weight = layer.weight.view(-1, *x.shape[1:]).permute(0, 2, 3, 1).flatten(1)
    return F.linear(x.permute(0, 2, 3, 1).flatten(1), weight, layer.bias)
