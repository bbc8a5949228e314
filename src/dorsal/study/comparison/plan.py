"""The runs that a comparison takes, in the order in which they are made. No torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from dorsal.data.summary import DataSummary
from dorsal.jobs.plan import Plan, Run, run_of
from dorsal.jobs.records import Arm
from dorsal.jobs.store import SEEDS, Categories, Domains, Values
from dorsal.recipes.text import AnyRecipe, Neighbors, read_any_recipes, recipe_hash
from dorsal.recipes.text import name_of as own_name
from dorsal.spec.adapt import fitted_to
from dorsal.spec.cost import cost
from dorsal.spec.network import Network
from dorsal.spec.start import Start
from dorsal.spec.task import Classify
from dorsal.spec.text import difference, edit, format_network
from dorsal.spec.timm import AnyNetwork, TimmNetwork, hash_of
from dorsal.spec.widths import match_cost
from dorsal.study.comparison.question import AskedArm, Comparison, MatchedCost
from dorsal.zoo import named, text_of, written_choices

MATCH_TOLERANCE = 0.02
"""Arms whose costs differ by no more than this share count as matched."""


class Foreign(NamedTuple):
    """What a plan cannot know by itself of its arms.

    - `timm`: the networks of timm as arms, fitted to the data. `starts`: by the text of weights and the network.
    """

    timm: Mapping[TimmNetwork, Arm] = {}
    starts: Mapping[tuple[str, AnyNetwork], Start] = {}


def fitted_network(arm: AskedArm, data: DataSummary) -> AnyNetwork:
    """The arm's network with the classes and channels of the data. Raises ValueError as `fitted_to` does."""
    classes = len(data.classes) if isinstance(data.task, Classify) else 0
    return fitted_to(arm.network, classes, data.channels, written_choices(arm.text))


def plan_comparison(
    comparison: Comparison,
    data: DataSummary,
    recipes: Mapping[str, AnyRecipe],
    asked: Sequence[AskedArm] | None = None,
    foreign: Foreign = Foreign(),
) -> Plan:
    """Every arm with its cost on this data, matched if asked, and the runs of all arms, recipes and seeds.

    An arm with a recipe of its own is trained by that alone, all others by each of `recipes`. `asked` are the arms of
    the comparison where patterns among them have been filled in.

    Raises ValueError for a network that is unknown, cannot exist, cannot be matched or is too deep for the images, for
    an arm that is there twice, for one recipe twice, for a recipe that an arm has no use for, and for data of one
    class.
    """
    if len(data.classes) < 2 and isinstance(data.task, Classify):
        raise ValueError(f"data={data.description!r} has {len(data.classes)} class; a comparison needs at least 2")
    asked = comparison.asked_arms if asked is None else asked
    own = read_any_recipes(tuple(dict.fromkeys(arm.recipe for arm in asked if arm.recipe)), comparison.epochs)
    crossed = dict(recipes) if any(not arm.recipe for arm in asked) else {}
    recipes = {**crossed, **own}
    _refuse_twins("recipe", [(name, recipe_hash(recipe)) for name, recipe in recipes.items()])
    arms = _arms(comparison, asked, data, foreign)
    _refuse_twins("network", [(arm.label, _identity(arm)) for arm in arms])
    first = next(iter(recipes), "")
    runs = tuple(
        replace(
            run_of(arm, name, recipe, seed, data, comparison),
            show=comparison.gallery and seed == comparison.seed_list[0] and name == (arm.recipe or first),
        )
        for seed in comparison.seed_list
        for name, recipe in recipes.items()
        for arm in arms
        if (name == arm.recipe if arm.recipe else name in crossed)
        if seed == comparison.seed_list[0] or data.resample or not _repeats_itself(arm, recipe)
    )
    return Plan(arms=arms, recipes=recipes, seeds=comparison.seed_list, data=data, runs=runs)


