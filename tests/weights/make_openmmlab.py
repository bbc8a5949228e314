"""Writes openmmlab.json: names and shapes of the states of OpenMMLab's backbones, with few blocks a stage.

Run in an environment with mmpretrain, mmdet, mmengine and mmcv-lite (its compiled operators are not needed for names):

    python tests/weights/make_openmmlab.py > tests/weights/openmmlab.json
"""

import json
import sys
import types
import warnings

warnings.simplefilter("ignore")


class _Operators(types.ModuleType):
    """Stands for MMCV's compiled operators, which mmdet looks for when it is imported."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *_: None


sys.modules["mmcv._ext"] = _Operators("mmcv._ext")

import mmdet.models.backbones as det  # noqa: E402
import mmpretrain.models.backbones as pre  # noqa: E402
from mmpretrain.models.heads import LinearClsHead  # noqa: E402

DEPTHS = (2, 1, 1, 1)
EDIT = "depths=[2, 1, 1, 1]"
DCN = {"type": "DCNv2", "deform_groups": 1, "fallback_on_stride": False}
REGNETX_002 = {"w0": 24, "wa": 36.44, "wm": 2.49, "group_w": 8, "depth": 13, "bot_mul": 1.0}
MM = (
    (f"resnet18({EDIT})", "ResNet", {"depth": 18}),
    (f"resnet50({EDIT})", "ResNet", {"depth": 50}),
    (f"resnet50d({EDIT})", "ResNetV1d", {"depth": 50}),
    (f"resnext50_32x4d({EDIT})", "ResNeXt", {"depth": 50, "groups": 32, "width_per_group": 4}),
    (f"seresnet50({EDIT})", "SEResNet", {"depth": 50}),
    (f"resnest50({EDIT})", "ResNeSt", {"depth": 50}),
    (f"res2net50_26w_4s({EDIT})", "Res2Net", {"depth": 50, "deep_stem": False, "avg_down": False}),
    (f"res2net50d({EDIT})", "Res2Net", {"depth": 50}),
    ("regnetx_002", "RegNet", {"arch": REGNETX_002}),
)
MMDET = (
    (f"resnet50({EDIT})", "ResNet", {"depth": 50}),
    (
        f"resnet50({EDIT}, mixer=[conv, conv(deformable=true), conv(deformable=true), conv(deformable=true)])",
        "ResNet",
        {"depth": 50, "dcn": DCN, "stage_with_dcn": (False, True, True, True)},
    ),
    (f"resnest50({EDIT})", "ResNeSt", {"depth": 50, "radix": 2, "reduction_factor": 4, "groups": 1}),
    (f"res2net50d({EDIT})", "Res2Net", {"depth": 50, "scales": 4, "base_width": 26}),
    ("regnetx_002", "RegNet", {"arch": REGNETX_002}),
)


def shallow(kind):
    """The class with few blocks a stage at every depth."""
    if kind.__name__ == "RegNet":
        return kind
    settings = {depth: (block, DEPTHS) for depth, (block, _) in kind.arch_settings.items()}
    return type(kind.__name__, (kind,), {"arch_settings": settings, "__doc__": kind.__doc__})


def shapes(module, prefix):
    """Names and shapes of a module's state."""
    return {prefix + name: list(value.shape) for name, value in module.state_dict().items()}


def main():
    """Prints versions and entries: format, text of our network, shapes by name."""
    entries = []
    for package, module, networks in (("mm", pre, MM), ("mmdet", det, MMDET)):
        for text, name, arguments in networks:
            backbone = shallow(getattr(module, name))(**arguments)
            state = shapes(backbone, "backbone.")
            if package == "mm":
                state |= shapes(LinearClsHead(1000, backbone.feat_dim), "head.")
            entries.append({"format": package, "network": text, "state": state})
    versions = {name: __import__(name).__version__ for name in ("mmpretrain", "mmdet", "mmengine", "mmcv")}
    print(json.dumps({"versions": versions, "entries": entries}, separators=(",", ":")))


if __name__ == "__main__":
    main()
