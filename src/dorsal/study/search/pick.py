"""The winner of a population or of a search, with what its error is worth. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean

import msgspec

from dorsal.findings.population.analyse import network_results
from dorsal.findings.population.short_schedule import reliability_finding
from dorsal.jobs.records import Arm, Study
from dorsal.jobs.study_file import read_study_file
from dorsal.language.reader import suggest
from dorsal.space.bounds import read_bounds
from dorsal.space.costs import QUANTITIES
from dorsal.spec.network import Network
from dorsal.stats.pareto import pareto_front
from dorsal.study.population.saved import load_population
from dorsal.study.recheck.saved import load_recheck
from dorsal.study.search.question import ERROR
from dorsal.study.search.saved import load_search

WAYS = (ERROR, "pareto")


class PickedNetwork(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A network: its `text` and the `network` read back as it was trained, with the classes of the data.

    `error` is in percent, the mean of `errors`, one a seed. `costs` are of one image of side `image_size` among them.
    """

    label: str
    text: str
    network: Network
    error: float
    errors: tuple[float, ...]
    costs: dict[str, float]


class Pick(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What was picked of `finished` networks within the bounds, by error; `sentences` say what that is worth."""

    networks: tuple[PickedNetwork, ...]
    finished: int
    sentences: tuple[str, ...]


def pick_networks(
    folder: Path,
    space: str | None = None,
    by: str = ERROR,
    bounds: Mapping[str, str] = {},
    storage: str | None = None,
) -> Pick:
    """The network of least error in the folder of a population or a search, or by "pareto" those that none beats.

    `space` is one of several, `bounds` are on costs. A front is of the objectives of a search that has several, else of
    error and MACs. Of networks of equal error the one of fewest MACs is picked.

    Raises ValueError for a folder of neither, an unknown space, quantity or way, and where no network has finished
    within the bounds.
    """
    if by not in WAYS:
        raise ValueError(f"unknown way to pick {by!r}{suggest(by, WAYS)}")
    study, spaces, objectives = _read(folder, storage)
    if space is not None and space not in spaces:
        raise ValueError(f"{str(folder)!r} has no space {space!r}{suggest(space, spaces)}")
    costs = {label: cost for name, each in spaces.items() if space in (None, name) for label, cost in each.items()}
    results = network_results(study)
    finished = {label: error for label in costs if (error := results[label][1]) is not None}
    if not finished:
        raise ValueError(f"no network in {str(folder)!r} has finished, so there is none to pick")
    _keep_within(finished, costs, bounds)
    if by == ERROR:
        chosen: tuple[str, ...] = (min(finished, key=lambda label: (finished[label], costs[label]["macs"])),)
    else:
        chosen = pareto_front(
            {
                label: tuple(error if name == ERROR else costs[label][name] for name in objectives)
                for label, error in finished.items()
            }
        )
    errors = {(arm, seed): 100 - (trial.accuracy or 0) for (arm, _, seed), trial in study.ended().items()}
    by_seed = {label: tuple(errors[label, seed] for seed in study.seeds) for label in finished}
    arms = {arm.label: arm for arm in study.arms}
    networks = tuple(_picked(arms[label], by_seed[label], costs[label]) for label in chosen)
    what = (*_what(networks, by, objectives), *_sizes(networks, costs, study.data.image_size))
    labels = {name: tuple(each) for name, each in spaces.items()}
    return Pick(
        networks=networks,
        finished=len(finished),
        sentences=(*what, *_worth(by_seed), _schedule(folder, storage, labels, space, study)),
    )


def _read(folder: Path, storage: str | None) -> tuple[Study, dict[str, dict[str, dict[str, float]]], tuple[str, ...]]:
    """The study, by space the costs of its networks by label, and what a front is of."""
    saved = read_study_file(folder)
    kind = saved.study.kind if saved else None
    if kind == "search":
        search = load_search(folder, storage)
        networks = {network.label: network.costs for network in search.course.networks}
        objectives = search.course.objectives if len(search.course.objectives) > 1 else (ERROR, "macs")
        return search.study, {search.course.space.name: networks}, objectives
    if kind != "population":
        raise ValueError(
            f"{str(folder)!r} holds neither a population nor a search; see `dorsal space run` and `dorsal space search`"
        )
    population = load_population(folder, storage)
    spaces = {
        drawn.space.name: {
            label: {name: column[row] for name, column in drawn.costs.items()} for row, label in enumerate(drawn.labels)
        }
        for drawn in population.spaces
    }
    return population.study, spaces, (ERROR, "macs")


def _picked(arm: Arm, errors: tuple[float, ...], costs: dict[str, float]) -> PickedNetwork:
    assert isinstance(arm.network, Network)  # drawn from a space
    return PickedNetwork(
        label=arm.label, text=arm.text, network=arm.network, error=fmean(errors), errors=errors, costs=costs
    )


def _keep_within(
    finished: dict[str, float], costs: Mapping[str, Mapping[str, float]], bounds: Mapping[str, str]
) -> None:
    """Leaves only networks within all bounds. ValueError, with the nearest value, where that is none."""
    predicted = set.intersection(*(set(costs[label]) for label in finished)) - set(QUANTITIES)
    for bound in read_bounds(bounds, predicted):
        values = {label: costs[label][bound.quantity] for label in finished}
        for label, value in values.items():
            if not bound.low <= value <= bound.high:
                del finished[label]
        if not finished:
            nearest = min(values.values(), key=bound.away)
            said = f"{nearest / 1e6:.4g}M" if nearest >= 1e6 else f"{nearest:.4g}"
            beside = " beside the other bounds" if len(bounds) > 1 else ""
            raise ValueError(
                f"no finished network has {bound.quantity} in {bound.text}{beside}: the nearest has {said}"
            )


def _what(networks: Sequence[PickedNetwork], by: str, objectives: Sequence[str]) -> Iterator[str]:
    if by != ERROR:
        yield f"No network beats these {len(networks)} in {' and '.join(objectives)}."
        return
    for network in networks:
        each = ", ".join(f"{error:.2f}" for error in network.errors)
        mean = f", the mean of {len(network.errors)} seeds ({each})" if len(network.errors) > 1 else ""
        yield f"{network.label}: {network.error:.2f} % error{mean}, {network.costs['macs'] / 1e6:.2f} M MACs."


def _sizes(networks: Sequence[PickedNetwork], costs: Mapping[str, Mapping[str, float]], own: int) -> Iterator[str]:
    """The image sizes of networks, which their texts do not say, where not all have the data's own."""
    if any(cost["image_size"] != own for cost in costs.values()):
        for network in networks:
            side = int(network.costs["image_size"])
            how = f'--data "photos(size={side})"'
            yield f"{network.label} was trained at {side} px: give its data that size, as in {how}."


def _worth(errors: Mapping[str, tuple[float, ...]]) -> Iterator[str]:
    """What the least of these errors by seed is worth."""
    seeds = len(next(iter(errors.values())))
    yield flattery(len(errors), seeds)
    if len(errors) > 1 and seeds > 1:
        left_out = fmean(min(errors.values(), key=lambda each: sum(each) - each[seed])[seed] for seed in range(seeds))
        yield f"Picked by all seeds but one, the winner has {left_out:.2f} % error under the one left out, in the mean."


def flattery(networks: int, seeds: int) -> str:
    """Why the least of so many errors is too good to be true."""
    if networks == 1:
        return "It is the only network that finished, so nothing was picked."
    of = f"{networks:,} noisy runs" if seeds == 1 else f"{networks:,} noisy means over {seeds} seeds"
    other = "; other seeds would tell by how much" if seeds == 1 else ""
    return f"The least of {of}, on the images that picked it, is too good to be true{other}."


def unverified(epochs: int) -> str:
    """What is not known of a search's schedule."""
    schedule = "1 epoch ranks" if epochs == 1 else f"{epochs} epochs rank"
    return f"Unverified: nothing shows that {schedule} networks as longer training would."


def _schedule(
    folder: Path, storage: str | None, labels: Mapping[str, tuple[str, ...]], space: str | None, study: Study
) -> str:
    """What is known of whether the schedule ranks networks as a longer one would."""
    epochs = next(iter(study.recipes.values())).epochs
    if study.kind == "search":
        return unverified(epochs)
    found = reliability_finding(load_recheck(folder, storage), labels, epochs)
    return next((ranks.sentences[0] for ranks in found.ranks if ranks.space == space), found.sentence)
