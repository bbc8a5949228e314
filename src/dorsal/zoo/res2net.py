"""Res2Net (arXiv 1904.01169) and Res2NetPlus: a cascade of channel groups in place of the 3x3.

Written from the paper and from measurements of the published networks. Res2NeXt-50 is `4w x 8c x 4s`: each scale has 8
groups of base width 4, hence base width 32. Res2NetPlus (lessw2020/res2net-plus) has Mish, a stem of three 3x3 and
activation before norm in the stem and after the reducing 1x1; its in-place aliasing bug is not reproduced.
"""

from dorsal.spec.block import Bottleneck, Conv, MultiScale
from dorsal.spec.network import Network
from dorsal.spec.stem import Deep
from dorsal.zoo.resnet import DEPTHS, four_stages

RES2NET = Bottleneck(MultiScale(scales=4, width=26))
RES2NEXT = Bottleneck(MultiScale(scales=4, width=32, inner=Conv(groups=8)))
PLUS = Bottleneck(MultiScale(scales=4, width=26), order="act_norm")

NETWORKS = {
    "res2net50_26w_4s": Network(four_stages(DEPTHS[50], RES2NET)),
    "res2net101_26w_4s": Network(four_stages(DEPTHS[101], RES2NET)),
    "res2next50": Network(four_stages(DEPTHS[50], RES2NEXT)),
    "res2netplus50": Network(four_stages(DEPTHS[50], PLUS), Deep((32, 64, 64), order="act_norm"), activation="mish"),
}
