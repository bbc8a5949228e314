"""The score of a task. No torch."""

from __future__ import annotations

import msgspec


class Metric(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A score in percent. Higher is better and 100 is perfect, so error = 100 - score.

    `name` is for titles, `short` for tables and sentences.
    """

    name: str
    short: str

    @property
    def title(self) -> str:
        """`name` with a capital letter, for headings."""
        return self.name[0].upper() + self.name[1:]


ACCURACY = Metric("top-1 accuracy", "accuracy")
"""The share of images whose label has the highest logit."""
MIOU = Metric("mean IoU", "mIoU")
"""Intersection over union of the pixels of each class, all images together; the mean of the classes in the truth."""
BOX_AP = Metric("box AP", "AP")
"""COCO's average precision of boxes: the mean over IoU thresholds .50 to .95 and classes."""
MASK_AP = Metric("mask AP", "mask AP")
"""The same of masks."""
