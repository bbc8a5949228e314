"""What is asked of a network, as data. Classification so far; further tasks join the union. No torch."""

from __future__ import annotations

import msgspec

from dorsal.spec.metric import ACCURACY, Metric


class Classify(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="classify"):
    """One label an image. How many classes there are follows from the data."""


Task = Classify


def metric_of(task: Task) -> Metric:
    """What the task is scored by."""
    match task:
        case Classify():
            return ACCURACY
