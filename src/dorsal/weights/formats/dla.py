"""Names in DLA networks (arXiv 1707.06484): blocks are leaves of a tree, named by the way down to them."""

from __future__ import annotations

from dorsal.spec.layers import layers
from dorsal.spec.network import Network
from dorsal.weights.formats.naming import Kinds, Modules, Naming, check_kinds
from dorsal.weights.formats.resnet import block_names

DLA = Kinds(stem=("dla",), mixer=("conv", "multi_scale"), shortcut=("max_pool",), arrangement=("tree",))


def names(network: Network, package: str) -> Naming:
    """timm's names. The Res2Net authors' files (`res2net`) hold 18 more tensors, of shortcuts that nothing calls."""
    check_kinds(package, network, DLA)
    modules: Modules = {"head.fc": "fc"}
    for index, level in enumerate(("base_layer", "level0", "level1")):
        modules |= {f"stem.convs.{index}.conv": f"{level}.0", f"stem.convs.{index}.norm": f"{level}.1"}
    unused: dict[str, tuple[int, ...]] = {}
    width = {layer.name: layer.in_channels for layer in layers(network, max(network.total_stride, 32))}
    for index, stage in enumerate(network.stages):
        level, depth = f"level{index + 2}", (stage.depth - 1).bit_length()
        block = block_names(stage)
        for leaf in range(stage.depth):
            way = [f"tree{(leaf >> bit & 1) + 1}" for bit in reversed(range(depth))]
            pair = ".".join([level, *way[:-1]])
            place = f"stages.{index}.blocks.{leaf}"
            modules |= {f"{place}.{layer}": f"{pair}.{way[-1]}.{name}" for layer, name in block.items()}
            modules |= {f"{place}.shortcut.conv": f"{pair}.project.0", f"{place}.shortcut.norm": f"{pair}.project.1"}
            root = f"stages.{index}.roots.{leaf // 2}"
            modules |= {f"{root}.conv": f"{pair}.root.conv", f"{root}.norm": f"{pair}.root.bn"}
        if package == "res2net" and f"stages.{index}.blocks.0.shortcut.conv" in width:
            w_in = width[f"stages.{index}.blocks.0.shortcut.conv"]
            for above in range(depth - 1):
                unused |= _project(".".join([level, *["tree1"] * above]), w_in, stage.width)
    return Naming(modules=modules, conv_classifier=True, unused=unused)


def _project(place: str, w_in: int, w_out: int) -> dict[str, tuple[int, ...]]:
    norm = dict.fromkeys(("weight", "bias", "running_mean", "running_var"), (w_out,))
    return {
        f"{place}.project.0.weight": (w_out, w_in, 1, 1),
        **{f"{place}.project.1.{tensor}": shape for tensor, shape in norm.items()},
        f"{place}.project.1.num_batches_tracked": (),
    }
