"""Non-maximum suppression on sets of fixed size: what is kept is said by a mask."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import nms


def survivors(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    """Which of boxes [M, 4] overlap no box that is kept and scores higher by more than `threshold` IoU: bool [M].

    Boxes without area neither suppress nor are suppressed.
    """
    return torch.zeros_like(scores, dtype=torch.bool).index_fill(0, nms(boxes, scores, threshold), True)


def survivors_by_group(boxes: Tensor, scores: Tensor, groups: Tensor, threshold: float) -> Tensor:
    """`survivors` where only boxes of one group, int64 [M], suppress each other. Boxes are finite."""
    # Every group is moved to a place of its own. In float64 the move costs no precision that anybody could see; other
    # devices and the runtimes of exported graphs may not have it.
    precise = boxes.double() if boxes.is_cpu and not torch.compiler.is_compiling() else boxes
    reach = precise.amax((0, 1)) - precise.amin((0, 1)) + 1 if len(boxes) else 0
    return survivors(precise + (groups * reach)[:, None], scores.to(precise.dtype), threshold)
