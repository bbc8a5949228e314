"""The next design space, from the evidence of a population: ranges, shared axes, ordered stages. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from msgspec.structs import replace

from dorsal.findings.learning import network_learning
from dorsal.findings.narrowing.features import Networks, features, sample_more
from dorsal.findings.narrowing.records import Curve, Evidence, ProposedSpace, StepVerdict
from dorsal.findings.narrowing.steps import NarrowingStep, members, order_steps, ranges, shares, unchanged
from dorsal.findings.population.analyse import of_space
from dorsal.findings.population.records import Counts, counts_of
from dorsal.findings.population.short_schedule import reliability_finding
from dorsal.jobs.results import network_results
from dorsal.language.reader import suggest
from dorsal.space.refine import rename
from dorsal.space.size import dimensions, size
from dorsal.space.space import Space
from dorsal.stats.bootstrap import DRAWS
from dorsal.stats.distribution import edf, simultaneous_band
from dorsal.stats.interval import Array
from dorsal.stats.non_inferiority import ErrorIncrease, members_cost, populations_cost
from dorsal.stats.populations import holm
from dorsal.stats.sample_size import need_for_mean
from dorsal.study.population.records import PopulationStudy, RecheckRuns, SpaceSample

MARGIN = 0.5
"""In error points."""


def propose_space(
    population: PopulationStudy,
    space: str | None = None,
    margin: float = MARGIN,
    *,
    retrained: RecheckRuns | None = None,
    name: str = "",
    confidence: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> ProposedSpace:
    """The next space after `space` (None: the only one), with every step considered.

    - Ranges (arXiv 2003.13678, section 3.2): each axis is restricted to its good range, by the empirical bootstrap over
      the networks' values. For an axis by stage these are its lowest and highest values, or whether a value occurs. The
      axis must also be shown to matter, which the paper does not require (tests: `findings.narrowing.steps.ranges`).
    - Sharing (AnyNetX_B, _C): each axis drawn by stage except widths and depths.
    - Order (AnyNetX_D, _E): widths and depths that never fall.

    Every step must be shown to raise the mean error of the space by less than `margin` points, under the same bounds.
    The cost is the difference to a population of the narrower space, if the folder has one. Otherwise it is estimated
    from members, by a regression of all errors on costs and axes (`stats.members_cost`).

    Levels: with probability `confidence`, no axis is said to matter that does not (Holm over all ranges). With the same
    probability no sharing and no order, and likewise no range, is taken that costs `margin` or more (Bonferroni over
    the steps of either sort). Each step is judged alone, so costs may add up. Measured error rates and power:
    docs/narrowing.md.

    No step is considered if half of the errors lie within `margin` of each other, since such errors can hardly tell the
    networks apart. Networks without a result are left out and counted, which flatters a part of the space that has many
    of them. `retrained` is evidence on longer schedules, `name` the name of the new space. Pure: reads and writes
    nothing.

    Raises ValueError for an unknown space, no name among several spaces, a margin below 0, a confidence not between 0.5
    and 1, fewer than 100 draws, or evidence of another shape than it says.
    """
    if not 0.5 < confidence < 1:
        raise ValueError(f"confidence={confidence} must be above 0.5 and below 1, for example 0.95")
    if not margin >= 0:
        raise ValueError(f"margin={margin} must be at least 0 error points, for example {MARGIN}")
    drawn = _chosen(population, space)
    judge = _Judge(population, drawn, margin, confidence, draws, seed)
    alike = judge.alike()
    learnt = network_learning(population.study, drawn.labels)
    steps = judge.steps() if judge.trained and alike is None and not learnt.mostly_nothing else []
    new, considered = _taken_together(drawn.space, steps)
    if new is not None:
        new = rename(new, name or f"{drawn.space.name}_narrow")
    own, evidence = of_space(population, retrained, drawn.space.name)
    epochs = next(iter(own.study.recipes.values())).epochs
    return ProposedSpace(
        of=drawn.space,
        bounds=drawn.sampling.bounds,
        space=new,
        considered=considered,
        counts=judge.counts(),
        alike=alike,
        learning=learnt,
        before=_curve(judge.trained, confidence),
        after=None if new is None else _curve(judge.errors_in(new), confidence),
        points=(drawn.sampling.points, drawn.sampling.points if new is None else float(size(new))),
        dimensions=(drawn.sampling.dimensions, drawn.sampling.dimensions if new is None else dimensions(new)),
        margin=margin,
        confidence=confidence,
        reliability=reliability_finding(evidence, {drawn.space.name: drawn.labels}, epochs),
    )


class _Judge:
    """The population as evidence for or against steps. `trained` holds the errors that are not missing."""

    def __init__(
        self, population: PopulationStudy, drawn: SpaceSample, margin: float, confidence: float, draws: int, seed: int
    ) -> None:
        self.population, self.drawn = population, drawn
        self.margin, self.confidence, self.draws, self.seed = margin, confidence, draws, seed
        self.results = network_results(population.study)
        self.errors = self.errors_of(drawn)
        self.trained = [error for error in self.errors if error is not None]

    @cached_property
    def features(self) -> Array:
        """The features of the population's networks."""
        return features(self.drawn.space, self.drawn.axes, self.drawn.costs)

    @cached_property
    def whole(self) -> Networks | None:
        """The features of a sample of the space itself."""
        return sample_more(self.drawn.space, self.drawn, self.seed)

    def alike(self) -> tuple[float, float] | None:
        """The errors between which half of the networks lie, if they are within the margin of each other."""
        if not self.trained:
            return None
        low, high = np.quantile(self.trained, [0.25, 0.75])
        return (float(low), float(high)) if high - low <= self.margin else None

    def errors_of(self, drawn: SpaceSample) -> list[float | None]:
        """One error for each network, None without a result."""
        return [self.results[label][1] for label in drawn.labels]

    def counts(self) -> Counts:
        """The number of networks of each status."""
        return counts_of([self.results[label][0] for label in self.drawn.labels])

    def steps(self) -> list[tuple[NarrowingStep, StepVerdict]]:
        """Every step with its verdict, each as if it were the only one."""
        kept = [*shares(self.drawn.space), *order_steps(self.drawn.space)]
        found = ranges(self.drawn, self.errors, self.confidence, self.draws, self.seed)
        adjusted = holm([step.p for step in found])
        return [
            *((step, self._by_cost(step, len(kept))) for step in kept),
            *((step, self._range(step, p, len(found))) for step, p in zip(found, adjusted, strict=True)),
        ]

    def errors_in(self, space: Space) -> list[float]:
        """The known errors in a narrower space: of its own population if there is one, else of members."""
        twin = self._twin(space)
        if twin is not None:
            return [error for error in self.errors_of(twin) if error is not None]
        inside = members(self.drawn.axes, space)
        return [error for error, within in zip(self.errors, inside, strict=True) if within and error is not None]

    def _range(self, step: NarrowingStep, p: float, among: int) -> StepVerdict:
        """The verdict on a range. It must matter before its cost is judged."""
        if p <= 1 - self.confidence and step.change is not unchanged:
            judged = self._by_cost(step, among)
        else:
            judged = StepVerdict(kind="range", axis=step.axis, change=_change(step, self.drawn.space), taken=False)
        return replace(judged, adjusted_p=p, best=step.best, good_range=step.good_range, good_values=step.good_values)

    def _by_cost(self, step: NarrowingStep, among: int) -> StepVerdict:
        """The verdict on a step that is taken if it is shown to cost less than the margin."""
        narrower = step.change(self.drawn.space)
        # One end of each of so many intervals misses with a chance of 1 - confidence in all.
        level = 1 - 2 * (1 - self.confidence) / among
        evidence, cost = self._cost(narrower, level)
        verdict = cost.verdict(self.margin)
        needed = None
        if verdict == "open":
            needed = need_for_mean([np.array(self.trained)], self.margin, level)
        return StepVerdict(
            kind=step.kind,
            axis=step.axis,
            change=_change(step, self.drawn.space),
            taken=verdict in ("gains", "harmless"),
            points=float(size(narrower)),
            evidence=evidence,
            cost=cost,
            needed=needed,
        )

    def _cost(self, narrower: Space, level: float) -> tuple[Evidence, ErrorIncrease]:
        """The cost of a narrower space, by the best available evidence."""
        twin = self._twin(narrower)
        if twin is not None:
            errors = self.errors_of(twin)
            cost = populations_cost(errors, self.errors, confidence=level, draws=self.draws, seed=self.seed)
            if cost.change is not None:
                return "population", cost
        inside = np.array(members(self.drawn.axes, narrower), dtype=np.float64)[:, None]
        reference = None if self.whole is None else sample_more(narrower, self.drawn, self.seed)
        if self.whole is None or reference is None:
            return "members", members_cost(self.errors, inside, [[1.0]], inside, confidence=level)
        own = np.hstack([inside, self.features])
        new = np.insert(reference.features, 0, 1.0, axis=1)
        old = np.column_stack([members(self.whole.axes, narrower), self.whole.features])
        return "members", members_cost(self.errors, own, new, old, confidence=level)

    def _twin(self, space: Space) -> SpaceSample | None:
        """The population of exactly this space, under the same bounds."""
        for other in self.population.spaces:
            same = replace(other.space, name=space.name, history=space.history) == space
            if same and other.sampling.bounds == self.drawn.sampling.bounds:
                return other
        return None


