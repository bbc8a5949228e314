"""torchvision's names in ResNets. timm, ResNeSt and Res2Net extend them, so one table serves all four packages."""

from __future__ import annotations

from dorsal.spec.block import AveragePool, Basic, Conv, Mixer, MultiScale, SelectiveKernel, SplitAttention
from dorsal.spec.network import Network
from dorsal.spec.stage import Stage
from dorsal.spec.stem import Deep
from dorsal.weights.formats.naming import Kinds, Modules, Naming, chain, check_kinds

TORCHVISION = Kinds(stem=("conv7x7",))
RESNEST = Kinds(
    stem=("deep",),
    block=("bottleneck",),
    mixer=("split_attention",),
    shortcut=("average_pool",),
    downsample=("mixer", "pool_after", "pool_before"),
)
RES2NET = Kinds(
    stem=("conv7x7", "deep"), block=("bottleneck",), mixer=("multi_scale",), shortcut=("strided_conv", "average_pool")
)
TIMM = Kinds(
    stem=("conv7x7", "deep"),
    mixer=("conv", "split_attention", "multi_scale", "selective_kernel"),
    shortcut=("strided_conv", "average_pool"),
    attention=("none", "after_expand"),
    downsample=("mixer", "pool_after", "pool_before"),
)
DEEP_STEM = ("conv1.0", "conv1.1", "conv1.3", "conv1.4", "conv1.6", "bn1")


def names(package: str, network: Network, kinds: Kinds) -> Naming:
    """The names of a network in a package. Raises ValueError if the package, which has `kinds`, has no such network."""
    check_kinds(package, network, kinds)
    modules = chain(
        network,
        stem=DEEP_STEM if isinstance(network.stem, Deep) else ("conv1", "bn1"),
        at=lambda stage, block: f"layer{stage + 1}.{block}.",
        block=block_names,
        head={"fc": "fc"},
    )
    return Naming(modules=modules)


def block_names(stage: Stage) -> Modules:
    """Names in a residual block."""
    block = stage.block
    middle, last = (1, 2) if isinstance(block, Basic) else (2, 3)
    # timm's blocks with selective kernels are made of conv-norm-activation modules.
    conv, norm = ("conv{}.conv", "conv{}.bn") if isinstance(block.mixer, SelectiveKernel) else ("conv{}", "bn{}")
    # The average pool is the first module of its sequence, even where it has nothing to do.
    shortcut = 1 if isinstance(block.shortcut, AveragePool) else 0
    return {
        "reduce.conv": conv.format(1),
        "reduce.norm": norm.format(1),
        **mixer_names(block.mixer, middle),
        "expand.conv": conv.format(last),
        "expand.norm": norm.format(last),
        "attention.fc1": "se.fc1",
        "attention.fc2": "se.fc2",
        "shortcut.conv": f"downsample.{shortcut}",
        "shortcut.norm": f"downsample.{shortcut + 1}",
    }


def mixer_names(mixer: Mixer, place: int) -> Modules:
    """Names in the mixer, which is convolution number `place` in its block."""
    conv = f"conv{place}"
    match mixer:
        case Conv():
            return {"mixer.conv": conv, "mixer.norm": f"bn{place}"}
        case MultiScale():
            count = max(mixer.scales - 1, 1)
            convs = {f"mixer.scales.{i}.conv": f"convs.{i}" for i in range(count)}
            return convs | {f"mixer.scales.{i}.norm": f"bns.{i}" for i in range(count)}
        case SplitAttention():
            return {
                "mixer.conv": f"{conv}.conv",
                "mixer.norm": f"{conv}.bn0",
                "mixer.fc1": f"{conv}.fc1",
                "mixer.fc1_norm": f"{conv}.bn1",
                "mixer.fc2": f"{conv}.fc2",
            }
        case SelectiveKernel():
            paths = {f"mixer.paths.{i}.conv": f"{conv}.paths.{i}.conv" for i in range(mixer.paths)}
            paths |= {f"mixer.paths.{i}.norm": f"{conv}.paths.{i}.bn" for i in range(mixer.paths)}
            return paths | {
                "mixer.fc1": f"{conv}.attn.fc_reduce",
                "mixer.fc1_norm": f"{conv}.attn.bn",
                "mixer.fc2": f"{conv}.attn.fc_select",
            }
