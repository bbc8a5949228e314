"""What a segmenter says of an image: at the image file's size, and averaged over scales and mirror images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dorsal.spec.layers import Size


def probabilities(model: nn.Module, images: Tensor, scales: Sequence[float] = (1.0,), flip: bool = False) -> Tensor:
    """Images [N, C, H, W] → [N, K, H, W], the softmax over classes, averaged over the scales and, with `flip`, over the
    images and their mirror images.

    Images are resized bilinearly to each scale, and what was said of them back.

    Raises ValueError for a scale that is not above 0, or no scale.
    """
    if not scales or min(scales) <= 0:
        raise ValueError(f"scales={tuple(scales)} must be one or more numbers above 0, e.g. (0.75, 1.0, 1.25)")
    total: Tensor | None = None
    for scale in scales:
        size = tuple(max(round(scale * side), 1) for side in images.shape[-2:])
        seen = _resized(images, size)
        said = model(seen).softmax(1)
        if flip:
            said = (said + model(seen.flip(-1)).flip(-1).softmax(1)) / 2
        said = _resized(said, images.shape[-2:])
        total = said if total is None else total + said
    assert total is not None
    return total / len(scales)


def at_file_size(found: Tensor, seen: Size, size: Size) -> Tensor:
    """Logits or probabilities [K, H, W] of one image of a batch → [K, *size], where `size` is that of the image's file.

    `seen` is the part at the top left that the image takes up; the rest of [H, W] is padding. It is cut off first, then
    the rest is resized bilinearly, as in detectron2.
    """
    return _resized(found[None, :, : seen[0], : seen[1]], size)[0]


def _resized(x: Tensor, size: Sequence[int]) -> Tensor:
    if x.shape[-2:] == torch.Size(size):
        return x
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False)
