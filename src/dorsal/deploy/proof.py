"""Whether a deployed form says what the model says: right, wrong, or not shown. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

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
MASK_TOLERANCE = 1e-3
"""How far a mask may be from the model's at any of its places, in probability. More than of a score, since a mask is
read off the image in its box, which may itself be BOX_TOLERANCE away. Far less than moves an outline that can be seen:
at the edge of an object, a mask goes from 0 to 1 within a few places."""
MOST_LEFT_OUT = 0.01
"""At most such a share of what is found may hang on a rounding: two scores that are equal, or one at the threshold. A
form that leaves out more is not shown to be right."""
MOST_IMAGES = 10_000_000
"""No more images are ever asked for."""


class OutputAgreement(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How far the outputs of a form are from those of the model, on inputs without truth.

    - `error`: the distance of both, ‖y - y₃₂‖, as a share of that of the model's outputs from their mean over inputs.
      Of a detector, how far boxes, scores and masks are apart at most, as a multiple of their tolerances, times
      TOLERANCE.
    - `flips`: on how many of `inputs` the first answer is another one, although the model's first two are further apart
      than TOLERANCE allows. Of a detector, on how many something is found that the other does not find, or finds with
      another mask.
    - `inputs`: how many were compared. Of a detector, those on which something is found.
    - `left_out`: of a detector, which share of what is found was left out, because it hangs on a rounding.
    """

    error: float
    flips: int
    inputs: int
    left_out: float = 0.0

    @property
    def outcome(self) -> Outcome:
        """Wrong where they are further apart than what rounding does, not shown where too little could be compared."""
        if not self.error <= TOLERANCE or self.flips:
            return "wrong"
        return "right" if self.inputs and self.left_out <= MOST_LEFT_OUT else "not shown"


