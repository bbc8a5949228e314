"""What can be asked of a frozen network instead of training it: a linear probe, the nearest neighbors. No torch.

Both look at the features of its images: the mean of a level's map, or what its own classifier sees.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import msgspec

from dorsal.language.fields import builtins_of, convert, show

INNER_SHARE = 0.2
FEW = 10
"""Of fewer inner images a class a choice is luck."""
LEAST_PENALTY, MOST_PENALTY = 1e-8, 1e4


class Probe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="probe"):
    """Multinomial logistic regression on the standardized features of a frozen network.

    It minimizes the mean cross entropy + penalty / 2 x the sum of all squared weights, biases left out. (The C of
    scikit-learn is 1 / (penalty x images).) The seed draws a fifth of each class's training images as an inner split.
    The penalty with the best accuracy there is chosen, of equals the largest, and the regression is fitted with it to
    all training images. An inner split of fewer than 10 images a class is too small to choose by (arXiv 2603.00478):
    then nothing is chosen, and the probabilities by all penalties are averaged. With one penalty there is nothing to
    choose either.

        level         the level whose map is averaged: 0 the stem, 1 the first stage, …; none: what the network's own
                      classifier sees, after the last level
        penalties     increasing

    Raises ValueError naming the field, the value and the nearest valid one.
    """

    epochs: ClassVar[int] = 1
    """It looks at every image once."""
    level: int | None = None
    penalties: tuple[float, ...] = (1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 1.0)

    def __post_init__(self) -> None:
        _set_converted(self)
        _check_at_least("level", self.level, 0)
        _check_penalties(self.penalties)


class Neighbors(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="neighbors"):
    """Votes of the training images nearest to an image, by the features of a frozen network. Nothing is chosen.

    Nearest is the largest cosine of the features, and each of the `k` votes for its class with exp(cosine / 0.07), as
    in DINO (arXiv 2104.14294 section 4.1, after arXiv 1805.01978 section 3.4). Of equally near ones the first in the
    training set is taken.

        level   as in `Probe`
        k       how many vote

    Raises ValueError naming the field, the value and the nearest valid one.
    """

    epochs: ClassVar[int] = 1
    """It looks at every image once."""
    level: int | None = None
    k: int = 5

    def __post_init__(self) -> None:
        _set_converted(self)
        _check_at_least("level", self.level, 0)
        _check_at_least("k", self.k, 1)


class PenaltyChoice(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a probe chose. `penalty` is None where all were averaged; `inner` are the accuracies of the inner images in
    percent, one a penalty, () where nothing was chosen."""

    penalty: float | None
    inner: tuple[float, ...] = ()

    def is_at_edge(self, probe: Probe) -> bool:
        """Whether another penalty beyond the first or last of the list might have been better."""
        ends = {probe.penalties[0], probe.penalties[-1]} - {LEAST_PENALTY, MOST_PENALTY}
        return bool(self.inner) and self.penalty in ends


def centred(probe: Probe, penalty: float) -> Probe:
    """The probe with its list moved around the penalty by one factor, as far as penalties go."""
    factor = penalty / math.sqrt(probe.penalties[0] * probe.penalties[-1])
    moved = sorted({float(f"{factor * each:.2g}") for each in probe.penalties})
    return msgspec.structs.replace(
        probe, penalties=tuple(each for each in moved if LEAST_PENALTY <= each <= MOST_PENALTY)
    )


def averages(probe: Probe, images: int, classes: int) -> bool:
    """Whether so many training images are too few to choose a penalty by, so that all are averaged."""
    return len(probe.penalties) > 1 and images * INNER_SHARE < FEW * classes


def check_images(recipe: Probe | Neighbors, images: Sequence[int], classes: Sequence[str]) -> None:
    """Raises ValueError if there are too few training images; `images` are those of each class."""
    total = sum(images)
    if isinstance(recipe, Neighbors) and recipe.k > total:
        raise ValueError(f"k={recipe.k} of neighbors is above the {total} training images; nearest valid: k={total}")
    if total < len(classes):
        raise ValueError(
            f"{total} training images of {len(classes)} classes are too few to probe with: each class needs one"
        )
    absent = [name for name, count in zip(classes, images, strict=True) if not count]
    if absent:
        more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
        raise ValueError(
            f"class {absent[0]!r}{more} has no training image, so that no probe can know it; add one, or leave it out"
        )


def check_level(level: int | None, levels: int, network: str) -> None:
    """Raises ValueError unless the network, of so many levels, has this one; `network` is what messages call it."""
    if level is None or level < levels:
        return
    if not levels:
        raise ValueError(f"level={level}: {network} gives no maps; leave level out for what its classifier sees")
    raise ValueError(
        f"level={level} does not exist in {network}, which has levels 0 to {levels - 1}; nearest valid: "
        f"level={levels - 1}, or leave level out for what its classifier sees"
    )


def _set_converted(made: Probe | Neighbors) -> None:
    """Sets every field to its type, so that 1 and 1.0 are one value and have one hash."""
    for field in msgspec.structs.fields(made):
        value = convert(field.name, builtins_of(getattr(made, field.name)), field.type)
        msgspec.structs.force_setattr(made, field.name, value)


def _check_at_least(field: str, value: int | None, least: int) -> None:
    if value is not None and value < least:
        raise ValueError(f"{field}={value} is below {least}; nearest valid: {least}")


def _check_penalties(penalties: tuple[float, ...]) -> None:
    low, high = LEAST_PENALTY, MOST_PENALTY
    valid = sorted({each for each in penalties if low <= each <= high})  # not-a-number compares false
    if not valid:
        raise ValueError(f"penalties={show(penalties)} must be numbers from {low:g} to {high:g}; nearest valid: [0.01]")
    if list(penalties) != valid:
        raise ValueError(
            f"penalties={show(penalties)} must increase, from {low:g} to {high:g} at most; nearest valid: {show(valid)}"
        )


class NamedProbe(NamedTuple):
    """A probe, what it is for in a sentence, and where it comes from, with what deviates from there."""

    recipe: Probe | Neighbors
    meaning: str
    source: str


PROBES: dict[str, NamedProbe] = {
    "probe": NamedProbe(
        Probe(),
        "A linear classifier on the features of a frozen network, in seconds.",
        "METHODOLOGY.md of torchgeo/torchgeo-bench@1253522: a sweep of penalties, one chosen on held-out images and "
        "fitted again to all. Deviations: features are standardized, the inner split is part of the training images, "
        "and of few images all penalties are averaged, after FEWTRANS (arXiv 2603.00478).",
    ),
    "neighbors": NamedProbe(
        Neighbors(),
        "The votes of the nearest training images, by the features of a frozen network. Nothing is chosen.",
        "DINO (arXiv 2104.14294 section 4.1), with the k of torchgeo-bench. Cosine, since the length of a feature "
        "depends on the network and on the contrast of an image; weighted votes, since whole ones tie.",
    ),
}
