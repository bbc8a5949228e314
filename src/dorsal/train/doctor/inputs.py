"""Does a network get its images as its weights learned them? Asked of its card, its running statistics and labels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dorsal.data.transform import histogram, measured, to_float
from dorsal.language.fields import show
from dorsal.language.reader import wrong_type
from dorsal.spec.preprocessing import Normalization, Preprocessing
from dorsal.train.doctor.colors import examine_colors
from dorsal.train.doctor.finding import Finding
from dorsal.train.doctor.gap import Gap, variance_gap
from dorsal.train.doctor.preparations import mistake, setting, usual_preparations

CONTRACT, STATISTICS = "inputs/contract", "inputs/statistics"
USUAL = 0.3
"""A gap up to this is usual with images prepared as the weights want them; docs/doctor.md has what was measured."""
FITS = 0.5
"""Another preparation fits if its gap is below this share of the stated one's."""
IMAGES = 64
"""Images of a gap. More change it by hundredths."""
FEWEST_IMAGES = 16
LEAST_SPREAD = 2.0
"""Images whose values vary less, in levels of 255, are empty, or were divided by 255 before they were rounded."""


def examine_inputs(
    model: nn.Module,
    images: Tensor,
    preprocessing: Preprocessing,
    *,
    card: Preprocessing | None = None,
    labels: Tensor | None = None,
) -> tuple[Finding, Finding, Finding]:
    """Three findings: `inputs/contract`, `inputs/statistics` and `inputs/colors`.

    - `model`: of any library, on any device. It runs in evaluation, and is left as it was to the bit.
    - `images`: uint8 [N, C, H, W], resized and cropped already, red first. 64 spread over them are enough for all but
      the labels.
    - `preprocessing`: what will be done to the images. `card`: what the weights' card asks for, if they have one.
    - `labels`: whole numbers [N], the place of each image's class among the model's outputs [N, classes]. They tell the
      order of colors where no card does.

    One forward pass of 64 images if all is well, else one for each of up to ten other preparations; with labels and
    without a card, two over all images.

    Raises TypeError or ValueError for images and labels of another type or shape.
    """
    _check(images, preprocessing, labels)
    return (
        compare_contract(card, preprocessing),
        _examine_statistics(model, images, preprocessing.normalization),
        examine_colors(model, images, preprocessing.normalization, card, labels),
    )


def refusal(findings: Sequence[Finding]) -> str | None:
    """Why nothing should be trained before this is settled, in sentences; None if nothing stands against it.

    Only statistics refuse: the stated preparation fails on them and another fits. What card and labels say is told.
    """
    for finding in findings:
        if finding.check == STATISTICS and finding.verdict == "wrong":
            return f"{finding.found} {finding.advice}"
    return None


def compare_contract(card: Preprocessing | None, done: Preprocessing) -> Finding:
    """What the card asks for, against what will be done: "wrong" where values differ, "look" for size and cut."""
    if card is None:
        return Finding(
            check=CONTRACT,
            verdict="cannot tell",
            found="The weights have no card that says how images are prepared.",
            advice="Look up their mean, std and order of colors where they were published.",
        )
    differ = [name for name in Preprocessing.__struct_fields__ if getattr(card, name) != getattr(done, name)]
    if not differ:
        return Finding(check=CONTRACT, verdict="sound", found=f"As the card says: {card.describe()}.")
    parts = [f"{name} is {show(getattr(done, name))} and the card says {show(getattr(card, name))}" for name in differ]
    return Finding(
        check=CONTRACT,
        verdict="look" if {"image_size", "resize", "interpolation"}.issuperset(differ) else "wrong",
        found=f"{'; '.join(parts)}.",
        advice=f"Set {', '.join(f'{name}={show(getattr(card, name))}' for name in differ)}.",
    )


