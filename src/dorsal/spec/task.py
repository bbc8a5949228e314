"""What a network is trained for, as data. So far only classification; further tasks join the union. No torch."""

from __future__ import annotations

import msgspec

from dorsal.spec.metric import ACCURACY, Metric


class Classify(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="classify"):
    """One label for each image. The number of classes follows from the data."""


Task = Classify


def metric_of(task: Task) -> Metric:
    """The score of the task."""
    match task:
        case Classify():
            return ACCURACY
