"""Points of a space asked of Optuna's samplers. No torch, but what `gp` imports of it."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from math import inf, isnan, log
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dorsal.space.bounds import Bound
from dorsal.space.candidates import Predictor, evaluate
from dorsal.space.points import Points, chosen_points, values_of
from dorsal.space.space import Space
from dorsal.space.table import Column, Ints
from dorsal.spec.network import Network
from dorsal.study.search.question import SAMPLERS

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

Point = dict[str, Any]
Params = dict[str, Any]
_REPEATED = 0.1
"""The violation of a network that is known already."""
_POPULATION = 20
"""Of `nsga2`, whose usual 50 is a whole search here."""


class Judgement(NamedTuple):
    """What a point is: a network with its costs, or why it cannot be trained. `violation` is above 0 then: for bounds
    the logarithm of how many times too large or too small a cost is."""

    network: Network | None
    costs: dict[str, float]
    key: bytes
    violation: float
    reason: str


class Encoding:
    """Points of a space as parameters of Optuna, and back.

    Numbers are parameters from 0 to 1: the share of the axis's own distribution that lies below the value. So a
    logarithmic axis is searched on its logarithmic scale, and what a sampler draws blindly it draws from the space.
    Words are categories, equally likely. An axis by stage has a parameter for each stage.

    All parameters are asked for, and those of an axis that is not drawn there (its condition does not hold, there is no
    such stage) ignored. The values of a non-decreasing axis are put in order. What a sampler is told is the point that
    came of it: each number as the middle of its share.
    """

    def __init__(self, space: Space) -> None:
        from optuna.distributions import CategoricalDistribution, FloatDistribution

        self.compiled = space.compiled
        self.distributions: dict[str, BaseDistribution] = {}
        self._numbers: dict[str, Column] = {}
        for name, axis in self.compiled.axes.items():
            if axis.same is not None or len(axis.values) == 1:
                continue
            numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in axis.written)
            if numeric and list(axis.written) == sorted(axis.written):
                self._numbers[name] = np.cumsum(axis.probabilities)
            for column in range(self.compiled.stages if axis.by_stage else 1):
                self.distributions[f"{name}.{column}"] = (
                    FloatDistribution(0, 1) if name in self._numbers else CategoricalDistribution(axis.written)
                )

    def points(self, params: Params) -> Points:
        """The point, one row, of these parameters."""

        def choose(name: str, columns: int, stages: Ints) -> Column:
            index = np.array([[self._index(name, params.get(f"{name}.{column}")) for column in range(columns)]])
            if name in self.compiled.non_decreasing:
                index[0, : stages[0]].sort()
            return index

        return chosen_points(self.compiled, 1, choose)

    def _index(self, name: str, param: Any) -> int:
        if param is None:  # the axis has one value
            return 0
        if name not in self._numbers:
            return self.compiled.axes[name].written.index(param)
        return min(int(np.searchsorted(self._numbers[name], param, side="right")), len(self._numbers[name]) - 1)

    def params(self, point: Point, undrawn: bool) -> Params:
        """The parameters of a point; those of axes that are not drawn there stand at a fixed value if `undrawn`, else
        they are left out."""
        params = {}
        for param in self.distributions:
            name, _, column = param.rpartition(".")
            axis = self.compiled.axes[name]
            value = point[name][int(column)] if axis.by_stage else point[name]
            if value is None and not undrawn:
                continue
            if name not in self._numbers:
                params[param] = axis.written[0] if value is None else value
            elif value is None:
                params[param] = 0.5
            else:
                index = axis.written.index(value)
                params[param] = float(self._numbers[name][index] - axis.probabilities[index] / 2)
        return params

    def values(self, points: Points) -> Point:
        """The values of a point, one row, as the space has them."""
        return {name: rows[0] for name, rows in values_of(self.compiled, points).items()}


class Feedback(NamedTuple):
    """What a sampler is told of a network: its objectives, None while it is in flight, "diverged" or "failed"."""

    point: Point
    costs: Mapping[str, float]
    memory: dict[str, Any]
    result: tuple[float, ...] | str | None


class Proposal(NamedTuple):
    """A point to train next. `draw` is in place of the sampler's where that was not to be asked, or found none."""

    point: Point
    judged: Judgement
    drawn: bool
    passed_over: dict[str, int]
    memory: dict[str, Any]


