"""Masks of detected objects (Mask R-CNN, arXiv 1703.06870) as detectron2 has them, from bitmaps."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import roi_align

from dorsal.nn.layers import activate
from dorsal.nn.plain import is_large, is_plain, runs_plainly
from dorsal.tasks.detect.heads import RoiTargets

THRESHOLD = 0.5
"""The probability from which on a pixel is the object's."""


class MaskHead(nn.Module):
    """Four 3x3 convolutions with ReLU, a transposed convolution that doubles the side, with ReLU, and a 1x1 convolution
    to a mask for each class. Weights start by He's rule, those of the last layer as N(0, .001)."""

    def __init__(self, channels: int, width: int, classes: int) -> None:
        super().__init__()
        self.convs = nn.Sequential()
        for index in range(4):
            self.convs.append(nn.Conv2d(channels if index == 0 else width, width, 3, padding=1))
            self.convs.append(nn.ReLU())
        self.deconv = nn.ConvTranspose2d(width, width, 2, stride=2)
        self.predictor = nn.Conv2d(width, classes, 1)
        for module in (*self.convs, self.deconv):
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        nn.init.normal_(self.predictor.weight, std=0.001)
        nn.init.zeros_(self.predictor.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Pooled features [R, channels, 14, 14] → logits [R, classes, 28, 28]."""
        x = _convolved(self.convs, x)
        if _may_multiply(self.deconv, self.predictor, x):
            return _doubled(self.deconv, self.predictor, x).float()
        logits: Tensor = self.predictor(F.relu(self.deconv(x)))
        return logits.float()


def mask_targets(bitmaps: Tensor, boxes: Tensor, place: Tensor, side: int, rows: Tensor | None = None) -> Tensor:
    """What boxes [N, R, 4] see of their objects: bool [N x R, side, side], by RoIAlign of at least .5; or what the
    boxes `rows` int64 [B] do, counted through all images: bool [B, side, side].

    `bitmaps` bool or uint8 [N, G, H, W] are the objects' pixels, `place` int64 [N, R] says whose each box is.
    """
    images, each = place.shape
    counts = [each] * images if rows is None else torch.bincount(rows // each, minlength=images).tolist()
    chosen = (slice(None) if rows is None else rows,)
    boxes, place = boxes.flatten(0, 1)[chosen], place.flatten()[chosen]
    found = []
    # One image after another, and no object that no box learns: as floats the masks take four times the memory.
    for bitmap, own, at in zip(bitmaps, torch.split(boxes, counts), torch.split(place, counts), strict=True):
        seen, number = torch.unique(at, return_inverse=True)
        rois = torch.cat((number[:, None].to(own.dtype), own), 1)
        found.append(roi_align(bitmap[seen, None].to(own.dtype), rois, side, aligned=True) >= 0.5)
    return torch.cat(found).squeeze(1)


def mask_loss(
    logits: Tensor, bitmaps: Tensor, boxes: Tensor, targets: RoiTargets, rows: Tensor | None = None
) -> Tensor:
    """Mean binary cross entropy over the pixels of all boxes [N, R, 4] of an object, each in the mask of its class.

    `logits` [N x R, K, side, side], or [B, K, side, side] of the boxes `rows`; all that have an object are among them.
    `bitmaps` as in `mask_targets`. 0 where no box has an object. The boxes of `sample_boxes` that may have an object
    are its first; the others need no masks.
    """
    classes = targets.classes.flatten() if rows is None else targets.classes.flatten()[rows]
    positive = (classes >= 0) & (classes < logits.shape[1])
    own = _of_class(logits, torch.where(positive, classes, 0))
    wanted = mask_targets(bitmaps, boxes, targets.place, logits.shape[-1], rows)
    entropy = F.binary_cross_entropy_with_logits(own, wanted.to(own.dtype), reduction="none").mean((1, 2))
    return torch.where(positive, entropy, 0).sum() / positive.sum().clamp(min=1)


def mask_probabilities(logits: Tensor, labels: Tensor, rows: Tensor | None = None) -> Tensor:
    """The mask of each detection's class: logits [N x D, K, side, side], or [B, K, side, side] of the detections `rows`
    int64 [B], and labels int64 [N, D] → [N, D, side, side]. Where the label is -1 it means nothing."""
    own_labels = labels.flatten() if rows is None else labels.flatten()[rows]
    own = _of_class(logits, own_labels.clamp(min=0)).sigmoid()
    if rows is not None:
        own = own.new_zeros(labels.numel(), *own.shape[1:]).index_copy(0, rows, own)
    return own.view(*labels.shape, *own.shape[1:])


def paste(probabilities: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Masks at the size of an image: probabilities [D, side, side] in their boxes [D, 4] → bool [D, height, width].

    A pixel is the object's if the mask at its center, bilinear between mask pixels and 0 outside of the mask, is at
    least .5. A box without area has no pixels. Boxes are in pixels of the image pasted into.
    """
    height, width = size
    pasted = torch.zeros(len(boxes), height, width, dtype=torch.bool, device=boxes.device)
    for mask, box, out in zip(probabilities, boxes, pasted, strict=True):
        x0, y0, x1, y1 = box.tolist()
        # At the edge of the box the bilinear mask has fallen to half, so no pixel farther out can be the object's.
        left, right = max(int(x0), 0), min(int(x1) + 1, width)
        top, bottom = max(int(y0), 0), min(int(y1) + 1, height)
        if not (x0 < x1 and y0 < y1 and left < right and top < bottom):
            continue
        x = (torch.arange(left, right, dtype=box.dtype, device=box.device) + 0.5 - box[0]) / (box[2] - box[0]) * 2 - 1
        y = (torch.arange(top, bottom, dtype=box.dtype, device=box.device) + 0.5 - box[1]) / (box[3] - box[1]) * 2 - 1
        grid = torch.stack((x.expand(len(y), -1), y[:, None].expand(-1, len(x))), -1)
        seen = F.grid_sample(mask[None, None].to(box.dtype), grid[None], align_corners=False)
        out[top:bottom, left:right] = seen[0, 0] >= THRESHOLD
    return pasted


def _of_class(logits: Tensor, classes: Tensor) -> Tensor:
    """One mask of each row: [R, K, side, side] and int64 [R] → [R, side, side]."""
    return logits.gather(1, classes[:, None, None, None].expand(-1, 1, *logits.shape[2:])).squeeze(1)


def _convolved(layers: nn.Sequential, x: Tensor) -> Tensor:
    """layers(x) of convolutions and their activations, these written over the others' results where nobody sees them:
    the maps of many boxes are large."""
    if not is_plain(layers, nn.Sequential):
        return layers(x)  # type: ignore[no-any-return]
    modules = list(layers)
    for conv, act in zip(modules[::2], modules[1::2], strict=True):
        y = conv(x)
        x = activate(act, y, _is_owned(conv, y))
    return x


def _doubled(deconv: nn.ConvTranspose2d, predictor: nn.Conv2d, x: Tensor) -> Tensor:
    """predictor(relu(deconv(x))) as two matrix products on rows of channels: those of the four pixels that each one
    becomes lie side by side until the end, where there are only the classes to move."""
    weight = deconv.weight.permute(2, 3, 1, 0).flatten(0, 2)
    bias = None if deconv.bias is None else deconv.bias.repeat(4)
    rows = torch.relu_(F.linear(x.permute(0, 2, 3, 1).flatten(0, 2), weight, bias)).view(-1, predictor.in_channels)
    logits = F.linear(rows, predictor.weight.flatten(1), predictor.bias)
    count, _, height, width = x.shape
    apart = logits.view(count, height, width, 2, 2, -1).permute(0, 5, 1, 3, 2, 4)
    return apart.reshape(count, -1, 2 * height, 2 * width)


def _may_multiply(deconv: nn.Module, predictor: nn.Module, x: Tensor) -> bool:
    """Whether `_doubled` is what the modules do, and faster. oneDNN's transposed convolution takes several times as
    long as the product, most of all backward (docs/log.md); in half precision nothing was measured."""
    return (
        is_large(x)
        and x.is_cpu
        and x.dtype in (torch.float32, torch.float64)
        and not torch.is_autocast_enabled("cpu")
        and runs_plainly(x)
        and is_plain(deconv, nn.ConvTranspose2d)
        and is_plain(predictor, nn.Conv2d)
        and deconv.kernel_size == deconv.stride == (2, 2)
        and predictor.kernel_size == (1, 1)
    )


def _is_owned(conv: nn.Module, y: Tensor) -> bool:
    """Whether nobody but the caller sees the result `y` of a convolution."""
    return is_large(y) and runs_plainly(y) and is_plain(conv, nn.Conv2d)
