"""What an epoch of many networks takes, from a few that were timed."""

from __future__ import annotations

import numpy as np
import scipy.optimize
from numpy.typing import NDArray

from dorsal.jobs.forecast import EpochSeconds
from dorsal.jobs.plan import Plan
from dorsal.jobs.records import Arm
from dorsal.spec.network import Network


def predict_epochs(plan: Plan, measured: EpochSeconds) -> dict[tuple[str, str], float]:
    """Seconds of an epoch for every arm and recipe: as measured, or else by the non-negative combination of MACs,
    activations, blocks and a constant that is nearest to what was measured under the same recipe, relatively. A recipe
    under which nothing was measured takes what others take."""
    found = dict(measured)
    arms = {arm.label: arm for arm in plan.arms}
    for recipe in plan.recipes:
        wanted = [label for label in arms if (label, recipe) not in measured]
        positive = {pair: s for pair, s in measured.items() if s > 0}
        own = {label: s for (label, name), s in positive.items() if name == recipe}
        known = own or {label: s for (label, _), s in positive.items()}
        if not (wanted and known):
            found |= {(label, recipe): 0.0 for label in wanted}
            continue
        seconds = np.array(list(known.values()))
        table = np.array([_predictors(arms[label]) for label in known]) / seconds[:, None]
        scale = table.max(axis=0)
        weights, _ = scipy.optimize.nnls(table / scale, np.ones(len(known)))
        found |= {(label, recipe): float(_predictors(arms[label]) @ (weights / scale)) for label in wanted}
    return found


def _predictors(arm: Arm) -> NDArray[np.float64]:
    depth = sum(stage.depth for stage in arm.network.stages) if isinstance(arm.network, Network) else 1
    return np.array([arm.cost.macs, arm.cost.activations, depth, 1.0])
