"""Res2Net (arXiv 1904.01169) and Res2NetPlus: a cascade of channel groups in place of the 3x3.

Written from the paper and from measurements of the published networks. `26w_4s` is 4 scales of base width 26. v1b is
timm's `d`: deep stem and average-pool shortcuts; PaddleClas's vd (v1d) has the same trunk. Res2NeXt-50 is
`4w x 8c x 4s`: each scale has 8 groups of base width 4, hence base width 32; Res2NeXt-101 is the same block at the
depths of -101 (no figures of it are published).

Res2NetPlus (lessw2020/res2net-plus) has Mish, a stem of three 3x3 and activation before norm in the stem and after the
reducing 1x1. `res2netplus50_aliased` also has the in-place aliasing bug of the published code.

Res2Net-DLA is DLA-60 (arXiv 1707.06484) with Res2Net blocks. Its tree is a choice of the grammar (`arrangement=tree`)
and not a trunk of its own: so costs, pyramids, dilation, weights and any crossing come from the same few lines.
"""

from __future__ import annotations

from dorsal.spec.arrangement import Tree
from dorsal.spec.block import AveragePool, Bottleneck, Conv, MaxPool, Mixer, MultiScale
from dorsal.spec.network import Network
from dorsal.spec.stage import Stage
from dorsal.spec.stem import Deep, Dla
from dorsal.zoo.resnet import DEPTHS, four_stages

SETTINGS = ((48, 2), (26, 4), (14, 8), (26, 6), (26, 8), (18, 6))
RES2NEXT = MultiScale(scales=4, width=32, inner=Conv(groups=8))


def _v1(depth: int, width: int, scales: int) -> Network:
    return Network(four_stages(DEPTHS[depth], Bottleneck(MultiScale(scales, width))))


def _v1b(depths: tuple[int, ...]) -> Network:
    return Network(four_stages(depths, Bottleneck(MultiScale(4, 26), shortcut=AveragePool())), Deep())


def _plus(depth: int, aliased: bool = False) -> Network:
    block = Bottleneck(MultiScale(scales=4, width=26, aliased=aliased), order="act_norm")
    return Network(four_stages(DEPTHS[depth], block), Deep((32, 64, 64), order="act_norm"), activation="mish")


def _dla60(mixer: Mixer) -> Network:
    block = Bottleneck(mixer, shortcut=MaxPool(), expansion=2)
    stages = tuple(
        Stage(depth, width, block=block, arrangement=Tree(keep_input=index > 0))
        for index, (depth, width) in enumerate(((2, 128), (4, 256), (8, 512), (2, 1024)))
    )
    return Network(stages, Dla())


NETWORKS = {
    **{f"res2net50_{w}w_{s}s": _v1(50, w, s) for w, s in SETTINGS},
    "res2net101_26w_4s": _v1(101, 26, 4),
    **{f"res2net{n}d": _v1b(DEPTHS[n]) for n in (50, 101, 152)},
    "res2net200d": _v1b((3, 12, 48, 3)),
    **{f"res2next{n}": Network(four_stages(DEPTHS[n], Bottleneck(RES2NEXT))) for n in (50, 101)},
    "dla60": _dla60(Conv()),
    "dla60_res2net": _dla60(MultiScale(scales=4, width=28)),
    "dla60_res2next": _dla60(RES2NEXT),
    **{f"res2netplus{n}": _plus(n) for n in (50, 101, 152)},
    "res2netplus50_aliased": _plus(50, aliased=True),
}
ALIASES = {
    "res2net50": "res2net50_26w_4s",
    "res2net101": "res2net101_26w_4s",
    **{alias: f"res2net{n}d" for n in (50, 101, 152) for alias in (f"res2net{n}_v1b", f"res2net{n}_v1b_26w_4s")},
    **{alias: f"res2net{n}d" for n in (50, 101, 200) for alias in (f"res2net{n}_v1d", f"res2net{n}_vd_26w_4s")},
    "res2next50_4s": "res2next50",
    **{alias: f"dla60_{m}" for m in ("res2net", "res2next") for alias in (f"{m}_dla60", f"{m}_dla60_4s")},
    # the names of the authors' table
    **{f"res2net-50-{w}w-{s}s": f"res2net50_{w}w_{s}s" for w, s in SETTINGS},
    "res2net-101-26w-4s": "res2net101_26w_4s",
    **{f"res2net-v1b-{n}": f"res2net{n}d" for n in (50, 101)},
    "res2net-v1d-200": "res2net200d",
    "res2next-50": "res2next50",
    "res2net-dla-60": "dla60_res2net",
    "res2next-dla-60": "dla60_res2next",
    # MMPretrain
    **{f"res2net{n}-w{w}-s{s}": f"res2net{n}_{w}w_{s}s" for n, w, s in ((50, 14, 8), (50, 26, 8), (101, 26, 4))},
}
