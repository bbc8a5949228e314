"""Names in RegNets: pycls's (which are also detectron2's), torchvision's and timm's."""

from __future__ import annotations

from dorsal.spec.block import Basic
from dorsal.spec.network import Network
from dorsal.spec.stage import Stage
from dorsal.spec.stem import Simple
from dorsal.weights.formats.naming import Kinds, Modules, Naming, chain, check_kinds

PYCLS = Kinds(stem=("simple", "conv7x7"), attention=("none", "after_mixer"))
TORCHVISION = Kinds(stem=("simple",), block=("bottleneck",), attention=("none", "after_mixer"))
TIMM = Kinds(
    stem=("simple",),
    block=("bottleneck",),
    shortcut=("strided_conv", "identity_only"),
    attention=("none", "after_mixer"),
    output=("act", "linear"),
    head=("linear", "conv"),
)


def pycls(network: Network, package: str = "pycls") -> Naming:
    """pycls's names, also of its ResNets. detectron2 has the same names and no classifier."""
    check_kinds(package, network, PYCLS)
    modules = chain(
        network,
        stem=("stem.conv", "stem.bn"),
        at=lambda stage, block: f"s{stage + 1}.b{block + 1}.",
        block=_pycls_block,
        head={"fc": "head.fc"} if package == "pycls" else {},
    )
    # pycls reads ImageNet with OpenCV, which gives BGR, and CIFAR (simple stem, basic blocks) from its own RGB arrays.
    cifar = isinstance(network.stem, Simple) and isinstance(network.stages[0].block, Basic)
    return Naming(modules=modules, bgr=not cifar)


def _pycls_block(stage: Stage) -> Modules:
    mixer, last = ("a", "b") if isinstance(stage.block, Basic) else ("b", "c")
    return {
        "reduce.conv": "f.a",
        "reduce.norm": "f.a_bn",
        "mixer.conv": f"f.{mixer}",
        "mixer.norm": f"f.{mixer}_bn",
        "attention.fc1": "f.se.f_ex.0",
        "attention.fc2": "f.se.f_ex.2",
        "expand.conv": f"f.{last}",
        "expand.norm": f"f.{last}_bn",
        "shortcut.conv": "proj",
        "shortcut.norm": "bn",
    }


def torchvision(network: Network) -> Naming:
    """torchvision's names. It counts blocks from 0, pycls from 1."""
    check_kinds("torchvision", network, TORCHVISION)
    names = {
        "reduce.conv": "f.a.0",
        "reduce.norm": "f.a.1",
        "mixer.conv": "f.b.0",
        "mixer.norm": "f.b.1",
        "attention.fc1": "f.se.fc1",
        "attention.fc2": "f.se.fc2",
        "expand.conv": "f.c.0",
        "expand.norm": "f.c.1",
        "shortcut.conv": "proj.0",
        "shortcut.norm": "proj.1",
    }
    modules = chain(
        network,
        stem=("stem.0", "stem.1"),
        at=lambda stage, block: f"trunk_output.block{stage + 1}.block{stage + 1}-{block}.",
        block=lambda _: names,
        head={"fc": "fc"},
    )
    return Naming(modules=modules)


def timm(network: Network) -> Naming:
    """timm's names, also of RegNetZ with a convolution before the classifier."""
    check_kinds("timm", network, TIMM)
    names = {
        "reduce.conv": "conv1.conv",
        "reduce.norm": "conv1.bn",
        "mixer.conv": "conv2.conv",
        "mixer.norm": "conv2.bn",
        "attention.fc1": "se.fc1",
        "attention.fc2": "se.fc2",
        "expand.conv": "conv3.conv",
        "expand.norm": "conv3.bn",
        "shortcut.conv": "downsample.conv",
        "shortcut.norm": "downsample.bn",
    }
    modules = chain(
        network,
        stem=("stem.conv", "stem.bn"),
        at=lambda stage, block: f"s{stage + 1}.b{block + 1}.",
        block=lambda _: names,
        head={"conv": "final_conv.conv", "norm": "final_conv.bn", "fc": "head.fc"},
    )
    return Naming(modules=modules)
