"""Names in OpenMMLab's packages: MMPretrain (`mm`) saves whole classifiers, MMDetection (`mmdet`) has no classifier."""

from __future__ import annotations

from collections.abc import Callable

from dorsal.spec.block import AveragePool, Bottleneck, MultiScale
from dorsal.spec.network import Network
from dorsal.spec.stage import Stage
from dorsal.spec.stem import Deep, Simple
from dorsal.weights.formats.naming import Kinds, Modules, Naming, Words, chain, check_kinds
from dorsal.weights.formats.resnet import block_names

MM = Kinds(
    stem=("conv7x7", "deep", "simple"),
    mixer=("conv", "split_attention", "multi_scale"),
    shortcut=("strided_conv", "average_pool"),
    attention=("none", "after_expand"),
    downsample=("mixer", "pool_after"),
)
MMDET = Kinds(
    stem=MM.stem,
    mixer=MM.mixer,
    deformable=("none", "conv"),
    shortcut=MM.shortcut,
    downsample=MM.downsample,
)
MM_STEM = ("stem.0.conv", "stem.0.bn", "stem.1.conv", "stem.1.bn", "stem.2.conv", "stem.2.bn")
MMDET_STEM = ("stem.0", "stem.1", "stem.3", "stem.4", "stem.6", "stem.7")


def mm(network: Network) -> Naming:
    """MMPretrain's names of the backbone in a classifier."""
    check_kinds("mm", network, MM)
    return _names(network, MM_STEM, _mm_block, {"fc": "head.fc"})


def mmdet(network: Network) -> Naming:
    """MMDetection's names."""
    check_kinds("mmdet", network, MMDET)
    return _names(network, MMDET_STEM, lambda stage: _block(stage, 1), {})


def _names(network: Network, deep: Words, block: Callable[[Stage], Modules], head: Modules) -> Naming:
    modules = chain(
        network,
        stem=deep if isinstance(network.stem, Deep) else ("conv1", "bn1"),
        at=lambda stage, block: f"layer{stage + 1}.{block}.",
        block=block,
        head=head,
    )
    # Their RegNets are pycls's weights; all others were trained on RGB, the ResNets for CIFAR with a simple stem too.
    plain = all(isinstance(stage.block, Bottleneck) and stage.block.expansion == 1 for stage in network.stages)
    return Naming(modules=modules, whole=True, bgr=plain and isinstance(network.stem, Simple))


def _mm_block(stage: Stage) -> Modules:
    # Without a stride there is no pool before the shortcut's convolution, except in Res2Net.
    return _block(stage, 1 if stage.stride > 1 or isinstance(stage.block.mixer, MultiScale) else 0)


def _block(stage: Stage, after_pool: int) -> Modules:
    """Names in a block. `after_pool`: the index of the convolution in a shortcut that pools."""
    place = after_pool if isinstance(stage.block.shortcut, AveragePool) else 0
    names = block_names(stage)
    convs = [name for name in names if name.startswith("mixer.") and name.endswith(".conv")]
    return names | {
        **{name.removesuffix("conv") + "offset": f"{names[name]}.conv_offset" for name in convs},
        "attention.fc1": "se_layer.conv1.conv",
        "attention.fc2": "se_layer.conv2.conv",
        "shortcut.conv": f"downsample.{place}",
        "shortcut.norm": f"downsample.{place + 1}",
    }