def _check(images: Tensor, preprocessing: Preprocessing, labels: Tensor | None) -> None:
    if not isinstance(images, Tensor) or images.dtype != torch.uint8:
        raise wrong_type("images", images, "a uint8 tensor of values 0 to 255, not normalized")
    channels = len(preprocessing.mean)
    if images.ndim != 4 or images.shape[1] != channels or not len(images):
        raise ValueError(f"images of shape {list(images.shape)} must be [N, {channels}, H, W]: mean has {channels}")
    if labels is not None and (labels.shape != (len(images),) or labels.is_floating_point()):
        raise ValueError(
            f"labels of shape {list(labels.shape)} and {labels.dtype} must be whole numbers of shape [{len(images)}], "
            "one an image"
        )


def _examine_statistics(model: nn.Module, images: Tensor, stated: Normalization) -> Finding:
    some = images[torch.linspace(0, len(images) - 1, min(IMAGES, len(images))).round().long()]
    if len(some) < FEWEST_IMAGES:
        return _unknown(f"{len(some)} images are too few to compare variances; {IMAGES} are enough.")
    if (spread := some.float().std().item()) < LEAST_SPREAD:
        return Finding(
            check=STATISTICS,
            verdict="look",
            found=f"The images hardly vary: values from {int(some.min())} to {int(some.max())} of 255, with a standard "
            f"deviation of {spread:.1f}.",
            advice="Look at the images as the network gets them, and whether something divided their values already.",
        )
    gap = variance_gap(model, some, to_float(stated))
    if gap is None:
        return _unknown(
            "No batch norm of the network has running statistics of a training and enough values to compare, so "
            "nothing in it says which values it expects."
        )
    if gap.value <= USUAL:
        return Finding(check=STATISTICS, verdict="sound", found=_measured(gap, len(some)))
    others = [(each, variance_gap(model, some, to_float(each.normalization))) for each in usual_preparations(stated)]
    best, least = min(((each, found.value) for each, found in others if found), key=lambda pair: pair[1])
    if least >= FITS * gap.value:
        return _strange_images(model, some, stated, gap)
    return Finding(
        check=STATISTICS,
        verdict="wrong",
        found=f"{mistake(stated, best.normalization)}. {_measured(gap, len(some))} With {best.name} it is {least:.2f}.",
        advice=f"Set {setting(best.normalization)}.",
    )


def _strange_images(model: nn.Module, images: Tensor, stated: Normalization, gap: Gap) -> Finding:
    """A gap that no usual preparation closes.

    If the images' own mean and std close it, then their contrast differs from that of the training's images, which is
    no mistake, or the stated values are wrong and the right ones unusual.
    """
    values = measured(histogram(images.cpu().numpy()))
    own = Normalization(mean=values.mean, std=values.std, color_order=stated.color_order)
    found = variance_gap(model, images, to_float(own))
    measurement = f"{_measured(gap, len(images))} No usual preparation halves it"
    if found is not None and found.value < FITS * gap.value:
        return Finding(
            check=STATISTICS,
            verdict="look",
            found=f"{measurement}; the images' own mean and std do ({found.value:.2f}). The images are darker, paler "
            "or more uniform than those of the training, or mean and std are not those of the weights.",
            advice=f"Look at the images. If they are as they should be, train with {setting(own)} too and compare.",
        )
    return Finding(
        check=STATISTICS,
        verdict="look",
        found=f"{measurement}: the images are unlike those of the training.",
        advice="Look at the images as the network gets them: crop, size, range of values.",
    )


def _unknown(found: str) -> Finding:
    advice = "Look up the mean and std of the weights where they were published."
    return Finding(check=STATISTICS, verdict="cannot tell", found=found, advice=advice)


def _measured(gap: Gap, images: int) -> str:
    return (
        f"On {images} images the variances in the network are off the running variances of its weights by "
        f"{gap.value:.2f} (the log of their ratio, median of {gap.norms} norms; up to {USUAL} is usual)."
    )