class Asker:
    """Asks a sampler for points of a space that are networks within all bounds and not known yet.

    Each proposal is a function of the seed and of what is told, in its order, and of nothing else: a sampler is made
    anew for each network, and told everything again. Points that cannot be trained it is told of with how far they are
    off, until it finds one that can; then they are forgotten, so that it learns from networks. `nsga2`, whose parents
    are of a generation, makes nothing of them.
    """

    def __init__(
        self,
        space: Space,
        bounds: Sequence[Bound],
        predicted: Mapping[str, Predictor],
        objectives: Sequence[str],
        sampler: str,
        seed: int,
    ) -> None:
        self.genome = Encoding(space)
        self._bounds, self._predicted, self._objectives = bounds, predicted, objectives
        self._sampler, self._seed = sampler, seed
        self._undrawn = sampler != "tpe"  # which alone models conditional parameters

    def judge(self, points: Points) -> Judgement:
        """What a point, one row, is."""
        found = evaluate(self.genome.compiled, points, self._predicted)
        if not len(found):
            return Judgement(None, {}, b"", 1.0, next(iter(found.rejected)))
        costs = {name: float(column[0]) for name, column in found.costs.items()}
        violation, reason = self._violation(costs)
        return Judgement(found.network(0), costs, found.keys()[0], violation, reason)

    def _violation(self, found: Mapping[str, float]) -> tuple[float, str]:
        """How far the costs are outside the bounds, at most 0 inside, and why."""
        worst, reason = -1.0, ""
        for name in (*(bound.quantity for bound in self._bounds), *self._objectives):
            if isnan(found.get(name, 0.0)):
                return 1.0, f"{name} cannot be predicted"
        for bound in self._bounds:
            away = _times_outside(bound, found[bound.quantity])
            if away > worst:
                worst, reason = away, f"{bound.quantity} outside {bound.text}" if away > 0 else ""
        return worst, reason

    def propose(self, told: Sequence[Feedback], known: Set[bytes], draws: Iterator[Points]) -> Proposal:
        """The next network; `known` are the keys of those there are, and `draws` random ones to fall back on."""
        effort = SAMPLERS[self._sampler]
        attempts = effort.attempts if effort.draws is not None and len(told) >= effort.draws else 0
        passed_over: Counter[str] = Counter()
        memory: dict[str, Any] = {}
        if attempts or self._sampler == "nsga2":  # whose generations the draws belong to
            with _quiet():
                study = self._study(told)
                for _ in range(attempts):
                    trial = study.ask(self.genome.distributions)
                    points = self.genome.points(trial.params)
                    judged = self._judge_new(points, known)
                    if not judged.reason:
                        return Proposal(self.genome.values(points), judged, False, dict(passed_over), _memory(study))
                    passed_over[judged.reason] += 1
                    self._pass_over(study, trial, points, judged, told)
                study.ask(self.genome.distributions)
                memory = _memory(study)
        points, judged = next((each, here) for each in draws if not (here := self._judge_new(each, known)).reason)
        return Proposal(self.genome.values(points), judged, True, dict(passed_over), memory)

    def _judge_new(self, points: Points, known: Set[bytes]) -> Judgement:
        judged = self.judge(points)
        return judged._replace(violation=_REPEATED, reason="asked before") if judged.key in known else judged

    def _study(self, told: Sequence[Feedback]) -> optuna.Study:
        """A study in memory of what is told, with a new sampler."""
        import optuna
        from optuna.trial import TrialState, create_trial

        study = optuna.create_study(
            directions=["minimize"] * len(self._objectives),
            sampler=_sampler(self._sampler, int(np.random.SeedSequence([self._seed, len(told)]).generate_state(1)[0])),
        )
        states: dict[object, TrialState] = {None: TrialState.RUNNING, "diverged": TrialState.PRUNED}
        for each in told:
            if each.result == "failed":  # says nothing of the network
                continue
            values = each.result if isinstance(each.result, tuple) else None
            params = self.genome.params(each.point, self._undrawn)
            study.add_trial(
                create_trial(
                    state=states.get(each.result, TrialState.COMPLETE),
                    values=values,
                    params=params,
                    distributions={name: self.genome.distributions[name] for name in params},
                    constraints={"bounds": self._violation(each.costs)[0]},
                    system_attrs=dict(each.memory),
                )
            )
        return study

    def _pass_over(
        self, study: optuna.Study, trial: optuna.Trial, points: Points, judged: Judgement, told: Sequence[Feedback]
    ) -> None:
        """Tells that a point cannot be trained. It gets the median of what is known in place of objectives, which
        samplers ignore but `gp`, whose model of the objective that leaves as it was."""
        from optuna.trial import TrialState, create_trial

        study.tell(trial, state=TrialState.FAIL)
        results = [each.result for each in told if isinstance(each.result, tuple)]
        params = self.genome.params(self.genome.values(points), self._undrawn)
        study.add_trial(
            create_trial(
                values=[median(column) for column in zip(*results, strict=True)] or [0.0] * len(self._objectives),
                params=params,
                distributions={name: self.genome.distributions[name] for name in params},
                constraints={"bounds": judged.violation},
            )
        )


def _times_outside(bound: Bound, value: float) -> float:
    """The logarithm of how many times too small or too large a value is, below 0 inside."""
    value = max(value, 1e-9)
    too_small = log(bound.low / value) if bound.low > 0 else -inf
    too_large = log(value / bound.high) if bound.high < inf else -inf
    return max(too_small, too_large)


def _sampler(name: str, seed: int) -> optuna.samplers.BaseSampler:
    from optuna.samplers import GPSampler, NSGAIISampler, TPESampler

    match name:
        case "tpe":
            return TPESampler(seed=seed, n_startup_trials=1)
        case "gp":
            return GPSampler(seed=seed, n_startup_trials=1, warn_independent_sampling=False)
        case _:
            return NSGAIISampler(seed=seed, population_size=_POPULATION)


def _memory(study: optuna.Study) -> dict[str, Any]:
    """What the sampler noted down beside the last point; the point itself, which some note too, is left out."""
    attributes = study.get_trials(deepcopy=False)[-1].system_attrs
    return {key: value for key, value in attributes.items() if "relative_params" not in key}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Optuna would announce every study, and what `gp` lacks to be faster."""
    import optuna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(level)
