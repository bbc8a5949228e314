"""A training image of an annotated data set as its task sees it, drawn anew in each epoch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from torch import Tensor

from dorsal.annotations.annotation import Annotation
from dorsal.data.annotated import AnnotatedData, size_of
from dorsal.data.geometry import map_image
from dorsal.data.view import Frame, Jitter
from dorsal.recipes.recipe import Recipe
from dorsal.spec.layers import Size
from dorsal.tasks.colors import color_steps, in_turn

Target = TypeVar("Target")


class ViewedItems(Generic[Target]):
    """Item `i` is (image float32 [C, h, w], target) of training image `i`: `draw` draws the view, and `target` says
    what is to be learnt in it. A class, so that loader processes can be started by any method."""

    def __init__(
        self,
        recipe: Recipe,
        data: AnnotatedData,
        draw: Callable[[Size, int, Jitter], Frame],
        target: Callable[[Annotation, Frame], Target],
    ) -> None:
        """Raises ValueError for colors that the recipe cannot change in these images."""
        self._split, self._side = data.train, data.size
        self._jitter = Jitter(recipe.min_scale, recipe.max_scale, recipe.flip and data.flip)
        self._draw, self._target = draw, target
        self._colors = in_turn(color_steps(recipe, data.normalization))

    def __call__(self, index: int) -> tuple[Tensor, Target]:
        """The item, drawn by torch's global generator."""
        frame = self._draw(size_of(self._split, index), self._side, self._jitter)
        image = map_image(self._split.image(index), frame.affine, frame.size)
        return self._colors(image), self._target(self._split.annotation(index), frame)
