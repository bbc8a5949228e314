"""A stage and a head: the parts of a network that are checked together. Frozen data, no torch."""

from __future__ import annotations

from typing import Literal

import msgspec

from dorsal.spec.arrangement import Arrangement, Chain
from dorsal.spec.block import Block, Bottleneck

Activation = Literal["relu", "mish", "silu"]
Norm = Literal["batch", "group"]


class Stage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`depth` blocks of output `width`.

    The first block uses `stride` and the previous stage's dilation, the others use `dilation` (as torchvision's
    `replace_stride_with_dilation`).
    """

    depth: int
    width: int
    stride: int = 2
    dilation: int = 1
    block: Block = Bottleneck()
    arrangement: Arrangement = Chain()


class Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[1x1 convolution to `width`, norm, activation], global average pool, linear classifier.

    `classes=0` leaves out the classifier: the network then ends in the pooled vector.
    """

    classes: int = 1000
    width: int | None = None
