"""The score of a detector, and what each image contributes to it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from dorsal.annotations.annotation import Annotation, Objects
from dorsal.annotations.rle import mask_iou
from dorsal.data.view import Seen
from dorsal.tasks.detect.average_precision import AveragePrecision, average_precision
from dorsal.tasks.score import Evidence, Score

_OF_BOXES = ("AP50", "AP75")
"""What is told of boxes where masks are the score."""


class DetectScorer:
    """See `tasks.method.Scorer`. What is found are annotations with objects in pixels of the file."""

    def __init__(self, classes: int, masks: bool) -> None:
        self._classes, self._masks = classes, masks
        self._parts: dict[int, tuple[Objects, Objects, npt.NDArray[np.float64] | None]] = {}
        self._known: tuple[AveragePrecision, AveragePrecision | None] | None = None

    def add(self, indices: Sequence[int], found: Iterable[Annotation], seen: Iterable[Seen]) -> None:
        """See `Scorer.add`. Raises ValueError for an annotation without objects, or without masks where these count."""
        for index, said, each in zip(indices, found, seen, strict=True):
            truth, objects = each.truth.objects, said.objects
            if truth is None or objects is None:
                where = "its truth has" if truth is None else "what was found has"
                raise ValueError(f"image {index} of the split: {where} no objects, not even an empty set of them")
            overlaps = None
            if self._masks:
                if truth.masks is None or objects.masks is None:
                    raise ValueError(f"image {index} of the split: objects have no masks")
                overlaps = mask_iou(objects.masks, truth.masks, truth.crowd)
                truth, objects = (
                    msgspec.structs.replace(each, masks=None) for each in (truth, objects)
                )  # no more need
            self._parts[index] = truth, objects, overlaps
        self._known = None

    def merged(self, parts: Sequence[DetectScorer]) -> DetectScorer:
        """See `Scorer.merged`."""
        whole = DetectScorer(self._classes, self._masks)
        for part in parts:
            whole._parts |= part._parts
        return whole

    def score(self) -> Score:
        """AP of boxes, or of masks where these are learnt, and COCO's other scores; of masks also AP, AP50 and AP75 of
        the boxes. Raises ValueError where no image has an object."""
        found, boxes = self._precisions()
        more = {}
        if boxes is not None:
            more = {"box AP": boxes.score} | {f"box {name}": boxes.scores[name] for name in _OF_BOXES}
        return Score(
            score=found.score,
            scores={**found.scores, **more},
            loss=None,
            images=len(self._parts),
            per_class=found.per_class,
        )

    def evidence(self) -> Evidence:
        """The arrays of `stats.Ranked`: of everything found, and `truths` int32 [n, K]. See `tasks.contributions`."""
        ranked = self._precisions()[0].ranked
        return {
            "image": ranked.image.astype(np.int32),
            "label": ranked.label.astype(np.int32),
            "scores": ranked.scores,
            "hit": ranked.hit,
            "ignored": ranked.ignored,
            "truths": ranked.truths.astype(np.int32),
        }

    def _precisions(self) -> tuple[AveragePrecision, AveragePrecision | None]:
        """What is scored, and where that is masks, the boxes too. Computed once."""
        if self._known is None:
            parts = [self._parts[index] for index in sorted(self._parts)]
            truth, found = [part[0] for part in parts], [part[1] for part in parts]
            overlaps = [part[2] for part in parts if part[2] is not None]
            boxes = average_precision(truth, found, self._classes)
            self._known = boxes, None
            if self._masks:
                self._known = average_precision(truth, found, self._classes, overlaps=overlaps), boxes
        return self._known
