"""The winner of a population or of a search. Pure; no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

import msgspec

from dorsal.findings.learning import Learning, network_learning
from dorsal.findings.population.records import ReliabilityFinding
from dorsal.findings.population.short_schedule import reliability_finding
from dorsal.jobs.records import Arm
from dorsal.jobs.results import network_results, run_result
from dorsal.language.amounts import show_amount
from dorsal.language.reader import suggest
from dorsal.space.bounds import read_bounds
from dorsal.space.costs import QUANTITIES
from dorsal.spec.network import Network
from dorsal.spec.task import left_open, task_text
from dorsal.stats.rank import pareto_front
from dorsal.study.population.records import PopulationStudy, RecheckRuns
from dorsal.study.search.records import ERROR, SearchStudy

WAYS = (ERROR, "pareto")

Costs = Mapping[str, Mapping[str, float]]
"""By label of a network, by quantity."""


class PickedNetwork(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A network: its `text`, and the `network` as it was trained, with the classes of the data.

    `error` is the mean of `errors` in percent, one for each seed. `costs` are for one image of side `image_size`, which
    is one of them.
    """

    label: str
    text: str
    network: Network
    error: float
    errors: tuple[float, ...]
    costs: dict[str, float]


class Pick(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The networks picked from the `finished` ones within the bounds; `report.words.search` says what their errors are
    worth.

    - `by`: "error" or "pareto". A front is of the `objectives`.
    - `space`: the space asked for, None for all.
    - `sizes_differ`: some networks were trained at another image size than that of the data.
    - `left_out`: for each seed, the network with the lowest error under the other seeds is chosen, and its error under
      this seed taken, in percent; this is the mean over seeds. None for one seed or one network.
    - `task`: what the networks were trained for, as text.
    - `learning`: which of the finished networks can be told from having learnt nothing.
    - `reliability`: what is known of the schedule of `epochs` epochs. None for a search.
    """

    networks: tuple[PickedNetwork, ...]
    finished: int
    by: str
    objectives: tuple[str, ...]
    space: str | None
    sizes_differ: bool
    left_out: float | None
    epochs: int
    task: str
    learning: Learning
    reliability: ReliabilityFinding | None


def pick_networks(
    found: PopulationStudy | SearchStudy,
    space: str | None = None,
    by: str = ERROR,
    bounds: Mapping[str, str] = {},
    *,
    retrained: RecheckRuns | None = None,
) -> Pick:
    """The network with the lowest error of a population or a search; with "pareto", the networks that no other beats.

    - `space`: one of several.
    - `bounds`: on costs, as `space.bounds.read_bounds` reads them.
    - `retrained`: evidence on longer schedules.

    A front is of the objectives of a search with several, else of error and MACs. Of networks with equal error, the one
    with the fewest MACs is picked.

    Raises ValueError for an unknown space, quantity or way, and if no network has finished within the bounds.
    """
    if by not in WAYS:
        raise ValueError(f"unknown way to pick {by!r}{suggest(by, WAYS)}")
    study, spaces, objectives = found.study, _costs(found), _objectives(found)
    if space is not None and space not in spaces:
        raise ValueError(f"{study.name!r} has no space {space!r}{suggest(space, spaces)}")
    costs = {label: cost for name, each in spaces.items() if space in (None, name) for label, cost in each.items()}
    results = network_results(study)
    finished = {label: error for label in costs if (error := results[label][1]) is not None}
    if not finished:
        raise ValueError(f"no network of {study.name!r} has finished, so there is none to pick")
    _keep_within(finished, costs, bounds)
    chosen = _best(finished, costs) if by == ERROR else _front(finished, costs, objectives)
    trials = {(arm, seed): trial for (arm, _, seed), trial in study.ended().items()}
    by_seed = {
        label: tuple(run for seed in study.seeds if not isinstance(run := run_result(trials[label, seed]), str))
        for label in finished
    }
    arms = {arm.label: arm for arm in study.arms}
    networks = tuple(_picked(arms[label], by_seed[label], costs[label]) for label in chosen)
    epochs = next(iter(study.recipes.values())).epochs
    labels = {name: tuple(each) for name, each in spaces.items()}
    return Pick(
        networks=networks,
        finished=len(finished),
        by=by,
        objectives=objectives,
        space=space,
        sizes_differ=any(cost["image_size"] != study.data.image_size for cost in costs.values()),
        left_out=_left_out(list(by_seed.values())),
        epochs=epochs,
        task=task_text(left_open(study.task, study.data.image_size)),
        learning=network_learning(study, finished),
        reliability=None if isinstance(found, SearchStudy) else reliability_finding(retrained, labels, epochs),
    )


def _best(errors: Mapping[str, float], costs: Mapping[str, Mapping[str, float]]) -> tuple[str, ...]:
    """The network of least error, and of those the one of fewest MACs."""
    return (min(errors, key=lambda label: (errors[label], costs[label]["macs"])),)


def _front(
    errors: Mapping[str, float], costs: Mapping[str, Mapping[str, float]], objectives: Sequence[str]
) -> tuple[str, ...]:
    """The networks that none beats in all objectives."""
    return pareto_front(
        {
            label: tuple(error if name == ERROR else costs[label][name] for name in objectives)
            for label, error in errors.items()
        }
    )


def _costs(found: PopulationStudy | SearchStudy) -> dict[str, dict[str, dict[str, float]]]:
    """By space the costs of its networks by label."""
    if isinstance(found, SearchStudy):
        return {found.log.space.name: {network.label: network.costs for network in found.log.networks}}
    return {
        drawn.space.name: {
            label: {name: column[row] for name, column in drawn.costs.items()} for row, label in enumerate(drawn.labels)
        }
        for drawn in found.spaces
    }


def _objectives(found: PopulationStudy | SearchStudy) -> tuple[str, ...]:
    """The objectives of a front."""
    if isinstance(found, SearchStudy) and len(found.log.objectives) > 1:
        return found.log.objectives
    return (ERROR, "macs")


def _picked(arm: Arm, errors: tuple[float, ...], costs: dict[str, float]) -> PickedNetwork:
    assert isinstance(arm.network, Network)  # drawn from a space
    return PickedNetwork(
        label=arm.label, text=arm.text, network=arm.network, error=fmean(errors), errors=errors, costs=costs
    )


def _keep_within(finished: dict[str, float], costs: Costs, bounds: Mapping[str, str]) -> None:
    """Removes the networks outside the bounds. ValueError with the nearest value if none is left."""
    predicted = set.intersection(*(set(costs[label]) for label in finished)) - set(QUANTITIES)
    for bound in read_bounds(bounds, predicted):
        values = {label: costs[label][bound.quantity] for label in finished}
        for label, value in values.items():
            if not bound.low <= value <= bound.high:
                del finished[label]
        if not finished:
            nearest = show_amount(min(values.values(), key=bound.away))
            beside = " beside the other bounds" if len(bounds) > 1 else ""
            raise ValueError(
                f"no finished network has {bound.quantity} in {bound.text}{beside}: the nearest has {nearest}"
            )


def _left_out(errors: Sequence[tuple[float, ...]]) -> float | None:
    """The error, under the seed left out, of the winner by all other seeds. The mean over seeds."""
    seeds = range(len(errors[0]))
    if len(errors) < 2 or len(seeds) < 2:
        return None
    return fmean(min(errors, key=lambda each: sum(each) - each[seed])[seed] for seed in seeds)
