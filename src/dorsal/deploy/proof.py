"""Whether a deployed form says what the model says: right, wrong, or not shown. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from dorsal.stats.images import ImageNoise, difference_noise
from dorsal.stats.interval import Array

Outcome = Literal["right", "wrong", "not shown"]
Outputs = npt.NDArray[Any]

CONFIDENCE = 0.95
"""Of the bound on one side of what a form loses."""
TOLERANCE = 1e-4
"""How far a form in float32 may be from the model, as a share of how far its answers are apart."""
BOX_TOLERANCE, SCORE_TOLERANCE = 0.01, 1e-4
"""How far a box of a detector in float32 may be from the model's, in pixels, and its score."""
MOST_LEFT_OUT = 0.01
"""At most such a share of what is found may hang on a rounding: two scores that are equal, or one at the threshold."""
MOST_IMAGES = 10_000_000
"""No more images are ever asked for."""


class OutputAgreement(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How far the outputs of a form are from those of the model, on inputs without truth.

    - `error`: the distance of both, ‖y - y₃₂‖, as a share of that of the model's outputs from their mean over inputs.
      Of a detector, how far boxes and scores are apart at most, as a multiple of their tolerances, times TOLERANCE.
    - `flips`: on how many of `inputs` the first answer is another one, although the model's first two are further apart
      than TOLERANCE allows. Of a detector, on how many something is found that the other does not find.
    """

    error: float
    flips: int
    inputs: int

    @property
    def outcome(self) -> Outcome:
        """Right where both are within what rounding does."""
        return "right" if self.error <= TOLERANCE and not self.flips else "wrong"


class Drop(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many points of the score a form loses on other images like these.

    - `value`: on these. `low`, `high`: where it is on others, each missed with a probability of at most 5 %.
    - `most`: how much it may lose. `needed`: how many images would show that it loses no more, if it goes on losing
      what it does here. None where it is shown, or where no number would.
    """

    value: float
    low: float
    high: float
    most: float
    images: int
    needed: int | None

    @property
    def outcome(self) -> Outcome:
        """Right where the form is shown to lose no more than it may, wrong where it is shown to lose more."""
        if self.high <= self.most:
            return "right"
        return "wrong" if self.low > self.most else "not shown"


def agreement(said: Sequence[Outputs], exact: Sequence[Outputs]) -> OutputAgreement:
    """How far the outputs `said` by a form are from the `exact` ones, input by input: logits [K] or maps [K, H, W].

    Outputs of one input differ in size where inputs do. Raises ValueError for another number of outputs or another
    shape, and for fewer than two inputs, whose answers are not apart.
    """
    shapes = [(a.shape, b.shape) for a, b in zip(said, exact, strict=True) if a.shape != b.shape]
    if shapes:
        raise ValueError(f"the form gives outputs of shape {shapes[0][0]}, the model of {shapes[0][1]}")
    if len(exact) < 2:
        raise ValueError("answers to one input are not apart; give two inputs or more")
    pairs = [(_flat(ours), _flat(theirs)) for ours, theirs in zip(said, exact, strict=True)]
    # Maps of several sizes have one mean for each class and no other.
    mean = np.mean([theirs.mean(1, keepdims=True) for _, theirs in pairs], axis=0)
    distance = sum(float(np.square(ours - theirs).sum()) for ours, theirs in pairs)
    spread = sum(float(np.square(theirs - mean).sum()) for _, theirs in pairs)
    least = TOLERANCE * (spread / sum(theirs.size for _, theirs in pairs)) ** 0.5
    ratio = (distance / spread) ** 0.5 if spread else float(distance > 0)
    return OutputAgreement(
        error=ratio if np.isfinite(ratio) else np.inf,
        flips=sum(_flips(*pair, least) for pair in pairs),
        inputs=len(pairs),
    )


def _flat(outputs: Outputs) -> Array:
    """[K, places]."""
    return outputs.reshape(len(outputs), -1).astype(np.float64)


def _flips(ours: Array, theirs: Array, least: float) -> bool:
    """Whether the first answer at a place is another one, where the first two of `theirs` [K, places] are further apart
    than `least`."""
    if len(theirs) < 2:
        return False
    second, first = np.partition(theirs, -2, axis=0)[-2:]
    return bool(((ours.argmax(0) != theirs.argmax(0)) & (first - second > least)).any())


Detections = tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]
"""Boxes [N, D, 4] in pixels, scores [N, D] and labels [N, D], -1 where there is none."""


