"""What a recipe does to images of classes: one at a time before they form a batch, and to the batch.

All steps are module-level functions or torchvision transforms, so that loader processes can be started by any method.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import pad
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2.functional import center_crop, resize

from dorsal.data.split import ImageData
from dorsal.recipes.recipe import Recipe
from dorsal.tasks.colors import Transform, color_steps, in_turn


def train_transform(recipe: Recipe, data: ImageData) -> Transform:
    """uint8 [C, H, W] to float32 [C, size, size], normalized as in evaluation (mean, deviation, order of channels).

    Random draws come from torch's global generator.
    """
    colors = color_steps(recipe, data.normalization)
    steps: list[Transform] = [_crop(recipe, data.size, InterpolationMode(data.interpolation))]
    if recipe.flip and data.flip:
        steps.append(_flip)
    if recipe.auto_augment == "autoaugment":
        steps.append(v2.AutoAugment())
    if recipe.auto_augment == "randaugment":
        steps.append(v2.RandAugment(recipe.augment_ops, recipe.augment_magnitude))
    steps += colors
    if recipe.erasing:
        steps.append(v2.RandomErasing(recipe.erasing))
    return in_turn(steps)


def _crop(recipe: Recipe, size: int, interpolation: InterpolationMode) -> Transform:
    if recipe.crop == "area":
        return v2.RandomResizedCrop(size, (recipe.min_area, 1.0), interpolation=interpolation)  # type: ignore[no-any-return]
    return partial(_shift, size=size, interpolation=interpolation)


def _shift(image: Tensor, size: int, interpolation: InterpolationMode) -> Tensor:
    """Fits the short side to `size`, then crops a square of `size` from the centre, off by up to size / 8."""
    if image.shape[-2:] != (size, size):
        image = center_crop(resize(image, [size], interpolation), [size, size])
    margin = size // 8
    y, x = torch.randint(0, 2 * margin + 1, (2,)).tolist()
    return pad(image, (margin, margin, margin, margin))[:, y : y + size, x : x + size]


def _flip(image: Tensor) -> Tensor:
    return image.flip(-1) if torch.rand(()) < 0.5 else image


def batch_mixer(recipe: Recipe, classes: int) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None:
    """MixUp, CutMix or one of the two by a fair coin: images [N, 3, H, W] and labels int64 [N] to mixed images and
    targets float [N, classes]. None where the recipe mixes nothing."""
    mixers = []
    if recipe.mixup:
        mixers.append(v2.MixUp(alpha=recipe.mixup, num_classes=classes))
    if recipe.cutmix:
        mixers.append(v2.CutMix(alpha=recipe.cutmix, num_classes=classes))
    return v2.RandomChoice(mixers) if mixers else None
