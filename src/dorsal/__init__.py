"""Dorsal: convolutional backbones in one grammar, compared fairly.

The names below are the front door. They are imported when first used, so `import dorsal` loads no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dorsal.data.dataset import open_data
    from dorsal.data.spec import parse_data
    from dorsal.findings.comparison import analyse_comparison
    from dorsal.findings.narrowing.propose import propose_space
    from dorsal.findings.population.analyse import analyse_population
    from dorsal.findings.search import analyse_search
    from dorsal.nn.build import build
    from dorsal.recipe.text import Recipe, recipe
    from dorsal.report.comparison.results import read_results
    from dorsal.report.comparison.write import write_report
    from dorsal.report.population.write import write_population_report
    from dorsal.space.named import read_space
    from dorsal.space.sample import sample
    from dorsal.spec.cost import Cost, cost
    from dorsal.spec.layers import features, layers
    from dorsal.spec.network import Network
    from dorsal.spec.receptive import receptive_fields
    from dorsal.spec.text import difference, edit
    from dorsal.spec.widths import match_cost
    from dorsal.study.comparison.question import Comparison
    from dorsal.study.comparison.run import compare
    from dorsal.study.population.question import Population
    from dorsal.study.population.run import run_population
    from dorsal.study.population.saved import load_population
    from dorsal.study.recheck.run import Recheck, run_recheck
    from dorsal.study.recheck.saved import load_recheck
    from dorsal.study.saved import load_study
    from dorsal.study.search.pick import pick_networks
    from dorsal.study.search.question import Search
    from dorsal.study.search.run import run_search
    from dorsal.study.search.saved import load_search
    from dorsal.study.timing.fit import Timing
    from dorsal.study.timing.run import measure_latency
    from dorsal.train.evaluate import evaluate
    from dorsal.train.loop import fit
    from dorsal.weights.create import create
    from dorsal.weights.published import find_published
    from dorsal.weights.register_smp import register_smp
    from dorsal.weights.register_timm import register_timm
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
    "dorsal.weights.register_timm": ("register_timm",),
    "dorsal.weights.register_smp": ("register_smp",),
    "dorsal.data.spec": ("parse_data",),
    "dorsal.data.dataset": ("open_data",),
    "dorsal.recipe.text": ("Recipe", "recipe"),
    "dorsal.train.loop": ("fit",),
    "dorsal.train.evaluate": ("evaluate",),
    "dorsal.study.comparison.question": ("Comparison",),
    "dorsal.study.comparison.run": ("compare",),
    "dorsal.study.saved": ("load_study",),
    "dorsal.space.named": ("read_space",),
    "dorsal.space.sample": ("sample",),
    "dorsal.study.population.question": ("PopulationQuestion",),
    "dorsal.study.population.run": ("run_population",),
    "dorsal.study.recheck.run": ("ReliabilityQuestion", "run_reliability"),
    "dorsal.study.population.saved": ("load_population",),
    "dorsal.study.recheck.saved": ("load_retrained",),
    "dorsal.findings.population.analyse": ("analyse_population",),
    "dorsal.study.timing.fit": ("LatencyQuestion",),
    "dorsal.study.timing.run": ("measure_latency",),
    "dorsal.findings.narrowing.propose": ("propose",),
    "dorsal.study.search.question": ("SearchQuestion",),
    "dorsal.study.search.run": ("run_search",),
    "dorsal.study.search.saved": ("load_search",),
    "dorsal.findings.search": ("search_outcome",),
    "dorsal.study.search.pick": ("pick",),
    "dorsal.report.population.write": ("write_population_report",),
    "dorsal.findings.comparison": ("analyse",),
    "dorsal.report.comparison.results": ("read_results",),
    "dorsal.report.comparison.write": ("write_report",),
}
_HOME = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = [
    "Comparison",
    "Cost",
    "Network",
    "Population",
    "Recheck",
    "Recipe",
    "Search",
    "Timing",
    "analyse_comparison",
    "analyse_population",
    "analyse_search",
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
    "load_population",
    "load_recheck",
    "load_search",
    "load_study",
    "match_cost",
    "measure_latency",
    "named",
    "network",
    "open_data",
    "parse_data",
    "pick_networks",
    "propose_space",
    "read_results",
    "read_space",
    "receptive_fields",
    "recipe",
    "register_smp",
    "register_timm",
    "run_population",
    "run_recheck",
    "run_search",
    "sample",
    "save_model",
    "text_of",
    "write_population_report",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'dorsal' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