def agreement_of_found(said: Sequence[Detections], exact: Sequence[Detections], least_score: float) -> OutputAgreement:
    """How far what a form `said` is from what is `exact`, of a detector that lists what scores above `least_score`.

    Each object that the model finds has a counterpart of its label within BOX_TOLERANCE and SCORE_TOLERANCE. One whose
    score is as near to the threshold, to the score of another object or to that of the last one in a full list is left
    out where it has none; more than MOST_LEFT_OUT of these count as a flip. Raises ValueError for another number of
    outputs.
    """
    error, inputs, flips, total, left_out = 0.0, 0, 0, 0, 0
    for both in zip(said, exact, strict=True):
        for image in range(len(both[1][1])):
            ours, theirs = (_listed(each, image) for each in both)
            flipped = False
            for one, other in ((ours, theirs), (theirs, ours)):
                apart = _apart(one, other)
                excused = _excused(other[1], apart > 1, least_score, both[0][1].shape[1])
                total, left_out = total + len(apart), left_out + int(excused.sum())
                flipped |= bool(((apart > 1) & ~excused).any())
                error = max(error, float(apart[apart <= 1].max(initial=0)))
            inputs, flips = inputs + 1, flips + flipped
    flips += left_out > max(MOST_LEFT_OUT * total, 2)
    return OutputAgreement(error=error * TOLERANCE, flips=flips, inputs=inputs)


def unlike(said: Sequence[Detections], exact: Sequence[Detections]) -> float:
    """How far what a detector in low precision finds is from what the model finds, 0 to 1: one less the mean IoU of the
    model's objects, weighted by their scores, with the best of the form's of the same label."""
    total, found = 0.0, 0.0
    for both in zip(said, exact, strict=True):
        for image in range(len(both[1][1])):
            ours, theirs = (_listed(each, image) for each in both)
            total += float(theirs[1].sum())
            if len(ours[1]):
                same = theirs[2][:, None] == ours[2]
                found += float(((_iou(theirs[0], ours[0]) * same).max(1) * theirs[1]).sum())
    return 1 - found / total if total else 0.0


def _iou(boxes: Array, others: Array) -> Array:
    corners = np.minimum(boxes[:, None, 2:], others[:, 2:]) - np.maximum(boxes[:, None, :2], others[:, :2])
    both = corners.clip(min=0).prod(-1)
    one, other = ((each[:, 2:] - each[:, :2]).prod(-1) for each in (boxes, others))
    overlaps: Array = both / np.maximum(one[:, None] + other - both, 1e-12)
    return overlaps


def _listed(found: Detections, image: int) -> Detections:
    """What is found in an image of a batch."""
    boxes, scores, labels = (each[image] for each in found)
    there = labels >= 0
    return boxes[there].astype(np.float64), scores[there].astype(np.float64), labels[there]


def _excused(scores: Array, missed: npt.NDArray[np.bool_], least_score: float, room: int) -> npt.NDArray[np.bool_]:
    """Which of those that are missed hang on a rounding of their score."""
    near = np.abs(scores[:, None] - scores) <= SCORE_TOLERANCE
    low = least_score if len(scores) < room else float(scores.min())
    excused: npt.NDArray[np.bool_] = missed & ((near.sum(1) > 1) | (scores - low <= SCORE_TOLERANCE))
    return excused


def _apart(ours: Detections, theirs: Detections) -> Array:
    """How far each of `theirs` is from the nearest of ours with its label, as a multiple of the tolerances."""
    if not len(ours[1]):
        return np.full(len(theirs[1]), np.inf)
    boxes = np.abs(theirs[0][:, None] - ours[0]).max(-1) / BOX_TOLERANCE
    scores = np.abs(theirs[1][:, None] - ours[1]) / SCORE_TOLERANCE
    apart = np.where(theirs[2][:, None] == ours[2], np.maximum(boxes, scores), np.inf)
    least: Array = apart.min(1)
    return least


def drop(form: Array, exact: Array, most: float) -> Drop:
    """What a form loses against the model, from what each image contributes to their scores in percent [images].

    Raises ValueError for different numbers of images, and for fewer than two.
    """
    if form.shape != exact.shape or form.size < 2:
        counts = f"{form.size} images of the form and {exact.size} of the model"
        raise ValueError(f"{counts}; they must be as many, 2 at least")
    noise = difference_noise(exact[None], form[None])
    low, high = _ends(noise, form.size)
    shown = high <= most
    return Drop(
        value=noise.value,
        low=low,
        high=high,
        most=most,
        images=form.size,
        needed=None if shown or noise.value >= most else _needed(noise, most),
    )


def _ends(noise: ImageNoise, images: int) -> tuple[float, float]:
    """The ends of the interval if there were so many images, on which losses were as frequent and as large."""
    share = images / noise.images
    few = noise.few
    if few is not None:
        assert few.losses is not None
        few = msgspec.structs.replace(few, wins=few.wins * share, losses=few.losses * share, images=images)
    scaled = msgspec.structs.replace(noise, spread=noise.spread / share**0.5, images=images, few=few)
    below, above = scaled.reach(float(ndtri(CONFIDENCE)))
    return noise.value - below, noise.value + above


def _needed(noise: ImageNoise, most: float) -> int | None:
    """The fewest images, to one part in a hundred, that would show the loss to be at most `most`."""
    low = high = noise.images
    while _ends(noise, high)[1] > most:
        low, high = high, 2 * high
        if high > MOST_IMAGES:
            return None
    while high - low > max(high // 100, 1):
        middle = (low + high) // 2
        low, high = (low, middle) if _ends(noise, middle)[1] <= most else (middle, high)
    return high
