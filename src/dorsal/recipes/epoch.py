"""What training tells while it goes on: a step, an epoch. Plain data that a study keeps. No torch."""

from __future__ import annotations

import msgspec


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A training step just made: `step` of `steps` in `epoch`, both from 1."""

    epoch: int
    step: int
    steps: int


class Epoch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One point of a learning curve, epochs from 1.

    - `train_loss`: the mean over images while training, as the recipe mixes and smooths.
    - `val_loss`: the plain loss of the validation images, None for a task that has none.
    - `score`: in percent, on the validation split, by the averaged model where the recipe has `ema`.
    - `learning_rate`: that of the last step. `seconds`: training and validation together.
    """

    epoch: int
    train_loss: float
    val_loss: float | None
    score: float
    learning_rate: float
    seconds: float