class Drop(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many points of the score a form loses on other images like these.

    - `value`: on these. `low`, `high`: where it is on others, each missed with a probability of at most 5 %.
    - `most`: how much it may lose. `needed`: how many images would show which of the two it is, right or wrong, if it
      goes on losing what it does here. None where that is shown, and where no number would show it, since the form
      loses just `most`, or so nearly that it would take more than MOST_IMAGES.
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


class Detections(NamedTuple):
    """What is found in a batch: boxes [N, D, 4] in pixels, scores [N, D] and labels [N, D], -1 where there is none, and
    the masks [N, D, 28, 28] in their boxes, as probabilities. None of a task without masks."""

    boxes: Outputs
    scores: Outputs
    labels: Outputs
    masks: Outputs | None = None


Listed = Detections | tuple[Outputs, Outputs, Outputs]
"""Without masks, a plain tuple will do."""


def agreement_of_found(said: Sequence[Listed], exact: Sequence[Listed], least_score: float) -> OutputAgreement:
    """How far what a form `said` is from what is `exact`, of a detector that lists what scores above `least_score`.

    Each object that one finds has a counterpart of its label in what the other finds, within BOX_TOLERANCE and
    SCORE_TOLERANCE. Its mask is within MASK_TOLERANCE. An object without a counterpart is left out where a rounding
    decides on it, see `_excused`, and is a flip elsewhere. Where nothing is found, nothing is shown.

    Raises ValueError for another number of outputs, and for masks of only one of both.
    """
    error, inputs, flips, total, left_out = 0.0, 0, 0, 0, 0
    for form, model in zip(said, exact, strict=True):
        both = Detections(*form), Detections(*model)
        if (both[0].masks is None) != (both[1].masks is None):
            raise ValueError("only one of the form and the model gives masks")
        for image in range(len(both[1].scores)):
            lists = [(_listed(each, image), each.scores.shape[1]) for each in both]
            flipped = False
            for (one, room), (other, _) in (lists, lists[::-1]):
                apart, masks = _apart(one, other)
                missed = apart > 1
                excused = missed & _excused(one, other, least_score, room)
                flipped |= bool((missed & ~excused).any() or (masks > 1).any())
                total, left_out = total + len(apart), left_out + int(excused.sum())
                error = max(error, *(float(each[each <= 1].max(initial=0)) for each in (apart, masks)))
            inputs += any(len(each.scores) > 0 for each, _ in lists)
            flips += flipped
    return OutputAgreement(
        error=error * TOLERANCE, flips=flips, inputs=inputs, left_out=left_out / total if total else 0.0
    )


def unlike(said: Sequence[Listed], exact: Sequence[Listed]) -> float:
    """How far what a detector in low precision finds is from what the model finds, 0 to 1: one less the mean IoU of the
    model's objects, weighted by their scores, with the best of the form's of the same label."""
    total, found = 0.0, 0.0
    for form, model in zip(said, exact, strict=True):
        for image in range(len(model[1])):
            ours, theirs = (_listed(Detections(*each), image) for each in (form, model))
            total += float(theirs.scores.sum())
            if len(ours.scores):
                same = theirs.labels[:, None] == ours.labels
                found += float(((_iou(theirs.boxes, ours.boxes) * same).max(1) * theirs.scores).sum())
    return 1 - found / total if total else 0.0


def _iou(boxes: Array, others: Array) -> Array:
    corners = np.minimum(boxes[:, None, 2:], others[:, 2:]) - np.maximum(boxes[:, None, :2], others[:, :2])
    both = corners.clip(min=0).prod(-1)
    one, other = ((each[:, 2:] - each[:, :2]).prod(-1) for each in (boxes, others))
    overlaps: Array = both / np.maximum(one[:, None] + other - both, 1e-12)
    return overlaps


def _listed(found: Detections, image: int) -> Detections:
    """What is found in an image of a batch."""
    there = found.labels[image] >= 0
    return Detections(
        found.boxes[image][there].astype(np.float64),
        found.scores[image][there].astype(np.float64),
        found.labels[image][there],
        None if found.masks is None else found.masks[image][there].astype(np.float64),
    )


def _excused(ours: Detections, theirs: Detections, least_score: float, room: int) -> npt.NDArray[np.bool_]:
    """Which of `theirs` may be missing from ours, a list with `room` for so many, for a rounding of their score.

    They score as much as another object of their label, or are at the threshold. Where our list is full, they score as
    much as its last.
    """
    near = np.abs(theirs.scores[:, None] - theirs.scores) <= SCORE_TOLERANCE
    tied = (near & (theirs.labels[:, None] == theirs.labels)).sum(1) > 1
    ends = [least_score] if len(ours.scores) < room else [least_score, float(ours.scores.min())]
    at_end = (np.abs(theirs.scores[:, None] - ends) <= SCORE_TOLERANCE).any(1)
    excused: npt.NDArray[np.bool_] = tied | at_end
    return excused


def _apart(ours: Detections, theirs: Detections) -> tuple[Array, Array]:
    """How far each of `theirs` is from the nearest of ours with its label, as a multiple of the tolerances; and how far
    its mask is from the most alike of those that are near enough, 0 where there is none. Infinite for what is not a
    number."""
    masks = np.zeros(len(theirs.scores))
    if not len(ours.scores):
        return np.full(len(theirs.scores), np.inf), masks
    boxes = np.abs(theirs.boxes[:, None] - ours.boxes).max(-1) / BOX_TOLERANCE
    scores = np.abs(theirs.scores[:, None] - ours.scores) / SCORE_TOLERANCE
    apart = np.where(theirs.labels[:, None] == ours.labels, np.maximum(boxes, scores), np.inf)
    apart[np.isnan(apart)] = np.inf
    if ours.masks is not None and theirs.masks is not None:
        for at in np.flatnonzero(apart.min(1) <= 1):
            worst = np.abs(ours.masks[apart[at] <= 1] - theirs.masks[at]).max((1, 2)) / MASK_TOLERANCE
            masks[at] = np.where(np.isnan(worst), np.inf, worst).min()
    return apart.min(1), masks


def drop(form: Array, exact: Array, most: float) -> Drop:
    """What a form loses against the model, from what each image contributes to their scores in percent [images].

    Raises ValueError for different numbers of images, and for fewer than two.
    """
    if form.shape != exact.shape or form.size < 2:
        counts = f"{form.size} images of the form and {exact.size} of the model"
        raise ValueError(f"{counts}; they must be as many, 2 at least")
    noise = difference_noise(exact[None], form[None])
    low, high = _ends(noise, form.size)
    found = Drop(value=noise.value, low=low, high=high, most=most, images=form.size, needed=None)
    return msgspec.structs.replace(found, needed=_needed(noise, most)) if found.outcome == "not shown" else found


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
    """The fewest images, to one part in a hundred, that would show the loss to be at most `most`, or to be more."""

    def shown(images: int) -> bool:
        below, above = _ends(noise, images)
        return above <= most if noise.value < most else below > most

    if noise.value == most:
        return None
    low = high = noise.images
    while not shown(high):
        low, high = high, 2 * high
        if high > MOST_IMAGES:
            return None
    while high - low > max(high // 100, 1):
        middle = (low + high) // 2
        low, high = (low, middle) if shown(middle) else (middle, high)
    return high
