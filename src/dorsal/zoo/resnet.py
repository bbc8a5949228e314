"""ResNet and its line: -C/-D (arXiv 1812.01187), Wide ResNet (1605.07146), ResNeXt (1611.05431), SENet (1709.01507),
SKNet (1903.06586), CIFAR ResNets.

Strides sit in the 3x3 convolution ("V1.5", as torchvision and timm), not in the first 1x1 as in the paper. The names
are timm's, and so are the SE and SK networks: SENet without its changed stem, SKNet with the input split over the
paths except in skresnext50. `resnet{n}c` has the deep stem, `resnet{n}d` the average-pool shortcuts too.
"""

from __future__ import annotations

from dorsal.spec.block import (
    AveragePool,
    Basic,
    Bottleneck,
    Conv,
    SelectiveKernel,
    SqueezeExcite,
    StridedConv,
    ZeroPad,
)
from dorsal.spec.network import Network
from dorsal.spec.stage import Head, Stage
from dorsal.spec.stem import Deep, Simple

DEPTHS = {
    14: (1, 1, 1, 1),
    18: (2, 2, 2, 2),
    26: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
    200: (3, 24, 36, 3),
}
SE = SqueezeExcite()
SK = SelectiveKernel(split_input=True)


def four_stages(depths: tuple[int, ...], block: Basic | Bottleneck) -> tuple[Stage, ...]:
    """The ImageNet ResNet layout: 64, 128, 256, 512 planes, the first stage unstrided."""
    expansion = int(block.expansion) if isinstance(block, Bottleneck) else 1
    return tuple(
        Stage(depth, 64 * 2**index * expansion, stride=1 if index == 0 else 2, block=block)
        for index, depth in enumerate(depths)
    )


def _resnet(
    layers: int, shortcut: StridedConv | AveragePool = StridedConv(), attention: SqueezeExcite | None = None
) -> tuple[Stage, ...]:
    plain = layers in (18, 34)
    block = Basic(Conv(), attention, shortcut) if plain else Bottleneck(Conv(), attention, shortcut)
    return four_stages(DEPTHS[layers], block)


def _resnext(
    layers: int, groups: int, width: int, attention: SqueezeExcite | None = None, deep: bool = False
) -> Network:
    """ResNeXt of `groups` groups of base width `width`; `deep` gives it the stem and shortcuts of ResNet-D."""
    shortcut = AveragePool() if deep else StridedConv()
    stages = four_stages(DEPTHS[layers], Bottleneck(Conv(groups=groups, width=width), attention, shortcut))
    return Network(stages, Deep()) if deep else Network(stages)


def _cifar(depth: int) -> Network:
    """The CIFAR-10 ResNet of 6 * depth + 2 layers (arXiv 1512.03385 section 4.2) with option-A shortcuts."""
    block = Basic(shortcut=ZeroPad())
    stages = tuple(Stage(depth, width, stride, block=block) for width, stride in ((16, 1), (32, 2), (64, 2)))
    return Network(stages, Simple(16, stride=1), Head(10))


NETWORKS = {
    **{f"resnet{n}": Network(_resnet(n)) for n in (18, 26, 34, 50, 101, 152, 200)},
    **{f"resnet{n}c": Network(_resnet(n), Deep()) for n in (50, 101, 152)},
    **{f"resnet{n}d": Network(_resnet(n, AveragePool()), Deep()) for n in (18, 26, 34, 50, 101, 152, 200)},
    **{f"wide_resnet{n}_2": Network(four_stages(DEPTHS[n], Bottleneck(Conv(width=128)))) for n in (50, 101)},
    "resnext50_32x4d": _resnext(50, 32, 4),
    "resnext50d_32x4d": _resnext(50, 32, 4, deep=True),
    "resnext101_32x4d": _resnext(101, 32, 4),
    "resnext101_32x8d": _resnext(101, 32, 8),
    "resnext101_32x16d": _resnext(101, 32, 16),
    "resnext101_32x32d": _resnext(101, 32, 32),
    "resnext101_64x4d": _resnext(101, 64, 4),
    "resnext152_32x4d": _resnext(152, 32, 4),
    **{f"seresnet{n}": Network(_resnet(n, attention=SE)) for n in (50, 101, 152)},
    **{f"seresnet{n}d": Network(_resnet(n, AveragePool(), SE), Deep()) for n in (152, 200)},
    "seresnext50_32x4d": _resnext(50, 32, 4, SE),
    "seresnext101_32x4d": _resnext(101, 32, 4, SE),
    "seresnext101_32x8d": _resnext(101, 32, 8, SE),
    "seresnext101_64x4d": _resnext(101, 64, 4, SE),
    "seresnext101d_32x8d": _resnext(101, 32, 8, SE, deep=True),
    "skresnet18": Network(four_stages(DEPTHS[18], Basic(SelectiveKernel(split_input=True, ratio=0.125, divisor=16)))),
    "skresnet34": Network(four_stages(DEPTHS[34], Basic(SelectiveKernel(split_input=True, ratio=0.125, divisor=16)))),
    "skresnet50": Network(four_stages(DEPTHS[50], Bottleneck(SK))),
    "skresnet50d": Network(four_stages(DEPTHS[50], Bottleneck(SK, shortcut=AveragePool())), Deep()),
    "skresnext50_32x4d": Network(
        four_stages(DEPTHS[50], Bottleneck(SelectiveKernel(groups=32, width=4, ratio=0.0625, divisor=32)))
    ),
    **{f"resnet{6 * n + 2}": _cifar(n) for n in (3, 5, 7, 9, 18, 200)},
}
_RESNEXT = ((50, "32x4d"), (101, "32x4d"), (101, "32x8d"), (152, "32x4d"))
ALIASES = {
    # pycls's model zoo and the names of its configs
    **{alias: f"resnet{n}" for n in (50, 101, 152) for alias in (f"resnet-{n}", f"r-{n}-1x64d")},
    **{alias: f"resnext{n}_32x4d" for n in (50, 101, 152) for alias in (f"resnext-{n}", f"x-{n}-32x4d")},
    # MMPretrain
    **{f"resnetv1c{n}": f"resnet{n}c" for n in (50, 101, 152)},
    **{f"resnetv1d{n}": f"resnet{n}d" for n in (50, 101, 152)},
    **{f"wide-resnet{n}": f"wide_resnet{n}_2" for n in (50, 101)},
    **{f"resnext{n}-{width}": f"resnext{n}_{width}" for n, width in _RESNEXT},
    **{f"seresnext{n}-32x4d": f"seresnext{n}_32x4d" for n in (50, 101)},
}
