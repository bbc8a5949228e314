"""The runs that a comparison takes, in the order they are run. Pure: facts about data and recipes come in. No torch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from dorsal.jobs.records import Arm
from dorsal.spec.cost import Cost, cost
from dorsal.spec.layers import Feature
from dorsal.spec.network import Network
from dorsal.spec.text import difference, edit, format_network
from dorsal.spec.timm import AnyNetwork, TimmNetwork, hash_of, parse_timm, timm_text
from dorsal.spec.widths import match_cost
from dorsal.study.comparison.question import Comparison, MatchedCost, read_network
from dorsal.zoo import named, text_of

MATCH_TOLERANCE = 0.02
"""Arms whose costs differ by no more than this share count as matched."""


class DataFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan needs to know of a data set. `image_size` is the side in pixels that the network sees.

    `normalization` is the mean of red, green, blue, then their standard deviations.
    """

    text: str
    description: str
    classes: tuple[str, ...]
    image_size: int
    fingerprint: str
    normalization: tuple[float, ...]
    train_images: int
    val_images: int
    notes: tuple[str, ...] = ()


class RecipeFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan needs to know of a recipe, `epochs` already being those of the comparison. `fields` is all of it."""

    name: str
    hash: str
    epochs: int
    batch: int
    fields: dict[str, Any]


class TimmFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan needs to know of a network of timm: its cost for one image of the data, and its pyramid."""

    cost: Cost
    features: tuple[Feature, ...]


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One training run: all that a worker needs, and the `key` it is known by in checkpoint and store."""

    key: str
    arm: str
    network: AnyNetwork
    recipe: str
    recipe_fields: dict[str, Any]
    epochs: int
    seed: int
    data: str
    fingerprint: str


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A comparison worked out. `runs` go round over arms and recipes seed by seed, so a broken study is balanced."""

    arms: tuple[Arm, ...]
    recipes: tuple[RecipeFacts, ...]
    seeds: tuple[int, ...]
    data: DataFacts
    runs: tuple[Run, ...]


def timm_networks(comparison: Comparison, data: DataFacts) -> tuple[TimmNetwork, ...]:
    """The networks of timm among the arms, with the classes of the data: `plan_comparison` needs facts of them."""
    asked = (read_network(text)[2] for text in comparison.asked_networks)
    return tuple(_with_classes(net, data) for net in asked if isinstance(net, TimmNetwork))


def plan_comparison(
    comparison: Comparison,
    data: DataFacts,
    recipes: Sequence[RecipeFacts],
    timm: Mapping[TimmNetwork, TimmFacts] = {},
) -> Plan:
    """Every arm with its cost on this data, matched if asked, and the runs of all arms, recipes and seeds.

    `timm` has the facts of `timm_networks`. Raises ValueError for a network that is unknown, cannot exist, cannot be
    matched or is too deep for the images, for one that is there twice, for one recipe twice, and for data of one class.
    """
    if len(data.classes) < 2:
        raise ValueError(f"data={data.text!r} has {len(data.classes)} class; a comparison needs at least 2")
    arms = _arms(comparison, data, timm)
    _refuse_twins("network", [(arm.label, arm.network_hash) for arm in arms])
    _refuse_twins("recipe", [(recipe.name, recipe.hash) for recipe in recipes])
    runs = tuple(
        run_of(arm, recipe, seed, data, comparison.processes)
        for seed in comparison.seed_list
        for recipe in recipes
        for arm in arms
    )
    return Plan(arms=arms, recipes=tuple(recipes), seeds=comparison.seed_list, data=data, runs=runs)


def distinct_runs(runs: Iterable[Run]) -> tuple[Run, ...]:
    """Each run once, by the first name it has: two spaces may draw one network."""
    first: dict[str, Run] = {}
    for run in runs:
        first.setdefault(run.key, run)
    return tuple(first.values())


def run_of(arm: Arm, recipe: RecipeFacts, seed: int, data: DataFacts, processes: int) -> Run:
    """One run of an arm, on the data as that arm sees them, in so many processes."""
    return Run(
        key=run_key(arm, recipe, seed, data, processes),
        arm=arm.label,
        network=arm.network or parse_timm(arm.text),
        recipe=recipe.name,
        recipe_fields=recipe.fields,
        epochs=recipe.epochs,
        seed=seed,
        data=data.text,
        fingerprint=data.fingerprint,
    )


def run_key(arm: Arm, recipe: RecipeFacts, seed: int, data: DataFacts, processes: int) -> str:
    """16 hexadecimal digits of what a run's result depends on: network, recipe with its epochs, seed, data, and several
    processes, for batch norm and mixing see the images of one alone.

    Thread count, device and library versions change a result by rounding only. They are left out, so that going on with
    another number of workers, or after an upgrade, runs nothing twice.
    """
    parts = [arm.network_hash, recipe.hash, recipe.epochs, seed, data.fingerprint, data.image_size, data.normalization]
    if processes > 1:
        parts.append(processes)
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:16]


def _arms(comparison: Comparison, data: DataFacts, timm: Mapping[TimmNetwork, TimmFacts]) -> tuple[Arm, ...]:
    match = comparison.asked_match
    arms: list[Arm] = []
    for asked in comparison.asked_networks:
        label, text, net = read_network(asked)
        try:
            if isinstance(net, TimmNetwork):
                net = _with_classes(net, data)
                arm = _timm_arm(net, timm[net], match)
            else:
                arm = _own_arm(text, net, match, data)
        except ValueError as error:
            raise ValueError(f"network {asked!r}: {error}") from None
        if match is not None and match.target is None:
            match = MatchedCost(match.measure, getattr(arm.cost, match.measure))
        differences = _differences(arms[0], arm) if arms else {}
        arms.append(msgspec.structs.replace(arm, label=label or arm.label, differences=differences))
    return _with_unique_labels(arms)


def _own_arm(text: str, net: Network, match: MatchedCost | None, data: DataFacts) -> Arm:
    # Images are always RGB: the data room converts all others.
    net = edit(net, {"classes": len(data.classes), "in_channels": 3})
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


def _timm_arm(net: TimmNetwork, facts: TimmFacts, match: MatchedCost | None) -> Arm:
    if match is not None and match.target is not None:
        value = getattr(facts.cost, match.measure)
        if abs(value - match.target) > MATCH_TOLERANCE * match.target:
            raise ValueError(
                f"its {match.measure} are {value:,}, not {match.target:,}, and networks of timm cannot be scaled; "
                f"name it first with match={match.measure}, so that others are matched to it, or leave match out"
            )
    return Arm(
        label=net.full_name,
        text=timm_text(net),
        network=None,
        network_hash=hash_of(net),
        cost=facts.cost,
        features=facts.features,
    )


def _with_classes(net: TimmNetwork, data: DataFacts) -> TimmNetwork:
    return msgspec.structs.replace(net, classes=len(data.classes), in_channels=3)


def _differences(first: Arm, arm: Arm) -> dict[str, tuple[str, str]]:
    if first.network is None or arm.network is None:
        return {"another architecture": (first.text, arm.text)}
    return difference(first.network, arm.network)


def _base(text: str) -> str:
    return text.partition("(")[0].strip()


def _label(text: str, net: Network) -> str:
    """The name and what was edited: `resnet50+deep` for `resnet50(stem=deep)`, `small+widths` for sizes."""
    if text.endswith(".json"):
        return Path(text).stem
    base = edit(named(_base(text)), {"classes": net.head.classes, "in_channels": 3})
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
