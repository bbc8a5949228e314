"""Trunk and head as one module, and its loss."""

from __future__ import annotations

from typing import Literal, overload

import torch.nn.functional as F
from torch import Tensor, nn

from dorsal.annotations.annotation import IGNORE
from dorsal.nn.layers import padded
from dorsal.tasks.maps import Maps
from dorsal.tasks.semantic.deeplab import DeepLabHead, FcnHead
from dorsal.tasks.semantic.fpn import FpnHead, enlarged
from dorsal.tasks.trunk import OnTrunk


class Segmenter(OnTrunk):
    """A class for each pixel: the trunk's maps, through a neck if there is one, to a head.

    Images whose sides the trunk's largest stride does not divide are padded with zeros at the right and bottom, and the
    logits are cropped. So every map lies on the image as its stride says, whatever a trunk does with odd sizes.
    """

    def __init__(
        self,
        trunk: Maps,
        head: FpnHead | DeepLabHead,
        neck: nn.Module | None = None,
        auxiliary: FcnHead | None = None,
    ) -> None:
        """`neck` turns the trunk's maps into those that the head was made for. `auxiliary` takes the trunk's own."""
        super().__init__(trunk)
        self.head = head
        self.neck = nn.Identity() if neck is None else neck
        self.auxiliary = auxiliary

    @overload
    def forward(self, images: Tensor, auxiliary: Literal[False] = False) -> Tensor: ...
    @overload
    def forward(self, images: Tensor, auxiliary: Literal[True]) -> tuple[Tensor, Tensor]: ...
    def forward(self, images: Tensor, auxiliary: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        """Images [N, C, H, W] → logits [N, classes, H, W]; with `auxiliary` also those of the auxiliary head.

        Raises ValueError for `auxiliary` without such a head.
        """
        height, width = images.shape[-2:]
        images = padded(images, self.multiple)
        maps = self.trunk(images)
        logits = self.head(self.neck(maps))
        if not auxiliary:
            del maps  # room for the enlarged logits
            return enlarged(logits, images)[..., :height, :width]
        if self.auxiliary is None:
            raise ValueError("auxiliary=True: this segmenter was made without an auxiliary head")
        logits, beside = enlarged(logits, images), enlarged(self.auxiliary(maps), images)
        return logits[..., :height, :width], beside[..., :height, :width]


def losses(
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    auxiliary_weight: float = 0.0,
    ignored: int = IGNORE,
    label_smoothing: float = 0.0,
) -> dict[str, Tensor]:
    """The terms of the loss of a `Segmenter`, or of one that is wrapped for several processes; their sum is descended.

    `targets` [N, H, W] are classes. With `auxiliary_weight` above 0 the auxiliary head is trained too (0.4 in
    MMSegmentation, 0.5 in torchvision's references).
    """
    if auxiliary_weight == 0:
        return {"cross entropy": pixel_cross_entropy(model(images), targets, ignored, label_smoothing)}
    logits, auxiliary = model(images, auxiliary=True)
    return {
        "cross entropy": pixel_cross_entropy(logits, targets, ignored, label_smoothing),
        "auxiliary": auxiliary_weight * pixel_cross_entropy(auxiliary, targets, ignored, label_smoothing),
    }


def pixel_cross_entropy(logits: Tensor, targets: Tensor, ignored: int = IGNORE, label_smoothing: float = 0.0) -> Tensor:
    """Mean cross entropy, a scalar, of logits [N, K, H, W] over the pixels of targets [N, H, W] that have a class.

    0, with gradients of 0, where no pixel has one.
    """
    targets = targets.long()
    total = F.cross_entropy(logits, targets, ignore_index=ignored, reduction="sum", label_smoothing=label_smoothing)
    return total / (targets != ignored).sum().clamp(min=1)
