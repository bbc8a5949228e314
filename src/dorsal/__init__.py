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
    from dorsal.report.comparison.analysis import analyse
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
    from dorsal.study.analysis.analyse import analyse_population
    from dorsal.study.compare import compare
    from dorsal.study.comparison import Comparison
    from dorsal.study.latency.fit import LatencyQuestion
    from dorsal.study.latency.measure import measure_latency
    from dorsal.study.narrowing.propose import propose
    from dorsal.study.population.question import PopulationQuestion
    from dorsal.study.population.reliability import ReliabilityQuestion, run_reliability
    from dorsal.study.population.reliability_saved import load_retrained
    from dorsal.study.population.run import run_population
    from dorsal.study.population.saved import load_population
    from dorsal.study.saved import load_study
    from dorsal.study.search.outcome import search_outcome
    from dorsal.study.search.pick import pick
    from dorsal.study.search.question import SearchQuestion
    from dorsal.study.search.run import run_search
    from dorsal.study.search.saved import load_search
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
    "dorsal.space.named": ("read_space",),
    "dorsal.space.sample": ("sample",),
    "dorsal.study.population.question": ("PopulationQuestion",),
    "dorsal.study.population.run": ("run_population",),
    "dorsal.study.population.reliability": ("ReliabilityQuestion", "run_reliability"),
    "dorsal.study.population.saved": ("load_population",),
    "dorsal.study.population.reliability_saved": ("load_retrained",),
    "dorsal.study.analysis.analyse": ("analyse_population",),
    "dorsal.study.latency.fit": ("LatencyQuestion",),
    "dorsal.study.latency.measure": ("measure_latency",),
    "dorsal.study.narrowing.propose": ("propose",),
    "dorsal.study.search.question": ("SearchQuestion",),
    "dorsal.study.search.run": ("run_search",),
    "dorsal.study.search.saved": ("load_search",),
    "dorsal.study.search.outcome": ("search_outcome",),
    "dorsal.study.search.pick": ("pick",),
    "dorsal.report.population.write": ("write_population_report",),
    "dorsal.report.comparison.analysis": ("analyse",),
    "dorsal.report.comparison.results": ("read_results",),
    "dorsal.report.comparison.write": ("write_report",),
}
_HOME = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = [
    "Comparison",
    "Cost",
    "LatencyQuestion",
    "Network",
    "PopulationQuestion",
    "Recipe",
    "ReliabilityQuestion",
    "SearchQuestion",
    "analyse",
    "analyse_population",
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
    "load_retrained",
    "load_search",
    "load_study",
    "match_cost",
    "measure_latency",
    "named",
    "network",
    "open_data",
    "parse_data",
    "pick",
    "propose",
    "read_results",
    "read_space",
    "receptive_fields",
    "recipe",
    "register_smp",
    "register_timm",
    "run_population",
    "run_reliability",
    "run_search",
    "sample",
    "save_model",
    "search_outcome",
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
