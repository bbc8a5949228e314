"""The runs that a comparison takes, in the order they are run. Pure: facts about data and recipes come in. No torch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from dorsal.spec.cost import cost
from dorsal.spec.network import Network, network_hash
from dorsal.spec.text import difference, edit, format_network
from dorsal.spec.widths import match_cost
from dorsal.study.comparison import Comparison, Match, read_network
from dorsal.study.records import Arm
from dorsal.zoo import named, text_of


class DataFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan needs to know of a data set. `image_size` is the side in pixels that the network sees.

    `normalisation` is the mean of red, green, blue, then their standard deviations.
    """

    text: str
    description: str
    classes: tuple[str, ...]
    image_size: int
    fingerprint: str
    normalisation: tuple[float, ...]
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


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One training run: all that a worker needs, and the `key` it is known by in checkpoint and store."""

    key: str
    arm: str
    network: Network
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


def plan(comparison: Comparison, data: DataFacts, recipes: Sequence[RecipeFacts]) -> Plan:
    """Every arm with its cost on this data, matched if asked, and the runs of all arms, recipes and seeds.

    Raises ValueError for a network that is unknown, cannot exist, cannot be matched or is too deep for the images, for
    one that is there twice, for one recipe twice, and for data of one class.
    """
    if len(data.classes) < 2:
        raise ValueError(f"data={data.text!r} has {len(data.classes)} class; a comparison needs at least 2")
    arms = _arms(comparison, data)
    _refuse_twins("network", [(arm.label, arm.network_hash) for arm in arms])
    _refuse_twins("recipe", [(recipe.name, recipe.hash) for recipe in recipes])
    runs = tuple(
        Run(
            key=run_key(arm, recipe, seed, data),
            arm=arm.label,
            network=arm.network,
            recipe=recipe.name,
            recipe_fields=recipe.fields,
            epochs=recipe.epochs,
            seed=seed,
            data=data.text,
            fingerprint=data.fingerprint,
        )
        for seed in comparison.seed_list
        for recipe in recipes
        for arm in arms
    )
    return Plan(arms=arms, recipes=tuple(recipes), seeds=comparison.seed_list, data=data, runs=runs)


def run_key(arm: Arm, recipe: RecipeFacts, seed: int, data: DataFacts) -> str:
    """16 hexadecimal digits of what a run's result depends on: network, recipe with its epochs, seed and data.

    Thread count, device and library versions change a result by rounding only. They are left out, so that going on with
    another number of workers, or after an upgrade, runs nothing twice.
    """
    parts = (arm.network_hash, recipe.hash, recipe.epochs, seed, data.fingerprint, data.image_size, data.normalisation)
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:16]


def _arms(comparison: Comparison, data: DataFacts) -> tuple[Arm, ...]:
    match = comparison.asked_match
    arms: list[Arm] = []
    for asked in comparison.asked_networks:
        arm = _arm(asked, match, data, arms[0] if arms else None)
        if match is not None and match.target is None:
            match = Match(match.measure, getattr(arm.cost, match.measure))
        arms.append(arm)
    return _with_unique_labels(arms)


def _arm(asked: str, match: Match | None, data: DataFacts, first: Arm | None) -> Arm:
    given, text, net = read_network(asked)
    try:
        # Images are always RGB: the data room converts all others.
        net = edit(net, {"classes": len(data.classes), "in_channels": 3})
        label = given or _label(text, net)
        before = cost(net, data.image_size)
        changes = ""
        if match is not None and match.target is not None:
            matched = match_cost(net, match.measure, match.target, data.image_size).network
            if matched != net:
                changes = _changes(net, matched, match, getattr(before, match.measure), data.image_size)
                net = matched
    except ValueError as error:
        raise ValueError(f"network {asked!r}: {error}") from None
    return Arm(
        label=label,
        text=_text(text, net),
        network=net,
        network_hash=network_hash(net),
        cost=cost(net, data.image_size),
        changes=changes,
        differences=difference(first.network, net) if first is not None else {},
    )


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


def _changes(before: Network, after: Network, match: Match, value: int, image_size: int) -> str:
    widths = [[stage.width for stage in net.stages] for net in (before, after)]
    reached = getattr(cost(after, image_size), match.measure)
    return f"widths {widths[0]} → {widths[1]}: {match.measure} {value:,} → {reached:,}"


def _refuse_twins(kind: str, named_hashes: Sequence[tuple[str, str]]) -> None:
    seen: dict[str, str] = {}
    for name, digest in named_hashes:
        if digest in seen:
            raise ValueError(f"{kind} {name} is the same as {seen[digest]}; leave one of them out")
        seen[digest] = name
