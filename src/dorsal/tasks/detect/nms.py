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


def survivors_in_each(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    """`survivors` of each set of boxes [N, M, 4]: bool [N, M]. Of those that score -inf it says nothing."""
    each = _operator if torch.onnx.is_in_onnx_export() else _one_by_one
    return each(boxes, scores, threshold)


def _one_by_one(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    return torch.stack([survivors(*each, threshold) for each in zip(boxes, scores, strict=True)])


# One operator, so that the graph has no loop over N, and `deploy.export` can write it in those of ONNX.
_operator = torch.library.custom_op("dorsal::survivors_in_each", _one_by_one, mutates_args=())
_operator.register_fake(lambda _, scores, __: torch.empty_like(scores, dtype=torch.bool))
OPERATOR = torch.ops.dorsal.survivors_in_each.default
"""What stands for `survivors_in_each` while a model is written as ONNX."""


def survivors_by_group(boxes: Tensor, scores: Tensor, groups: Tensor, threshold: float) -> Tensor:
    """`survivors` where only boxes of one group, int64 [M], suppress each other. Boxes are finite."""
    # Every group is moved to a place of its own. In float64 the move costs no precision that anybody could see; other
    # devices and the runtimes of exported graphs may not have it.
    precise = boxes.double() if boxes.is_cpu and not torch.compiler.is_compiling() else boxes
    reach = precise.amax((0, 1)) - precise.amin((0, 1)) + 1 if len(boxes) else 0
    return survivors(precise + (groups * reach)[:, None], scores.to(precise.dtype), threshold)
