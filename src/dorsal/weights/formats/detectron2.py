"""Names in detectron2's RegNets (which are pycls's) and in the ResNeSts of its fork chongruo/detectron2-ResNeSt.

Neither has a classifier. The grammar has no form of detectron2's own ResNets, whose stride is in the first 1x1.
"""

from __future__ import annotations

from dorsal.spec.network import Network
from dorsal.spec.stem import Simple
from dorsal.weights.formats import regnet
from dorsal.weights.formats.naming import Kinds, Naming, chain, check_kinds

RESNEST = Kinds(
    stem=("deep",),
    block=("bottleneck",),
    mixer=("split_attention",),
    deformable=("none", "split_attention"),
    shortcut=("average_pool",),
    downsample=("mixer", "pool_after"),
)


def names(network: Network) -> Naming:
    """The ResNeSts were trained on RGB, the RegNets on BGR."""
    if isinstance(network.stem, Simple):
        return regnet.pycls(network, "detectron2")
    check_kinds("detectron2", network, RESNEST)
    block = {
        "reduce.conv": "conv1",
        "reduce.norm": "conv1.norm",
        "mixer.offset": "conv2_offset",
        "mixer.conv": "conv2.conv",
        "mixer.norm": "conv2.bn0",
        "mixer.fc1": "conv2.fc1",
        "mixer.fc1_norm": "conv2.bn1",
        "mixer.fc2": "conv2.fc2",
        "expand.conv": "conv3",
        "expand.norm": "conv3.norm",
        "shortcut.conv": "shortcut",
        "shortcut.norm": "shortcut.norm",
    }
    modules = chain(
        network,
        stem=tuple(f"stem.conv1_{i}{norm}" for i in (1, 2, 3) for norm in ("", ".norm")),
        at=lambda stage, position: f"res{stage + 2}.{position}.",
        block=lambda _: block,
        head={},
    )
    return Naming(modules=modules)
