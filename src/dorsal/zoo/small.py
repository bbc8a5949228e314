"""Small forms of every family. They are our own, and nobody published them.

`small` is for images of 32 to 48 px: `dorsal compare` edits it into its default arms. The `*_small` are for photographs
of about 64 px, at a third of the MACs of resnet18. All have one layout: eight blocks and one 3x3 as their stem, so that
they differ in the choices that make a family, and in widths, which bring each to the MACs of `resnet_small` at 64 px
within 2 % (`spec.widths.match_cost`).
"""

from __future__ import annotations

from dorsal.spec.block import Bottleneck, Conv, IdentityOnly, MultiScale
from dorsal.spec.network import Network
from dorsal.spec.stage import Activation, Head, Stage
from dorsal.spec.stem import Simple
from dorsal.zoo import regnet, res2net, resnest, resnet


def _small(block: Bottleneck, *widths: int, activation: Activation = "relu") -> Network:
    stages = tuple(Stage(2, width, stride=1 if index == 0 else 2, block=block) for index, width in enumerate(widths))
    return Network(stages, Simple(), activation=activation)


_GROUPS_OF_8 = Conv(group_width=8)
_INVERTED = Bottleneck(_GROUPS_OF_8, regnet.SE, IdentityOnly(), expansion=0.25, output="linear")

NETWORKS = {
    "small": Network(
        tuple(Stage(depth, width) for depth, width in ((1, 64), (2, 128), (1, 256))), Simple(16), Head(10)
    ),
    "resnet_small": _small(Bottleneck(), 64, 128, 256, 512),
    "resnext_small": _small(Bottleneck(Conv(groups=32, width=4)), 64, 128, 256, 448),
    "seresnet_small": _small(Bottleneck(attention=resnet.SE), 64, 128, 256, 512),
    "skresnet_small": _small(Bottleneck(resnet.SK), 64, 128, 256, 512),
    "resnest_small": _small(resnest.BLOCK, 64, 96, 192, 448),
    "res2net_small": _small(Bottleneck(MultiScale(scales=4, width=26)), 64, 128, 256, 480),
    "res2next_small": _small(Bottleneck(res2net.RES2NEXT), 64, 128, 256, 448),
    "res2netplus_small": _small(
        Bottleneck(MultiScale(scales=4, width=26), order="act_norm"), 64, 128, 256, 480, activation="mish"
    ),
    "regnetx_small": _small(Bottleneck(_GROUPS_OF_8, expansion=1), 32, 96, 160, 352),
    "regnety_small": _small(Bottleneck(_GROUPS_OF_8, regnet.SE, expansion=1), 32, 96, 160, 352),
    "regnetz_small": _small(_INVERTED, 16, 32, 80, 176, activation="silu"),
}
