"""What the colors of an image alone tell: their histogram, without where they are."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from dorsal.data.split import Split

_CELLS, _MOST_BINS = 512, 64


def color_histograms(images: Split, channels: int) -> NDArray[np.float32]:
    """Float32 [n, bins ** channels]: the square root of the share of each image's pixels that has a color.

    Colors are counted in joint bins of all channels (Swain and Ballard 1991, "Color indexing"), of equal size: 8 a
    channel of color images, 64 of gray ones. Roots keep a large plain area from hiding all else (Arandjelovic and
    Zisserman 2012, "Three things everyone should know to improve object retrieval").
    """
    bins = min(round(_CELLS ** (1 / channels)), _MOST_BINS)
    found = np.empty((len(images), bins**channels), np.float32)
    for index in range(len(images)):
        levels = images.image(index).long() * bins // 256
        cells = torch.zeros_like(levels[0])
        for channel in levels:
            cells = cells * bins + channel
        counts = cells.flatten().bincount(minlength=bins**channels)
        found[index] = (counts / counts.sum()).sqrt().numpy()
    return found
