"""A detector as one module: trunk, feature pyramid, proposals, box heads, and a mask head if asked for."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from dorsal.nn.fpn import FeaturePyramid
from dorsal.nn.layers import padded
from dorsal.nn.plain import is_eager
from dorsal.spec.task import BoxHead, Detect, task_text
from dorsal.tasks.detect.boxes import clip
from dorsal.tasks.detect.cascade import CODERS, THRESHOLDS, CascadeHeads
from dorsal.tasks.detect.heads import (
    POSITIVE_SHARE,
    ConvHead,
    LinearHead,
    Predictor,
    RoiTargets,
    box_losses,
    detect,
    judged_in_parts,
    match_boxes,
    sample_boxes,
    with_objects,
)
from dorsal.tasks.detect.masks import MaskHead, mask_loss, mask_probabilities
from dorsal.tasks.detect.match import draw_numbers, sample
from dorsal.tasks.detect.pool import RoiPool, rows_needed
from dorsal.tasks.detect.rpn import Proposals, RpnHead, RpnLevel, match_anchors, propose, rpn_losses
from dorsal.tasks.maps import Maps
from dorsal.tasks.score import NotFiniteError
from dorsal.tasks.trunk import OnTrunk

CODER, THRESHOLD = CODERS[0], THRESHOLDS[0]
"""Faster R-CNN changes and matches its boxes as the first stage of a cascade does."""
BOX_BINS, MASK_BINS = 7, 14


class Truth(NamedTuple):
    """The objects of a batch: `boxes` [N, G, 4], each with an area, `labels` int64 [N, G], -1 where there is none, and
    `masks` bool or uint8 [N, G, H, W], None where none are learnt. G ≥ 1."""

    boxes: Tensor
    labels: Tensor
    masks: Tensor | None = None


class Found(NamedTuple):
    """What is found in a batch, best first: `boxes` [N, D, 4] in pixels of the images, `scores` [N, D] and `labels`
    int64 [N, D], both -1 where there is none, and the `masks` [N, D, 28, 28] of each in its box, as probabilities."""

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    masks: Tensor | None = None


class Detector(OnTrunk):
    """Faster R-CNN (arXiv 1506.01497) or Cascade R-CNN (arXiv 1712.00726) on a feature pyramid, with masks (arXiv
    1703.06870) or without, as detectron2 builds them. The parts name their deviations.

    In training twice as many proposals are looked at on each level as in evaluation, and a cascade keeps twice as many.
    Half as many anchors as boxes are drawn to learn from, as in detectron2 (256 and 512).
    """

    def __init__(self, trunk: Maps, classes: int, task: Detect) -> None:
        """Raises ValueError for a task in which something is none, see `spec.task.at`, and unless the strides of the
        trunk double."""
        super().__init__(trunk)
        channels, hidden, anchor = task.channels, task.hidden, task.anchor
        if channels is None or hidden is None or anchor is None or task.proposals is None or task.samples is None:
            raise ValueError(f"{task_text(task)} leaves numbers open; `spec.task.at` fills them in by the images' size")
        self.classes, self.task = classes, task
        self.proposals, self.samples = task.proposals, task.samples
        self.neck = FeaturePyramid(trunk.info, channels)
        strides = tuple(level.stride for level in self.neck.info)
        self.rpn = RpnHead(channels, strides, anchor)
        canonical = 28 * anchor  # detectron2's 224 where the anchors are its own
        self.pool = RoiPool(strides[:-1], BOX_BINS, canonical)
        self.mask_pool = RoiPool(strides[:-1], MASK_BINS, canonical)
        self.box_head: CascadeHeads | nn.Sequential
        if task.head == "cascade":
            heads = [_box_head(task.box_head, channels, hidden) for _ in THRESHOLDS]
            self.box_head = CascadeHeads(heads, hidden, classes)
        else:
            head = _box_head(task.box_head, channels, hidden)
            self.box_head = nn.Sequential(head, Predictor(hidden, classes, classes))
        self.mask_head = MaskHead(channels, channels, classes) if task.masks else None

    def forward(self, images: Tensor, sizes: Tensor, truth: Truth | None = None) -> Found | dict[str, Tensor]:
        """Images [N, 3, H, W], of which `sizes` int64 [N, 2], height and width, are no padding → what is found, or with
        `truth` the terms of the loss, whose sum is descended. Boxes to learn from are drawn by torch's own generator.
        """
        images = padded(images, self.multiple)
        maps = self.neck(self.trunk(images))
        levels = self.rpn(maps)
        if truth is None and is_eager(images) and not all(level.logits.isfinite().all() for level in levels):
            raise NotFiniteError("the outputs are not finite, so they say nothing of the objects")
        return self._found(maps, levels, sizes) if truth is None else self._losses(maps, levels, sizes, truth)

    def _found(self, maps: tuple[Tensor, ...], levels: tuple[RpnLevel, ...], sizes: Tensor) -> Found:
        proposals = propose(levels, sizes, self.proposals, self.proposals)
        judged = self._judged(maps[:-1], proposals, sizes)
        found = detect(*judged, self.task.detections, self.task.least_score)
        if self.mask_head is None:
            return Found(*found)
        rows = rows_needed(found.labels >= 0)
        logits = torch.cat([self.mask_head(x) for x in self.mask_pool.parts(maps[:-1], found.boxes, rows)])
        return Found(*found, mask_probabilities(logits, found.labels, rows))

    def judged(self, images: Tensor, boxes: Tensor) -> tuple[Tensor, ...]:
        """What the heads say of images [N, 3, H, W], whose sides the trunk's largest stride divides, and of given boxes
        [N, R, 4] in them, all of it as numbers without a choice: the logits and changes of every anchor, probabilities
        and changed boxes, and the logits of the masks."""
        maps = self.neck(self.trunk(images))
        levels = self.rpn(maps)
        sizes = torch.tensor([images.shape[-2:]] * len(images), device=images.device)
        valid = torch.ones(boxes.shape[:2], dtype=torch.bool, device=boxes.device)
        probabilities, changed, _ = self._judged(maps[:-1], Proposals(boxes, valid.float(), valid), sizes)
        masks = () if self.mask_head is None else (self.mask_head(self.mask_pool(maps[:-1], boxes)),)
        return *(level.logits for level in levels), *(level.deltas for level in levels), probabilities, changed, *masks

    def _judged(self, maps: tuple[Tensor, ...], proposals: Proposals, sizes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What `detect` takes."""
        boxes, valid = proposals.boxes, proposals.valid
        if isinstance(self.box_head, CascadeHeads):
            return self.box_head.predict(maps, self.pool, boxes, valid, sizes)
        logits, deltas = judged_in_parts(self.box_head, self.pool.parts(maps, boxes))
        changed = CODER.decode(boxes[:, :, None], deltas.view(*valid.shape, -1, 4))
        return logits.softmax(-1).view(*valid.shape, -1), clip(changed, sizes), valid

    def _losses(
        self, maps: tuple[Tensor, ...], levels: tuple[RpnLevel, ...], sizes: Tensor, truth: Truth
    ) -> dict[str, Tensor]:
        anchors = torch.cat([level.anchors for level in levels])
        matched = match_anchors(anchors, truth.boxes, truth.labels)
        draws = draw_numbers(anchors.expand(len(sizes), -1, -1))
        number = self.samples // 2
        losses = rpn_losses(levels, matched, sample(matched.label, draws, number, 0.5), truth.boxes, number)

        is_cascade = isinstance(self.box_head, CascadeHeads)
        proposals = propose(levels, sizes, 2 * self.proposals, (1 + is_cascade) * self.proposals)
        boxes, valid = with_objects(proposals.boxes, proposals.valid, truth.boxes, truth.labels)
        targets = match_boxes(boxes, valid, truth.boxes, truth.labels, THRESHOLD, self.classes)
        boxes, targets = sample_boxes(boxes, targets, draw_numbers(boxes), self.samples, self.classes)
        if isinstance(self.box_head, CascadeHeads):
            objects = truth.boxes, truth.labels, sizes
            losses |= self.box_head.losses(maps[:-1], self.pool, boxes, targets, *objects)
        else:
            logits, deltas = self.box_head(self.pool(maps[:-1], boxes))
            losses |= box_losses(logits, deltas, boxes, targets, CODER)
        if self.mask_head is not None:
            if truth.masks is None:
                raise ValueError("truth has no masks; this detector learns them")
            first = int(self.samples * POSITIVE_SHARE)  # the boxes after these have no object
            boxes, targets = boxes[:, :first], RoiTargets(*(each[:, :first] for each in targets))
            rows = rows_needed((targets.classes >= 0) & (targets.classes < self.classes))
            logits = self.mask_head(self.mask_pool(maps[:-1], boxes, rows))
            losses["mask"] = mask_loss(logits, truth.masks, boxes, targets, rows)
        return losses


def _box_head(kind: BoxHead, channels: int, hidden: int) -> nn.Module:
    match kind:
        case "linear":
            return LinearHead(channels, hidden, BOX_BINS)
        case "conv":
            return ConvHead(channels, channels, hidden, BOX_BINS)
