"""The usual ways to normalize images, and what each would say about the one that is stated. No torch."""

from __future__ import annotations

import math

import msgspec

from dorsal.language.fields import show
from dorsal.spec.preprocessing import IMAGENET, Channels, Normalization

_FAR = 50
"""Values larger or smaller by this factor differ by 255 and not by another standard deviation."""


class Preparation(msgspec.Struct, frozen=True):
    """A way to normalize images, and what it is called."""

    name: str
    normalization: Normalization


def usual_preparations(stated: Normalization) -> list[Preparation]:
    """The preparations that are usually right where the stated one is not: each once, in the stated order of colors."""
    channels = len(stated.mean)
    half, none, one, byte = ((value,) * channels for value in (0.5, 0.0, 1.0, 1 / 255))
    known = [
        ("the stated mean and std of values divided by 255 once more", *_scaled(stated, 255)),
        ("the stated mean and std of values divided by 255 once less", *_scaled(stated, 1 / 255)),
        ("the stated mean and no std", stated.mean, one),
        ("a mean and std of 0.5", half, half),
        ("no normalization", none, one),
        ("values of 0 to 255", none, byte),
    ]
    if channels == 3:
        known += [
            ("ImageNet's mean and std", IMAGENET.mean, IMAGENET.std),
            ("ImageNet's mean and no std", IMAGENET.mean, one),
            ("values of 0 to 255 less ImageNet's mean", IMAGENET.mean, byte),
        ]
    found: list[Preparation] = []
    for name, mean, std in known:
        each = Normalization(mean=mean, std=std, color_order=stated.color_order)
        if not any(_alike(each, other) for other in (stated, *(one.normalization for one in found))):
            found.append(Preparation(name, each))
    return found


def mistake(stated: Normalization, fits: Normalization) -> str:
    """What is wrong with the stated normalization, given the one that fits."""
    ratio = math.prod(b / a for a, b in zip(stated.std, fits.std, strict=True)) ** (1 / len(stated.std))
    if ratio > _FAR:
        return "The network gets values that were not divided by 255"
    if ratio < 1 / _FAR:
        return "The network gets values that were divided by 255 twice, or its weights want values of 0 to 255"
    if set(stated.std) == {1.0}:
        return "The images are not divided by a std" if any(stated.mean) else "The images are not normalized"
    return "The images are normalized with the mean and std of other weights"


def setting(normalization: Normalization) -> str:
    """Mean and std as options are written: `mean=[0.5, 0.5, 0.5], std=[0.5, 0.5, 0.5]`."""
    mean, std = (
        show([float(f"{value:.4g}") for value in values]) for values in (normalization.mean, normalization.std)
    )
    return f"mean={mean}, std={std}"


def _scaled(stated: Normalization, factor: float) -> tuple[Channels, Channels]:
    """Mean and std that make of values what the stated ones make of values divided by `factor`."""
    return tuple(factor * value for value in stated.mean), tuple(factor * value for value in stated.std)


def _alike(one: Normalization, other: Normalization) -> bool:
    pairs = zip((*one.mean, *one.std), (*other.mean, *other.std), strict=True)
    return all(math.isclose(a, b, rel_tol=0.01, abs_tol=1e-6) for a, b in pairs)
