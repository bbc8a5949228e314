"""ResNeSt (arXiv 2004.08955): split attention 2s1x64d, deep stem, average-pool shortcuts, pooling after the 3x3.

Original code: zhanghang1989/ResNeSt, resnest/torch/models. ResNeSt-101 and deeper have the wide stem (64, 64, 128).
A setting `2s1x64d` is radix 2, cardinality 1, base width 64. The *fast* forms (ablation.py) pool before the 3x3.
resnest14 and 26 are timm's. resnest200_dcn is the backbone of the published COCO results "ResNeSt-200-DCN": deformable
3x3 convolutions in all stages but the first (detectron2 fork, DEFORM_ON_PER_STAGE, DEFORM_NUM_GROUPS 2, modulated).
"""

from __future__ import annotations

from msgspec.structs import replace

from dorsal.spec.block import AveragePool, Bottleneck, SplitAttention
from dorsal.spec.network import Network
from dorsal.spec.stem import Deep
from dorsal.zoo.resnet import DEPTHS, four_stages

BLOCK = Bottleneck(SplitAttention(radix=2), shortcut=AveragePool(), downsample="pool_after")
WIDE_STEM = Deep((64, 64, 128))
FAST_SETTINGS = ((1, 1, 64), (2, 1, 64), (4, 1, 64), (1, 2, 40), (2, 2, 40), (4, 2, 40), (1, 4, 24))


def _fast(depth: int, radix: int, cardinality: int, width: int, stem: Deep) -> Network:
    # 64 is the base width at which the inner width is the planes
    mixer = SplitAttention(radix, cardinality, None if width == 64 else width)
    return Network(four_stages(DEPTHS[depth], replace(BLOCK, mixer=mixer, downsample="pool_before")), stem)


def _deformable(network: Network) -> Network:
    block = replace(BLOCK, mixer=SplitAttention(radix=2, deformable=True))
    first, *rest = network.stages
    return replace(network, stages=(first, *(replace(stage, block=block) for stage in rest)))


NETWORKS = {
    "resnest14": Network(four_stages(DEPTHS[14], BLOCK), Deep()),
    "resnest26": Network(four_stages(DEPTHS[26], BLOCK), Deep()),
    "resnest50": Network(four_stages(DEPTHS[50], BLOCK), Deep()),
    "resnest101": Network(four_stages(DEPTHS[101], BLOCK), WIDE_STEM),
    "resnest200": Network(four_stages(DEPTHS[200], BLOCK), WIDE_STEM),
    "resnest269": Network(four_stages((3, 30, 48, 8), BLOCK), WIDE_STEM),
    **{f"resnest50_fast_{r}s{c}x{w}d": _fast(50, r, c, w, Deep()) for r, c, w in FAST_SETTINGS},
    "resnest101_fast": _fast(101, 2, 1, 64, WIDE_STEM),
}
NETWORKS["resnest200_dcn"] = _deformable(NETWORKS["resnest200"])
ALIASES = {
    # timm: d is the narrow stem, e the wide one
    **{f"resnest{n}d": f"resnest{n}" for n in (14, 26, 50)},
    **{f"resnest{n}e": f"resnest{n}" for n in (101, 200, 269)},
    **{f"resnest50d_{r}s{c}x{w}d": f"resnest50_fast_{r}s{c}x{w}d" for r, c, w in FAST_SETTINGS},
    "resnest50_fast": "resnest50_fast_2s1x64d",
}
