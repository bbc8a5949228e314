"""The weights to choose from: found, under an allowed license, of networks that suit the data, and examined."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import NamedTuple

from msgspec.structs import replace

from dorsal.data.summary import DataSummary
from dorsal.jobs.ahead import examine_start
from dorsal.jobs.candidates import license_of, models_in, own_weights
from dorsal.jobs.plan import Plan
from dorsal.jobs.remarks import InputFinding
from dorsal.recipes.text import read_any_recipes
from dorsal.spec.licenses import is_allowed
from dorsal.spec.timm import TimmNetwork
from dorsal.study import question
from dorsal.study.choice.question import Choice, is_folder_name, read_candidate
from dorsal.study.choice.records import LeftOut
from dorsal.study.comparison.plan import plan_comparison
from dorsal.study.comparison.question import AskedArm, Comparison
from dorsal.study.comparison.run import filled_in, foreign

RECIPE = "finetune"


class Candidates(NamedTuple):
    """The plan that fine-tunes all candidates, their texts in the order of its arms, and the weights left out."""

    plan: Plan
    asked: tuple[AskedArm, ...]
    left_out: tuple[LeftOut, ...]


def find_candidates(choice: Choice, data: DataSummary) -> Candidates:
    """The weights that are named, or all that this machine has. Of the latter, what does not suit is left out.

    Raises ValueError where there are none, where two are the same, for named ones that do not suit the data, and as
    `examine_images` does.
    """
    kept, left_out, remarks = list[AskedArm](), list[LeftOut](), list[InputFinding]()
    seen = dict[tuple[str, str], str]()
    for text in choice.weights or own_weights():
        try:
            asked, refused = _of_license(_read(text), choice.license)
            for arm in asked:
                (made,) = _planned(choice, data, [arm]).arms
                assert made.start is not None
                identity = (made.network_hash, made.start.sha256)
                if identity in seen:
                    raise ValueError(f"weights {text!r} are the same as {seen[identity]!r}; leave one of them out")
                seen[identity] = text
                remarks += examine_start(made, data, choice.accept)
        except ValueError as error:
            if choice.weights:
                raise
            left_out.append(LeftOut(weights=text, fault=str(error)))
            continue
        kept += asked
        left_out += refused
    if not kept:
        raise ValueError(_nothing(choice, left_out))
    plan = _planned(choice, data, kept)
    if any("#" in arm.label for arm in plan.arms):  # a label must not depend on which of its like are left
        kept = [_labelled(asked, made.label) for asked, made in zip(kept, plan.arms, strict=True)]
        plan = _planned(choice, data, kept)
    return Candidates(replace(plan, remarks=tuple(remarks)), tuple(kept), tuple(left_out))


def comparison_of(choice: Choice, asked: Sequence[AskedArm], out: str) -> Comparison:
    """The comparison that fine-tunes these candidates, in the folder `out`."""
    shared = {field: getattr(choice, field) for field in question.Training.__struct_fields__}
    networks = tuple(f"{arm.label}{'=' * bool(arm.label)}{arm.text}@{arm.weights}" for arm in asked)
    own = {"networks": networks, "recipes": (RECIPE,), "data": choice.data, "out": out, "accept": True}
    return Comparison(**shared | own)


def command_of(choice: Choice, asked: AskedArm) -> str:
    """The command that trains a candidate."""
    what = f"{asked.text}@{asked.weights}"
    verb = ["compare", what, "--seeds", "1"] if isinstance(asked.network, TimmNetwork) else ["train", what]
    epochs = [] if choice.epochs is None else ["--epochs", str(choice.epochs)]
    accept = ["--accept"] if choice.accept else []
    return shlex.join(["dorsal", *verb, "--recipe", RECIPE, "--data", choice.data, *epochs, *accept])


def _read(text: str) -> tuple[AskedArm, ...]:
    """The arms that a text names: those of a folder, or NETWORK@WEIGHTS."""
    if is_folder_name(text):
        return tuple(map(read_candidate, models_in(text)))
    return filled_in([read_candidate(text)])


def _of_license(arms: Sequence[AskedArm], wanted: str | None) -> tuple[list[AskedArm], list[LeftOut]]:
    if wanted is None:
        return list(arms), []
    kept, refused = list[AskedArm](), list[LeftOut]()
    for arm in arms:
        assert arm.weights is not None
        found = license_of(arm.weights, arm.network)
        if is_allowed(found, wanted):
            kept.append(arm)
        else:
            refused.append(LeftOut(weights=arm.label or f"{arm.text}@{arm.weights}", license=found))
    return kept, refused


def _planned(choice: Choice, data: DataSummary, asked: Sequence[AskedArm]) -> Plan:
    """The plan that fine-tunes these candidates. Raises ValueError as `plan_comparison` does."""
    comparison = comparison_of(choice, asked, choice.out)
    recipes = read_any_recipes((RECIPE,), choice.epochs)
    return plan_comparison(comparison, data, recipes, asked, foreign(comparison, asked, data, recipes))


def _labelled(asked: AskedArm, label: str) -> AskedArm:
    return replace(asked, label=re.sub(r"[^\w.+-]+", "-", label)) if "#" in label else asked


def _nothing(choice: Choice, left_out: Sequence[LeftOut]) -> str:
    """Why there is nothing to choose from, and what to do."""
    if choice.license is not None and any(not each.fault for each in left_out):
        said = ", ".join(f"{each.weights} ({each.license or 'license unknown'})" for each in left_out[:3])
        return f"license={choice.license!r} allows none of the {len(left_out)} weights: {said}; name others"
    faults = "".join(f"{each.weights}: {each.fault}; " for each in left_out[:3])
    return (
        f"there are no weights to choose from on this machine: {faults}name some, as in dorsal choose 'resnet18@*', or "
        "get some: dorsal weights pull resnet18.torchvision_v1"
    )
