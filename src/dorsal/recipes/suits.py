"""Whether a recipe suits a task: a field that would do nothing is refused."""

from __future__ import annotations

from collections.abc import Mapping

from dorsal.language.fields import show
from dorsal.recipes.recipe import Recipe
from dorsal.recipes.text import AnyRecipe
from dorsal.spec.task import AnyTask, Classify, Detect, Semantic, task_name

_OF_ANNOTATIONS = ("min_scale", "max_scale")
_OF_CLASSES = (
    "class_weights", "mixup", "cutmix", "crop", "min_area", "auto_augment", "augment_ops", "augment_magnitude",
    "erasing", "dropout",
)  # fmt: skip


def check_suits(recipe: Recipe, task: AnyTask) -> None:
    """Raises ValueError, naming all fields that the recipe sets and the task has no use for."""
    plain = Recipe()
    found = [field for field in _useless(recipe, task) if getattr(recipe, field) != getattr(plain, field)]
    if found:
        given = ", ".join(f"{field}={show(getattr(recipe, field))}" for field in found)
        without = ", ".join(f"{field}={show(getattr(plain, field))}" for field in found)
        do, them = ("does", "it") if len(found) == 1 else ("do", "them")
        raise ValueError(
            f"{given} of the recipe {do} nothing in task {task_name(task)}; leave {them} out, as {without} does"
        )


def check_all_suit(recipes: Mapping[str, AnyRecipe], task: AnyTask) -> None:
    """`check_suits` of several recipes by name, before anything else is known."""
    for name, recipe in recipes.items():
        if isinstance(recipe, Recipe):
            try:
                check_suits(recipe, task)
            except ValueError as error:
                raise ValueError(f"recipe {name}: {error}") from None


def _useless(recipe: Recipe, task: AnyTask) -> tuple[str, ...]:
    """The fields that would do nothing in this task."""
    match task:
        case Classify():
            return (*_OF_ANNOTATIONS, "sampling") if recipe.sampling == "repeat" else _OF_ANNOTATIONS
        case Detect():
            useless = (*_OF_CLASSES, "label_smoothing", "precise_bn")
            return (*useless, "sampling") if recipe.sampling == "balanced" else useless
        case Semantic():
            return (*_OF_CLASSES, "sampling")
