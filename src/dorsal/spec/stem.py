"""The stems, which turn images into the first feature map."""

from __future__ import annotations

import msgspec

from dorsal.spec.block import Order


class Conv7x7(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="conv7x7"):
    """One 7x7 convolution and a 3x3 stride-2 max-pool (ResNet)."""

    width: int = 64
    stride: int = 2
    pool: bool = True


class Deep(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="deep"):
    """Three 3x3 convolutions, the first strided, and a max-pool (ResNet-C/-D, ResNeSt; `act_norm`: Res2NetPlus)."""

    widths: tuple[int, int, int] = (32, 32, 64)
    stride: int = 2
    pool: bool = True
    order: Order = "norm_act"


class Simple(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="simple"):
    """One 3x3 convolution, no pool (RegNet). `stride=1` is the small-image form (CIFAR ResNet)."""

    width: int = 32
    stride: int = 2
    pool: bool = False


class Dla(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="dla"):
    """One 7x7 and two 3x3 convolutions, the last strided, no pool (DLA, arXiv 1707.06484: base layer, levels 0, 1)."""

    widths: tuple[int, int, int] = (16, 16, 32)
    stride: int = 2
    pool: bool = False


Stem = Conv7x7 | Deep | Simple | Dla


def stem_widths(stem: Stem) -> tuple[int, ...]:
    """Channels of each of the stem's convolutions. The last one is the stem's output."""
    return stem.widths if isinstance(stem, Deep | Dla) else (stem.width,)
