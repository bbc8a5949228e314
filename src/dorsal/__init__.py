"""Dorsal: convolutional backbones in one grammar, compared fairly.

The names below are the front door. They are imported when first used, so `import dorsal` loads no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dorsal.annotations.supervision import to_supervision
    from dorsal.data.dataset import open_data
    from dorsal.findings.analyse import analyse
    from dorsal.findings.table.analyse import analyse_table
    from dorsal.jobs.embed import embed
    from dorsal.jobs.evaluate import evaluate
    from dorsal.jobs.predict import predict
    from dorsal.nn.build import build
    from dorsal.recipes.recipe import Recipe
    from dorsal.recipes.text import recipe
    from dorsal.report.write import write_report
    from dorsal.space.named import read_space
    from dorsal.space.sample import sample
    from dorsal.spec.network import Network
    from dorsal.study.choice.question import Choice
    from dorsal.study.comparison.question import Comparison
    from dorsal.study.deployment.question import Deployment
    from dorsal.study.evaluation.question import Evaluation
    from dorsal.study.load import load
    from dorsal.study.population.question import Population
    from dorsal.study.recheck.question import Recheck
    from dorsal.study.run import run
    from dorsal.study.search.question import Search
    from dorsal.study.timing.question import Timing
    from dorsal.tasks.method import task_model
    from dorsal.tasks.saved import load_model
    from dorsal.train.loop import fit
    from dorsal.weights.create import create
    from dorsal.weights.register_smp import register_smp
    from dorsal.weights.register_timm import register_timm
    from dorsal.weights.saved import save_model
    from dorsal.zoo import network
    from dorsal.zoo.facts import cost, difference, edit, features, layers, match_cost

__version__ = "0.1.0"

_ROOMS = {
    "dorsal.spec.network": ("Network",),
    "dorsal.zoo": ("network",),
    "dorsal.zoo.facts": (
        "cost",
        "difference",
        "edit",
        "features",
        "layers",
        "match_cost",
    ),
    "dorsal.nn.build": ("build",),
    "dorsal.weights.create": ("create",),
    "dorsal.tasks.method": ("task_model",),
    "dorsal.tasks.saved": ("load_model",),
    "dorsal.weights.saved": ("save_model",),
    "dorsal.weights.register_timm": ("register_timm",),
    "dorsal.weights.register_smp": ("register_smp",),
    "dorsal.recipes.recipe": ("Recipe",),
    "dorsal.recipes.text": ("recipe",),
    "dorsal.data.dataset": ("open_data",),
    "dorsal.annotations.supervision": ("to_supervision",),
    "dorsal.train.loop": ("fit",),
    "dorsal.jobs.evaluate": ("evaluate",),
    "dorsal.jobs.predict": ("predict",),
    "dorsal.jobs.embed": ("embed",),
    "dorsal.space.named": ("read_space",),
    "dorsal.space.sample": ("sample",),
    "dorsal.study.choice.question": ("Choice",),
    "dorsal.study.comparison.question": ("Comparison",),
    "dorsal.study.population.question": ("Population",),
    "dorsal.study.search.question": ("Search",),
    "dorsal.study.recheck.question": ("Recheck",),
    "dorsal.study.timing.question": ("Timing",),
    "dorsal.study.deployment.question": ("Deployment",),
    "dorsal.study.evaluation.question": ("Evaluation",),
    "dorsal.study.run": ("run",),
    "dorsal.study.load": ("load",),
    "dorsal.findings.analyse": ("analyse",),
    "dorsal.findings.table.analyse": ("analyse_table",),
    "dorsal.report.write": ("write_report",),
}
_HOME = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = [
    "Choice",
    "Comparison",
    "Deployment",
    "Evaluation",
    "Network",
    "Population",
    "Recheck",
    "Recipe",
    "Search",
    "Timing",
    "analyse",
    "analyse_table",
    "build",
    "cost",
    "create",
    "difference",
    "edit",
    "embed",
    "evaluate",
    "features",
    "fit",
    "layers",
    "load",
    "load_model",
    "match_cost",
    "network",
    "open_data",
    "predict",
    "read_space",
    "recipe",
    "register_smp",
    "register_timm",
    "run",
    "sample",
    "save_model",
    "task_model",
    "to_supervision",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'dorsal' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
