"""Names in the CIFAR ResNets of akamaster/pytorch_resnet_cifar10, whose shortcuts have no parameters (option A)."""

from __future__ import annotations

from dorsal.spec.network import Network
from dorsal.weights.formats.naming import Kinds, Naming, chain, check_kinds
from dorsal.weights.formats.resnet import block_names

KINDS = Kinds(stem=("simple",), block=("basic",), shortcut=("zero_pad",))


def names(network: Network) -> Naming:
    """torchvision's names of basic blocks; the classifier is called `linear`."""
    check_kinds("pytorch_resnet_cifar10", network, KINDS)
    modules = chain(
        network,
        stem=("conv1", "bn1"),
        at=lambda stage, block: f"layer{stage + 1}.{block}.",
        block=block_names,
        head={"fc": "linear"},
    )
    return Naming(modules=modules)
