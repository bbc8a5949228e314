"""ResNet and its line: -D (arXiv 1812.01187), ResNeXt (1611.05431), SENet (1709.01507), SKNet (1903.06586), CIFAR.

Strides sit in the 3x3 convolution ("V1.5", as torchvision and timm), not in the first 1x1 as in the paper.
skresnet50 is timm's: the input is split over the paths. seresnet50 is timm's: SENet without its changed stem.
"""

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
from dorsal.spec.network import Head, Network, Stage
from dorsal.spec.stem import Deep, Simple

DEPTHS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


def four_stages(depths: tuple[int, ...], block: Basic | Bottleneck) -> tuple[Stage, ...]:
    """The ImageNet ResNet layout: 64, 128, 256, 512 planes, the first stage unstrided."""
    expansion = block.expansion if isinstance(block, Bottleneck) else 1
    return tuple(
        Stage(depth, 64 * 2**index * expansion, stride=1 if index == 0 else 2, block=block)
        for index, depth in enumerate(depths)
    )


def _resnet(layers: int, shortcut: StridedConv | AveragePool = StridedConv()) -> tuple[Stage, ...]:
    block = Basic(shortcut=shortcut) if layers < 50 else Bottleneck(shortcut=shortcut)
    return four_stages(DEPTHS[layers], block)


def _cifar(depth: int) -> Network:
    """The CIFAR-10 ResNet of 6 * depth + 2 layers (arXiv 1512.03385 section 4.2) with option-A shortcuts."""
    block = Basic(shortcut=ZeroPad())
    stages = tuple(Stage(depth, width, stride, block=block) for width, stride in ((16, 1), (32, 2), (64, 2)))
    return Network(stages, Simple(16, stride=1), Head(10))


def _small() -> Network:
    """A small network of our own for small images: what `dorsal compare` edits into its default arms."""
    stages = tuple(Stage(depth, width) for depth, width in ((1, 64), (2, 128), (1, 256)))
    return Network(stages, Simple(16), Head(10))


NETWORKS = {
    **{f"resnet{n}": Network(_resnet(n)) for n in DEPTHS},
    **{f"resnet{n}d": Network(_resnet(n, AveragePool()), Deep()) for n in DEPTHS},
    "resnext50_32x4d": Network(four_stages(DEPTHS[50], Bottleneck(Conv(groups=32, width=4)))),
    "resnext101_32x8d": Network(four_stages(DEPTHS[101], Bottleneck(Conv(groups=32, width=8)))),
    "seresnet50": Network(four_stages(DEPTHS[50], Bottleneck(attention=SqueezeExcite()))),
    "skresnet50": Network(four_stages(DEPTHS[50], Bottleneck(SelectiveKernel(split_input=True)))),
    "resnet20": _cifar(3),
    "resnet56": _cifar(9),
    "small": _small(),
}
