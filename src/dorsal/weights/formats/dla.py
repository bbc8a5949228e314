"""Names in DLA networks (arXiv 1707.06484): a block is a leaf of a tree and is named by the path down to it."""

from __future__ import annotations

from dorsal.spec.network import Network
from dorsal.spec.stage import Stage
from dorsal.spec.stem import stem_widths
from dorsal.weights.formats.naming import Kinds, Modules, Naming, check_kinds
from dorsal.weights.formats.resnet import block_names

DLA = Kinds(stem=("dla",), mixer=("conv", "multi_scale"), shortcut=("max_pool",), arrangement=("tree",))

Shapes = dict[str, tuple[int, ...]]


def timm(network: Network) -> Naming:
    """timm's names."""
    check_kinds("timm", network, DLA)
    return Naming(modules=_modules(network), conv_classifier=True)


def res2net(network: Network) -> Naming:
    """The Res2Net authors' names: timm's, and a shortcut at every higher node, whose result nothing reads."""
    check_kinds("res2net", network, DLA)
    unused: Shapes = {}
    width = stem_widths(network.stem)[-1]
    for index, stage in enumerate(network.stages):
        for above in range(_levels(stage) - 1) if width != stage.width else ():
            unused |= _shortcut(".".join([f"level{index + 2}", *["tree1"] * above]), width, stage.width)
        width = stage.width
    return Naming(modules=_modules(network), conv_classifier=True, unused=unused)


def _modules(network: Network) -> Modules:
    modules: Modules = {"head.fc": "fc"}
    for index, level in enumerate(("base_layer", "level0", "level1")):
        modules |= {f"stem.convs.{index}.conv": f"{level}.0", f"stem.convs.{index}.norm": f"{level}.1"}
    for index, stage in enumerate(network.stages):
        names = block_names(stage)
        for leaf in range(stage.depth):
            # The bits of a leaf's number are its way down; the last node above it holds its root and its shortcut.
            *way, last = [f"tree{(leaf >> bit & 1) + 1}" for bit in reversed(range(_levels(stage)))]
            node = ".".join([f"level{index + 2}", *way])
            block, root = f"stages.{index}.blocks.{leaf}", f"stages.{index}.roots.{leaf // 2}"
            modules |= {f"{block}.{layer}": f"{node}.{last}.{name}" for layer, name in names.items()}
            modules |= {f"{block}.shortcut.conv": f"{node}.project.0", f"{block}.shortcut.norm": f"{node}.project.1"}
            modules |= {f"{root}.conv": f"{node}.root.conv", f"{root}.norm": f"{node}.root.bn"}
    return modules


def _levels(stage: Stage) -> int:
    """The height of a stage's tree; its depth is a power of two."""
    return stage.depth.bit_length() - 1


def _shortcut(node: str, w_in: int, w_out: int) -> Shapes:
    tensors: Shapes = dict.fromkeys(("weight", "bias", "running_mean", "running_var"), (w_out,))
    norm = {f"{node}.project.1.{name}": shape for name, shape in (tensors | {"num_batches_tracked": ()}).items()}
    return {f"{node}.project.0.weight": (w_out, w_in, 1, 1), **norm}
