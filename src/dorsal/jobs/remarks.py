"""What a reader of a study should know about how it is made, as values; `report.words` puts them into sentences."""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

from dorsal.recipes.recipe import Recipe
from dorsal.recipes.text import AnyRecipe
from dorsal.train.doctor.finding import Finding

FEW_STEPS = 100


class BatchExceedsData(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="batch_exceeds_data"):
    """The batch of a recipe is larger than the training images, so that each of its epochs is one step."""

    recipe: str
    batch: int
    train_images: int
    epochs: int


class FewSteps(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="few_steps"):
    """A recipe makes fewer than `FEW_STEPS` steps in all."""

    recipe: str
    steps: int


class EmulatedBfloat16(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="emulated_bfloat16"):
    """This device has no bfloat16 instructions, and is far slower in it than in float32 (docs/log.md)."""

    device: str


class BudgetCut(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="budget_cut"):
    """A budget fits only so many of the `parts` of a plan, which are `part_name`, and they take about `seconds`."""

    budget: str
    fitting: int
    parts: int
    part_name: str
    seconds: float


class TuningTime(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="tuning_time"):
    """The `time` asked for tuning is that of so many `tries` of every arm and recipe, which take about `seconds`."""

    time: str
    tries: int
    seconds: float


class SeveralSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="several_settings"):
    """Runs were made in different settings (versions, device, threads), which round differently."""

    settings: tuple[str, ...]


class InputFinding(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="input_finding"):
    """What a check found of the images that weights are given, which is not that all is well."""

    arm: str
    finding: Finding


StudyRemark = BatchExceedsData | FewSteps | EmulatedBfloat16 | BudgetCut | TuningTime | SeveralSettings | InputFinding


def recipe_remarks(recipes: Mapping[str, AnyRecipe], train_images: int) -> list[BatchExceedsData | FewSteps]:
    """Which recipes make little of so many training images."""
    found: list[BatchExceedsData | FewSteps] = []
    for name, recipe in recipes.items():
        if not isinstance(recipe, Recipe):
            continue
        steps = recipe.epochs * math.ceil(train_images / recipe.batch)
        if recipe.batch > train_images:
            found.append(BatchExceedsData(name, recipe.batch, train_images, recipe.epochs))
        elif steps < FEW_STEPS:
            found.append(FewSteps(name, steps))
    return found
