"""Cascade R-CNN (arXiv 1712.00726) as detectron2 has it: three box heads, each on the boxes of the one before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from dorsal.tasks.detect.boxes import Coder, clip, has_area
from dorsal.tasks.detect.heads import Predictor, RoiTargets, box_losses, judged_in_parts, match_boxes
from dorsal.tasks.detect.pool import RoiPool

THRESHOLDS = (0.5, 0.6, 0.7)
"""The IoU from which on a box of each stage is an object's."""
CODERS = (Coder((10.0, 10.0, 5.0, 5.0)), Coder((20.0, 20.0, 10.0, 10.0)), Coder((30.0, 30.0, 15.0, 15.0)))
"""How the numbers of each stage change its boxes."""


class CascadeHeads(nn.Module):
    """Three stages of a box head and a `Predictor` that changes a box the same way for every class."""

    def __init__(self, heads: Sequence[nn.Module], hidden: int, classes: int) -> None:
        """`heads`: one a stage, from pooled features to [R, hidden]."""
        super().__init__()
        if len(heads) != len(THRESHOLDS):
            raise ValueError(f"a cascade has {len(THRESHOLDS)} heads, not {len(heads)}")
        self.classes = classes
        self.stages = nn.ModuleList(nn.Sequential(head, Predictor(hidden, classes, 1)) for head in heads)

    def losses(
        self,
        maps: Sequence[Tensor],
        pool: RoiPool,
        boxes: Tensor,
        targets: RoiTargets,
        objects: Tensor,
        labels: Tensor,
        sizes: Tensor,
    ) -> dict[str, Tensor]:
        """The losses of `box_losses` for each stage, named `class 1`, `box 1`, …

        `boxes` [N, S, 4] and `targets` are the sample of the first stage; the others take the changed boxes, clipped
        to the images of `sizes` [N, 2], and no new sample. Of these, boxes without area take no part. They are matched
        anew to `objects` [N, G, 4] with `labels` int64 [N, G]. The heads learn by their full losses; the maps get a
        third of the gradient.
        """
        losses: dict[str, Tensor] = {}
        for number, (stage, coder, threshold) in enumerate(zip(self.stages, CODERS, THRESHOLDS, strict=True), 1):
            if number > 1:
                targets = match_boxes(boxes, targets.classes >= 0, objects, labels, threshold, self.classes)
            logits, deltas = stage(_ScaledGradient.apply(pool(maps, boxes), 1 / len(self.stages)))
            own = box_losses(logits, deltas, boxes, targets, coder)
            losses |= {f"{name} {number}": loss for name, loss in own.items()}
            boxes = _changed(coder, boxes, deltas, sizes)
            fit = has_area(boxes) & (targets.classes >= 0)
            boxes = torch.where(fit[..., None], boxes, 0)
            targets = targets._replace(classes=torch.where(fit, targets.classes, -1))
        return losses

    def predict(
        self, maps: Sequence[Tensor], pool: RoiPool, boxes: Tensor, valid: Tensor, sizes: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What `detect` takes: probabilities [N, P, K + 1], the mean of the stages'; boxes [N, P, 1, 4] of the last
        stage, clipped; and which are valid, bool [N, P]: those of `boxes` [N, P, 4] that stayed finite."""
        probabilities = []
        for stage, coder in zip(self.stages, CODERS, strict=True):
            logits, deltas = judged_in_parts(stage, pool.parts(maps, boxes))
            probabilities.append(logits.softmax(-1).view(*valid.shape, -1))
            boxes = _changed(coder, boxes, deltas, sizes)
            valid = valid & torch.isfinite(boxes).all(-1)
            boxes = torch.where(valid[..., None], boxes, 0)
        return torch.stack(probabilities).mean(0), boxes[:, :, None], valid


def _changed(coder: Coder, boxes: Tensor, deltas: Tensor, sizes: Tensor) -> Tensor:
    """Boxes [N, R, 4] after the changes [N x R, 1, 4], clipped; no gradient goes through them."""
    return clip(coder.decode(boxes, deltas.detach().view_as(boxes)), sizes)


class _ScaledGradient(torch.autograd.Function):
    """The input as it is; its gradient times a factor."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        x, ctx.factor = inputs
        return x.view_as(x)  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0] * ctx.factor, None
