"""What a recipe does to the colors of an image, and the steps of an augmentation one after another.

All steps are module-level functions or torchvision transforms, so that loader processes can be started by any method.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor
from torchvision.transforms import v2

from dorsal.data.transform import to_float
from dorsal.recipes.recipe import Recipe
from dorsal.spec.preprocessing import Normalization

Transform = Callable[[Tensor], Tensor]

# Principal components of ImageNet's RGB values in 0..1 (arXiv 1404.5997; the figures of pycls and of GluonCV).
_EIGENVALUES = torch.tensor([0.2175, 0.0188, 0.0045])
_EIGENVECTORS = torch.tensor([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])


def color_steps(recipe: Recipe, normalization: Normalization) -> list[Transform]:
    """From uint8 [C, H, W] to normalized float32 of the same shape, with what the recipe does to colors on the way.

    Raises ValueError for steps that are defined for other numbers of channels only.
    """
    channels = len(normalization.mean)
    limits = {"lighting": (3,), "auto_augment": (1, 3), "color_jitter": (1, 3)}
    for field, valid in limits.items():
        if getattr(recipe, field) not in (0, "none") and channels not in valid:
            raise ValueError(
                f"{field}={getattr(recipe, field)} of the recipe needs images of {' or '.join(map(str, valid))} "
                f"channels, and these have {channels}; leave it out of the recipe"
            )
    steps: list[Transform] = []
    if recipe.color_jitter:
        steps.append(v2.ColorJitter(recipe.color_jitter, recipe.color_jitter, recipe.color_jitter))
    steps.append(to_float(normalization))
    if recipe.lighting:
        steps.append(partial(_lighten, strength=recipe.lighting, normalization=normalization))
    return steps


def in_turn(steps: Sequence[Transform]) -> Transform:
    """The steps one after another."""
    return partial(_in_turn, steps)


def _in_turn(steps: Sequence[Transform], image: Tensor) -> Tensor:
    for step in steps:
        image = step(image)
    return image


def _lighten(image: Tensor, strength: float, normalization: Normalization) -> Tensor:
    """Adds the same random colour everywhere, along the principal components of natural images (AlexNet).

    The image is normalized already, hence the division by the standard deviation; torchvision has no such transform.
    """
    colour = _EIGENVECTORS @ (_EIGENVALUES * torch.randn(3) * strength) / torch.tensor(normalization.std)
    return image + (colour.flip(0) if normalization.color_order == "bgr" else colour).view(3, 1, 1)