def _repeats_itself(arm: Arm, recipe: AnyRecipe) -> bool:
    """Whether every seed gives the same on the same images: neighbors vote without chance where no weight is random."""
    return isinstance(recipe, Neighbors) and arm.start is not None


def describer(plan: Plan) -> Callable[[Run], tuple[Domains, Values]]:
    """What a run of a comparison is in terms of the store's parameters."""
    domains: Domains = {
        "arm": Categories(tuple(arm.label for arm in plan.arms)),
        "recipe": Categories(tuple(plan.recipes)),
        "seed": SEEDS,
    }

    def describe(run: Run) -> tuple[Domains, Values]:
        return domains, {"arm": run.arm, "recipe": run.recipe_name, "seed": run.seed}

    return describe


def _identity(arm: Arm) -> str:
    """What two arms must not have in common."""
    return f"{arm.network_hash} {arm.start.sha256 if arm.start else ''} {arm.recipe}"


def _arms(comparison: Comparison, asked: Sequence[AskedArm], data: DataSummary, foreign: Foreign) -> tuple[Arm, ...]:
    match = comparison.asked_match
    arms: list[Arm] = []
    for each in asked:
        try:
            arm = _arm(each, match, data, foreign)
        except ValueError as error:
            raise ValueError(f"network {each.asked!r}: {error}") from None
        if match is not None and match.target is None:
            match = MatchedCost(match.measure, getattr(arm.cost, match.measure))
        label = each.label or f"{arm.label}{_at(each.weights)}{each.recipe and f' with {each.recipe}'}"
        arm = replace(arm, label=label, recipe=own_name(each.recipe))
        arms.append(replace(arm, differences=_differences(arms[0], arm) if arms else {}))
    return _with_unique_labels(arms)


def _arm(asked: AskedArm, match: MatchedCost | None, data: DataSummary, foreign: Foreign) -> Arm:
    """The arm before it has its label."""
    network = fitted_network(asked, data)
    start = None if asked.weights is None else foreign.starts[asked.weights, network]
    if isinstance(network, TimmNetwork):
        return replace(_unscaled(foreign.timm[network], match, "networks of timm cannot be scaled"), start=start)
    arm = _own_arm(asked.text, network, match if start is None else None, data)
    why = f"it begins from weights ({asked.weights}), which have their widths"
    return arm if start is None else replace(_unscaled(arm, match, why), start=start)


def _at(weights: str | None) -> str:
    """What stands for weights in a label."""
    return f"@{Path(weights).name}" if weights else ""


def _own_arm(text: str, net: Network, match: MatchedCost | None, data: DataSummary) -> Arm:
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


def _unscaled(arm: Arm, match: MatchedCost | None, why: str) -> Arm:
    """The arm as it is. Raises ValueError where it would have to be scaled, and `why` it cannot be."""
    if match is not None and match.target is not None:
        value = getattr(arm.cost, match.measure)
        if abs(value - match.target) > MATCH_TOLERANCE * match.target:
            raise ValueError(
                f"its {match.measure} are {value:,}, not {match.target:,}, and {why}; name it first with "
                f"match={match.measure}, so that others are matched to it, or leave match out"
            )
    return arm


def _differences(first: Arm, arm: Arm) -> dict[str, tuple[str, str]]:
    """What is not the same in two arms, by name: choices of their networks, weights, recipe."""
    found = {"another architecture": (first.text, arm.text)} if first.network != arm.network else {}
    if isinstance(first.network, Network) and isinstance(arm.network, Network):
        found = difference(first.network, arm.network)
    for name, ours, theirs in (
        ("start", *(each.start.weights if each.start else "random" for each in (first, arm))),
        ("recipe", *(each.recipe or "all" for each in (first, arm))),
    ):
        if ours != theirs:
            found[name] = (ours, theirs)
    return found


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
        replace(arm, label=f"{arm.label}#{labels[: index + 1].count(arm.label)}")
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
