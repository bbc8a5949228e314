"""Whether a recipe suits a task: a field that would do nothing is refused."""

from __future__ import annotations

from typing import Any

from dorsal.language.fields import show
from dorsal.recipes.recipe import Recipe
from dorsal.spec.task import AnyTask, Classify, Detect, task_text

_OF_ANNOTATIONS = ("min_scale", "max_scale")
_OF_CLASSES = ("class_weights", "mixup", "cutmix", "crop", "auto_augment", "erasing", "dropout")


def check_suits(recipe: Recipe, task: AnyTask) -> None:
    """Raises ValueError, naming the first field that the recipe sets and the task has no use for."""
    plain = Recipe()
    for field, why in _useless(recipe, task).items():
        if getattr(recipe, field) != getattr(plain, field):
            raise ValueError(
                f"{field}={show(getattr(recipe, field))} of the recipe {why} in task {task_text(task)}; leave it out"
            )


def _useless(recipe: Recipe, task: AnyTask) -> dict[str, str]:
    """What fields would do, or not do, in this task."""
    nothing = "does nothing"
    match task:
        case Classify():
            found: dict[str, Any] = dict.fromkeys(_OF_ANNOTATIONS, nothing)
            return found | ({"sampling": nothing} if recipe.sampling == "repeat" else {})
        case Detect():
            found = dict.fromkeys((*_OF_CLASSES, "label_smoothing", "precise_bn"), nothing)
            return found | ({"sampling": nothing} if recipe.sampling == "balanced" else {})
        case _:
            return dict.fromkeys((*_OF_CLASSES, "sampling"), nothing)