def _chosen(population: PopulationStudy, name: str | None) -> SpaceSample:
    names = [drawn.space.name for drawn in population.spaces]
    if name is None and len(names) > 1:
        raise ValueError(f"space: this population is of several, say which to narrow: {', '.join(names)}")
    for drawn in population.spaces:
        if name in (None, drawn.space.name):
            return drawn
    raise ValueError(f"space={name!r} is not in this population{suggest(str(name), names)}")


def _taken_together(
    space: Space, steps: Sequence[tuple[NarrowingStep, StepVerdict]]
) -> tuple[Space | None, tuple[StepVerdict, ...]]:
    """The space after all steps taken, and all steps considered. An earlier step may have removed the axis of a later
    one.
    """
    new, considered = space, []
    for step, judged in steps:
        if judged.taken and step.axis not in new.axes:
            considered.append(replace(judged, taken=False, dropped=True))
            continue
        new = step.change(new) if judged.taken else new
        considered.append(judged)
    return (None if new == space else new), tuple(considered)


def _change(step: NarrowingStep, space: Space) -> str:
    """The step as recorded in the history of the narrower space. Empty if nothing changes."""
    return "" if step.change is unchanged else step.change(space).history[-1].change


def _curve(errors: Sequence[float], confidence: float) -> Curve | None:
    if not errors:
        return None
    return Curve(edf=edf(errors), band=simultaneous_band(errors, confidence=confidence))
