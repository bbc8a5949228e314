"""Dorsal: convolutional backbones in one grammar, compared fairly.

The names below are the front door. They are imported when first used, so `import dorsal` loads no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dorsal.data.dataset import open_data
    from dorsal.data.spec import parse_data
    from dorsal.nn.build import build
    from dorsal.report.analysis import analyse
    from dorsal.report.files import read_results
    from dorsal.report.write import write_report
    from dorsal.spec.cost import Cost, cost
    from dorsal.spec.layers import features, layers
    from dorsal.spec.network import Network
    from dorsal.spec.receptive import receptive_fields
    from dorsal.spec.text import difference, edit
    from dorsal.spec.widths import match_cost
    from dorsal.study.compare import compare
    from dorsal.study.comparison import Comparison
    from dorsal.study.saved import load_study
    from dorsal.train.evaluate import evaluate
    from dorsal.train.loop import fit
    from dorsal.train.recipe import Recipe, recipe
    from dorsal.weights.create import create
    from dorsal.weights.in_smp import register_smp
    from dorsal.weights.in_timm import register_timm
    from dorsal.weights.published import find_published
    from dorsal.weights.saved import load_model, save_model
    from dorsal.zoo import named, network, text_of

__version__ = "0.1.0"

_ROOMS = {
    "dorsal.spec.network": ("Network",),
    "dorsal.spec.cost": ("Cost", "cost"),
    "dorsal.spec.layers": ("features", "layers"),
    "dorsal.spec.receptive": ("receptive_fields",),
    "dorsal.spec.text": ("difference", "edit"),
    "dorsal.spec.widths": ("match_cost",),
    "dorsal.zoo": ("named", "network", "text_of"),
    "dorsal.nn.build": ("build",),
    "dorsal.weights.saved": ("load_model", "save_model"),
    "dorsal.weights.create": ("create",),
    "dorsal.weights.published": ("find_published",),
    "dorsal.weights.in_timm": ("register_timm",),
    "dorsal.weights.in_smp": ("register_smp",),
    "dorsal.data.spec": ("parse_data",),
    "dorsal.data.dataset": ("open_data",),
    "dorsal.train.recipe": ("Recipe", "recipe"),
    "dorsal.train.loop": ("fit",),
    "dorsal.train.evaluate": ("evaluate",),
    "dorsal.study.comparison": ("Comparison",),
    "dorsal.study.compare": ("compare",),
    "dorsal.study.saved": ("load_study",),
    "dorsal.report.analysis": ("analyse",),
    "dorsal.report.files": ("read_results",),
    "dorsal.report.write": ("write_report",),
}
_HOME = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = [
    "Comparison",
    "Cost",
    "Network",
    "Recipe",
    "analyse",
    "build",
    "compare",
    "cost",
    "create",
    "difference",
    "edit",
    "evaluate",
    "features",
    "find_published",
    "fit",
    "layers",
    "load_model",
    "load_study",
    "match_cost",
    "named",
    "network",
    "open_data",
    "parse_data",
    "read_results",
    "receptive_fields",
    "recipe",
    "register_smp",
    "register_timm",
    "save_model",
    "text_of",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'dorsal' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
