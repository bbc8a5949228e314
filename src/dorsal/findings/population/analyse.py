"""The analysis of a population: what its errors say of spaces, of axes, and of the schedule. Pure; no torch."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from dorsal.findings.fronts import Front, front_of
from dorsal.findings.population.importance import RESAMPLES
from dorsal.findings.population.records import PopulationFindings, ReliabilityFinding, SpaceFinding, SpacePair
from dorsal.findings.population.short_schedule import left_out, reliability_finding
from dorsal.findings.population.space_finding import FITS, complexity_bins, space_finding
from dorsal.findings.population.space_pairs import planner, space_pairs
from dorsal.jobs.records import Study
from dorsal.jobs.results import network_results
from dorsal.language.reader import suggest
from dorsal.spec.cost import COSTS
from dorsal.study.population.records import PopulationStudy, RecheckRuns

CONFIDENCE = 0.95
LEAST_SHARE = 0.01


def analyse_population(
    population: PopulationStudy, *, retrained: RecheckRuns | None = None, fits: int = FITS, resamples: int = RESAMPLES
) -> PopulationFindings:
    """Everything that a population shows, finished or not, and in sentences what it does not.

    `retrained` is evidence on longer schedules. Two parts take long, and their effort can be chosen: `fits` networks
    a space are fitted to the linear rule (about 0.1 s each), and the shares of axes get their intervals from
    `resamples` samples.

    Raises ValueError for a population without networks, negative `fits`, fewer than 20 `resamples`, and evidence on
    networks that are not in the population.
    """
    study = population.study
    if not any(drawn.labels for drawn in population.spaces):
        raise ValueError(f"population {study.name!r} is empty: it has no networks; `dorsal space run` draws and trains")
    for name, value, least in (("fits", fits, 0), ("resamples", resamples, 20)):
        if value < least:
            raise ValueError(f"{name}={value} is below {least}; nearest valid: {least}")
    arms = {arm.label: arm for arm in study.arms}
    results = network_results(study)
    bins = complexity_bins(population.spaces, results)
    spaces = tuple(
        space_finding(drawn, arms, results, bins, fits, resamples, CONFIDENCE) for drawn in population.spaces
    )
    recipe = next(iter(study.recipes))
    pairs = space_pairs(spaces, CONFIDENCE)
    plan = planner(spaces, len(study.seeds), CONFIDENCE)
    epochs = study.recipes[recipe].epochs
    reliability = reliability_finding(retrained, {space.name: space.labels for space in spaces}, epochs)
    return PopulationFindings(
        name=study.name,
        recipe=recipe,
        epochs=epochs,
        seeds=len(study.seeds),
        sentences=(
            *(_space_sentence(space) for space in spaces),
            *(_with_order(pair, reliability) for pair in pairs),
            *(sentence for space in spaces if (sentence := _axes_sentence(space))),
            plan.sentence,
            reliability.sentence,
        ),
        spaces=spaces,
        pairs=pairs,
        planner=plan,
        fronts=_fronts(spaces),
        shared_bins={name: sum(each.shared) for name, each in bins.items()},
        reliability=reliability,
        notes=_notes(study, spaces),
        confidence=CONFIDENCE,
    )


def of_space(
    population: PopulationStudy, retrained: RecheckRuns | None, name: str
) -> tuple[PopulationStudy, RecheckRuns | None]:
    """What concerns one of the spaces alone. Raises ValueError for a space that the population does not have."""
    chosen = tuple(drawn for drawn in population.spaces if drawn.space.name == name)
    if not chosen:
        known = [drawn.space.name for drawn in population.spaces]
        raise ValueError(f"population {population.study.name!r} has no space {name!r}{suggest(name, known)}")
    if retrained is not None:
        kept = [place for place, label in enumerate(retrained.labels) if label in chosen[0].labels]
        labels, runs = (tuple(column[place] for place in kept) for column in (retrained.labels, retrained.runs))
        retrained = replace(retrained, labels=labels, runs=runs) if kept else None
    return replace(population, spaces=chosen), retrained


def _with_order(pair: SpacePair, reliability: ReliabilityFinding) -> str:
    """The sentence on two spaces and, where it orders them, whether their order holds at the longest schedule."""
    if pair.comparison is None or not pair.comparison.shown:
        return pair.sentence
    order = next((each for each in reliability.orders if (each.a, each.b) == (pair.a, pair.b)), None)
    if order is None:
        return f"{pair.sentence} Order unverified: neither was trained longer."
    verdicts: Sequence[str] = order.sentences
    if order.reliability is not None:
        survivals, shown = order.reliability.survivals, {effect.quantile for effect in pair.comparison.shown}
        longest = survivals[0].short, survivals[-1].long
        verdicts = [
            said
            for survival, said in zip(survivals, order.sentences, strict=True)
            if survival.quantile in shown and (survival.short, survival.long) == longest
        ]
    return " ".join((pair.sentence, *verdicts)) + left_out(reliability.retrained, (pair.a, pair.b))


def _fronts(spaces: Sequence[SpaceFinding]) -> tuple[Front, ...]:
    """For each of `COSTS`, and each time in milliseconds that all spaces know: the networks on the front of error and
    cost."""
    known = [name for name in spaces[0].costs if all(name in space.costs for space in spaces)]
    return tuple(
        front_of(
            name,
            {
                label: (cost, error)
                for space in spaces
                for label, cost, error in zip(space.labels, space.costs[name], space.errors, strict=True)
                if error is not None
            },
        )
        for name in known
        if name in COSTS or name.endswith("_ms")
    )


def _space_sentence(space: SpaceFinding) -> str:
    """How the networks fared, and where their errors lie."""
    counts, found = space.counts, space.summary
    left = ", ".join(
        f"{number:,} {what}"
        for number, what in (
            (counts.diverged, "diverged"),
            (counts.failed, "failed"),
            (counts.waiting, "not trained to the end yet"),
        )
        if number
    )
    fared = f"{space.name}: {counts.finished:,} of {len(space.labels):,} networks finished" + f" ({left})" * bool(left)
    if found is None:
        return f"{fared}; nothing can be said of its errors."
    interval = "" if found.mean.low is None else f" (95 % interval {found.mean.low:.2f} to {found.mean.high:.2f})"
    return (
        f"{fared}; error {found.best.error:.2f} % for the best, {found.best.label}, in the mean "
        f"{found.mean.value:.2f} %{interval}, median {found.median.value:.2f} %."
    )


def _axes_sentence(space: SpaceFinding) -> str:
    """Which axes matter, to at least LEAST_SHARE; empty where there are too few networks to ask."""
    if space.importances.reason:
        return ""
    above = [
        f"{axis.name} {100 * axis.share.value:.0f} %"
        for axis in space.importances.axes
        if axis.above_null and axis.share.value >= LEAST_SHARE
    ]
    if not above:
        return f"{space.name}: no axis explains more of the variance of predicted errors than noise."
    return f"{space.name}: axes that explain more of the variance of predicted errors than noise: {', '.join(above)}."


def _notes(study: Study, spaces: Sequence[SpaceFinding]) -> tuple[str, ...]:
    notes = []
    if lost := sum(space.counts.diverged + space.counts.failed for space in spaces):
        notes.append(
            f"Left out, for they have no error: {lost:,} that diverged or failed. Where they would have been a space's "
            "worst, it looks better than it is."
        )
    if waiting := sum(space.counts.waiting for space in spaces):
        notes.append(f"Unfinished: not trained to the end yet are {waiting:,}; every figure is of the others.")
    if len(study.seeds) == 1:
        notes.append(
            "Every network was trained once, so its error holds the noise of one training: distributions are wider "
            "than those of the networks themselves, and the least errors flatter."
        )
    notes.append("The best networks are chosen and judged on the same images, which flatters them.")
    bounds = {f"{name} {text}" for space in spaces for name, text in space.bounds.items()}
    if bounds:
        notes.append(f"All of it holds for networks within the bounds: {', '.join(sorted(bounds))}.")
    if any(axis.adjusted_p is not None for space in spaces for axis in space.axes):
        notes.append("p values of good ranges are adjusted (Holm) for the axes of a space, not for several spaces.")
    if any(not space.importances.reason for space in spaces):
        notes.append("Of axes that do not matter, one in 20 is above its level of noise by chance.")
    return tuple(notes)
