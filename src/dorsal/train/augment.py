"""What a recipe does to images: one at a time before they form a batch, and to the batch.

All steps are module-level functions or torchvision transforms, so that loader processes can be started by any method.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2.functional import center_crop, resize

from dorsal.data.dataset import ImageData, to_float
from dorsal.recipes.recipe import Recipe
from dorsal.spec.preprocessing import Normalization

Transform = Callable[[Tensor], Tensor]

# Principal components of ImageNet's RGB values in 0..1 (arXiv 1404.5997; the figures of pycls and of GluonCV).
_EIGENVALUES = torch.tensor([0.2175, 0.0188, 0.0045])
_EIGENVECTORS = torch.tensor([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])


def train_transform(recipe: Recipe, data: ImageData) -> Transform:
    """uint8 [C, H, W] to float32 [C, size, size], normalized as in evaluation (mean, deviation, order of channels).

    Random draws come from torch's global generator.
    """
    _check_channels(recipe, data.channels)
    steps: list[Transform] = [_crop(recipe, data.size, InterpolationMode(data.interpolation))]
    if recipe.flip and data.flip:
        steps.append(_flip)
    if recipe.auto_augment == "autoaugment":
        steps.append(v2.AutoAugment())
    if recipe.auto_augment == "randaugment":
        steps.append(v2.RandAugment(recipe.augment_ops, recipe.augment_magnitude))
    if recipe.color_jitter:
        steps.append(v2.ColorJitter(recipe.color_jitter, recipe.color_jitter, recipe.color_jitter))
    steps.append(to_float(data.normalization))
    if recipe.lighting:
        steps.append(partial(_lighten, strength=recipe.lighting, normalization=data.normalization))
    if recipe.erasing:
        steps.append(v2.RandomErasing(recipe.erasing))
    return partial(_in_turn, steps)


def _check_channels(recipe: Recipe, channels: int) -> None:
    """Raises ValueError for steps that are defined for other numbers of channels only."""
    limits = {"lighting": (3,), "auto_augment": (1, 3), "color_jitter": (1, 3)}
    for field, valid in limits.items():
        if getattr(recipe, field) not in (0, "none") and channels not in valid:
            raise ValueError(
                f"{field}={getattr(recipe, field)} of the recipe needs images of {' or '.join(map(str, valid))} "
                f"channels, and these have {channels}; leave it out of the recipe"
            )


def _in_turn(steps: list[Transform], image: Tensor) -> Tensor:
    for step in steps:
        image = step(image)
    return image


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


def _lighten(image: Tensor, strength: float, normalization: Normalization) -> Tensor:
    """Adds the same random colour everywhere, along the principal components of natural images (AlexNet).

    The image is normalized already, hence the division by the standard deviation; torchvision has no such transform.
    """
    colour = _EIGENVECTORS @ (_EIGENVALUES * torch.randn(3) * strength) / torch.tensor(normalization.std)
    return image + (colour.flip(0) if normalization.color_order == "bgr" else colour).view(3, 1, 1)


def batch_mixer(recipe: Recipe, classes: int) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None:
    """MixUp, CutMix or one of the two by a fair coin: images [N, 3, H, W] and labels int64 [N] to mixed images and
    targets float [N, classes]. None where the recipe mixes nothing."""
    mixers = []
    if recipe.mixup:
        mixers.append(v2.MixUp(alpha=recipe.mixup, num_classes=classes))
    if recipe.cutmix:
        mixers.append(v2.CutMix(alpha=recipe.cutmix, num_classes=classes))
    return v2.RandomChoice(mixers) if mixers else None


def seed_of(*words: int) -> int:
    """One seed from several non-negative numbers, such as (seed, epoch, batch)."""
    return int(np.random.SeedSequence(words).generate_state(1)[0])


@contextmanager
def draws_of(*words: int) -> Iterator[None]:
    """Within, torch's CPU generator draws what `words` determine; afterwards it is as it was."""
    state = torch.default_generator.get_state()
    torch.default_generator.manual_seed(seed_of(*words))
    try:
        yield
    finally:
        torch.default_generator.set_state(state)
