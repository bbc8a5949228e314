"""ResNeSt (arXiv 2004.08955): split attention 2s1x64d, deep stem, average-pool shortcuts, pooling after the 3x3.

Original code: zhanghang1989/ResNeSt, resnest/torch/models. ResNeSt-101 and deeper have the wide stem (64, 64, 128).
"""

from dorsal.spec.block import AveragePool, Bottleneck, SplitAttention
from dorsal.spec.network import Network
from dorsal.spec.stem import Deep
from dorsal.zoo.resnet import four_stages

BLOCK = Bottleneck(SplitAttention(radix=2), shortcut=AveragePool(), downsample="pool_after")
WIDE_STEM = Deep((64, 64, 128))

NETWORKS = {
    "resnest50": Network(four_stages((3, 4, 6, 3), BLOCK), Deep()),
    "resnest101": Network(four_stages((3, 4, 23, 3), BLOCK), WIDE_STEM),
    "resnest200": Network(four_stages((3, 24, 36, 3), BLOCK), WIDE_STEM),
    "resnest269": Network(four_stages((3, 30, 48, 8), BLOCK), WIDE_STEM),
}
