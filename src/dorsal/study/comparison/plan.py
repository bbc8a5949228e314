"""The runs that a comparison takes, in the order in which they are made. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from dorsal.data.summary import DataSummary
from dorsal.jobs.plan import Plan, run_of
from dorsal.jobs.records import Arm
from dorsal.recipes.recipe import Recipe
from dorsal.recipes.text import recipe_hash
from dorsal.spec.adapt import AnyKind, fitted_to
from dorsal.spec.cost import cost
from dorsal.spec.network import Network
from dorsal.spec.text import difference, edit, format_network
from dorsal.spec.timm import TimmNetwork, hash_of
from dorsal.spec.widths import match_cost
from dorsal.study.comparison.question import Comparison, MatchedCost, read_network
from dorsal.zoo import named, text_of, written_choices

MATCH_TOLERANCE = 0.02
"""Arms whose costs differ by no more than this share count as matched."""


def timm_networks(comparison: Comparison, data: DataSummary) -> tuple[TimmNetwork, ...]:
    """The networks of timm among the arms, with the classes of the data: `plan_comparison` needs facts of them."""
    asked = (read_network(text) for text in comparison.asked_networks)
    return tuple(_fitted(net, text, data) for _, text, net in asked if isinstance(net, TimmNetwork))


def plan_comparison(
    comparison: Comparison,
    data: DataSummary,
    recipes: Mapping[str, Recipe],
    timm: Mapping[TimmNetwork, Arm] = {},
) -> Plan:
    """Every arm with its cost on this data, matched if asked, and the runs of all arms, recipes and seeds.

    `timm` has the arms of `timm_networks`. Raises ValueError for a network that is unknown, cannot exist, cannot be
    matched or is too deep for the images, for one that is there twice, for one recipe twice, and for data of one class.
    """
    if len(data.classes) < 2:
        raise ValueError(f"data={data.description!r} has {len(data.classes)} class; a comparison needs at least 2")
    arms = _arms(comparison, data, timm)
    _refuse_twins("network", [(arm.label, arm.network_hash) for arm in arms])
    _refuse_twins("recipe", [(name, recipe_hash(recipe)) for name, recipe in recipes.items()])
    runs = tuple(
        run_of(arm, name, recipe, seed, data, comparison)
        for seed in comparison.seed_list
        for name, recipe in recipes.items()
        for arm in arms
    )
    return Plan(arms=arms, recipes=dict(recipes), seeds=comparison.seed_list, data=data, runs=runs)


def _arms(comparison: Comparison, data: DataSummary, timm: Mapping[TimmNetwork, Arm]) -> tuple[Arm, ...]:
    match = comparison.asked_match
    arms: list[Arm] = []
    for asked in comparison.asked_networks:
        label, text, net = read_network(asked)
        try:
            if isinstance(net, TimmNetwork):
                arm = _timm_arm(timm[_fitted(net, text, data)], match)
            else:
                arm = _own_arm(text, net, match, data)
        except ValueError as error:
            raise ValueError(f"network {asked!r}: {error}") from None
        if match is not None and match.target is None:
            match = MatchedCost(match.measure, getattr(arm.cost, match.measure))
        differences = _differences(arms[0], arm) if arms else {}
        arms.append(msgspec.structs.replace(arm, label=label or arm.label, differences=differences))
    return _with_unique_labels(arms)


def _fitted(net: AnyKind, text: str, data: DataSummary) -> AnyKind:
    return fitted_to(net, len(data.classes), data.channels, written_choices(text))


def _own_arm(text: str, net: Network, match: MatchedCost | None, data: DataSummary) -> Arm:
    net = _fitted(net, text, data)
    label = _label(text, net)
    before = cost(net, data.image_size)
    changes = ""
    if match is not None and match.target is not None:
        matched = match_cost(net, match.measure, match.target, data.image_size, MATCH_TOLERANCE).network
        if matched != net:
            changes = _changes(net, matched, match, getattr(before, match.measure), data.image_size)
            net = matched
    return Arm(
        label=label,
        text=_text(text, net),
        network=net,
        network_hash=hash_of(net),
        cost=cost(net, data.image_size),
        changes=changes,
    )


def _timm_arm(arm: Arm, match: MatchedCost | None) -> Arm:
    if match is not None and match.target is not None:
        value = getattr(arm.cost, match.measure)
        if abs(value - match.target) > MATCH_TOLERANCE * match.target:
            raise ValueError(
                f"its {match.measure} are {value:,}, not {match.target:,}, and networks of timm cannot be scaled; "
                f"name it first with match={match.measure}, so that others are matched to it, or leave match out"
            )
    return arm


def _differences(first: Arm, arm: Arm) -> dict[str, tuple[str, str]]:
    if isinstance(first.network, Network) and isinstance(arm.network, Network):
        return difference(first.network, arm.network)
    return {"another architecture": (first.text, arm.text)}


def _base(text: str) -> str:
    return text.partition("(")[0].strip()


def _label(text: str, net: Network) -> str:
    """The name and what was edited: `resnet50+deep` for `resnet50(stem=deep)`, `small+widths` for sizes."""
    if text.endswith(".json"):
        return Path(text).stem
    base = edit(named(_base(text)), {"classes": net.head.classes, "in_channels": net.in_channels})
    words = []
    for choice, (_, value) in difference(base, net).items():
        element = _base(value)
        words.append(element if element.isidentifier() and element not in ("none", "true", "false") else choice)
    return "+".join((_base(text), *words))


def _text(text: str, net: Network) -> str:
    """Reads back as `net`: an edit of the network that was asked for, or of the nearest where a file was."""
    if text.endswith(".json"):
        return text_of(net)
    name = _base(text)
    return format_network(net, {name: named(name)})


def _with_unique_labels(arms: Sequence[Arm]) -> tuple[Arm, ...]:
    labels = [arm.label for arm in arms]
    return tuple(
        msgspec.structs.replace(arm, label=f"{arm.label}#{labels[: index + 1].count(arm.label)}")
        if labels.count(arm.label) > 1
        else arm
        for index, arm in enumerate(arms)
    )


def _changes(before: Network, after: Network, match: MatchedCost, value: int, image_size: int) -> str:
    widths = [[stage.width for stage in net.stages] for net in (before, after)]
    reached = getattr(cost(after, image_size), match.measure)
    return f"widths {widths[0]} → {widths[1]}: {match.measure} {value:,} → {reached:,}"


def _refuse_twins(kind: str, named_hashes: Sequence[tuple[str, str]]) -> None:
    seen: dict[str, str] = {}
    for name, digest in named_hashes:
        if digest in seen:
            raise ValueError(f"{kind} {name} is the same as {seen[digest]}; leave one of them out")
        seen[digest] = name
